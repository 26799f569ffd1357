"""The campaign: some seeds in every test run, ten times as many in the slow one; ``make soak`` plays the long one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import pytest

from .setups import SETUPS, SITUATIONS
from .visit import play

STEPS = 60
QUICK, SLOW = 1, 8
"""Seeds of each situation."""

ONE = "one process"
SEVERAL = "one process, 3 instances, 2 loops"
SEVERAL_NOTES = "one process, 3 instances, 2 loops, notes"
NOTES = "3 workers, notes"
STORE = "3 workers, store"
FAILING = "3 workers, notes and a store that fails"
NOTES_AND_STORE = "3 workers, notes and store"
DOCUMENT = "3 workers, document"
SKEWED = "3 workers, document, clocks an hour apart"
BOTH = "3 workers, document and store"

HERE, THERE = [*SITUATIONS][::2], [*SITUATIONS][1::2]
"""What is played every day in one process, and among three workers; the slow tier plays all of it everywhere."""


ONCE_BROKEN = [
    (ONE, "2xx that changed nothing, backups", 147),
    (ONE, "2xx that changed nothing, backups", 921),
    (ONE, "2xx that changed nothing, overlap", 928),
    (SEVERAL, "no token at first", 50),
    (SEVERAL, "2xx that changed nothing, overlap", 41),
    (SEVERAL, "2xx that changed nothing, overlap", 80),
    (SEVERAL, "2xx that changed nothing, new tokens", 79),
    (SEVERAL, "2xx that changed nothing, new tokens", 924),
    (SEVERAL, "2xx that changed nothing, backups", 105),
    (SEVERAL, "everything", 78),
    (SEVERAL_NOTES, "2xx that changed nothing, new tokens", 915),
    (NOTES, "new tokens in bad weather", 51),
    (NOTES, "logins", 101),
    (NOTES, "large attributes", 822),
    (STORE, "new tokens in bad weather", 17),
    (STORE, "dripping", 1),
    (STORE, "two tenants", 30158),
    (FAILING, "everything", 40006),
    (STORE, "dripping", 11004),
    (STORE, "contexts begin anew", 11018),
    (STORE, "emporix down", 10009),
    (STORE, "new tokens in bad weather", 10013),
    (STORE, "2xx that changed nothing, overlap", 2),
    (STORE, "2xx that changed nothing, backups", 48),
    (SEVERAL, "a token is revoked", 10126),
    (STORE, "a token is revoked", 307),
    (NOTES_AND_STORE, "wiped receipts", 813),
    (DOCUMENT, "backups", 33),
    (DOCUMENT, "backups", 57),
    (DOCUMENT, "2xx that changed nothing, backups", 19),
    (SKEWED, "backups", 3),
    (SKEWED, "a token is revoked", 9),
    (SKEWED, "new tokens in bad weather", 3),
    (SKEWED, "new tokens", 722),
    (SKEWED, "2xx that changed nothing, overlap", 905),
    (BOTH, "overlap in bad weather", 901),
    (FAILING, "overlap in bad weather", 40008),
    (SKEWED, "large attributes", 964),
    (FAILING, "2xx that changed nothing, backups", 60016),
    (FAILING, "2xx that changed nothing, backups", 80135),
    (FAILING, "wiped receipts", 80003),
    (NOTES, "slow answers", 80113),
    (STORE, "dripping", 90095),
    (STORE, "2xx that changed nothing, backups", 90132),
    (STORE, "2xx that changed nothing, overlap", 400094),
    (STORE, "2xx that changed nothing, overlap", 400106),
    (STORE, "2xx that changed nothing, backups", 400165),
    (STORE, "2xx that changed nothing, overlap", 910211),
    (STORE, "overlap in bad weather", 910202),
    (STORE, "new tokens", 910113),
    (FAILING, "backups", 600094),
    (NOTES_AND_STORE, "2xx that changed nothing, overlap", 900145),
    (NOTES_AND_STORE, "a token is revoked", 911042),
    (DOCUMENT, "2xx that changed nothing, backups", 930017),
    (STORE, "2xx that changed nothing, backups", 910154),
    (STORE, "2xx that changed nothing, overlap", 920031),
    (DOCUMENT, "backups", 941055),
    (STORE, "overlap in bad weather", 942074),
    (STORE, "2xx that changed nothing, backups", 951084),
    (NOTES_AND_STORE, "2xx that changed nothing, backups", 951194),
    (NOTES, "2xx that changed nothing, overlap", 951053),
    (NOTES, "contexts begin anew", 951176),
    (SEVERAL, "slow answers", 951135),
    (DOCUMENT, "backups", 951004),
]
"""Visits that long campaigns have found, each of which has shown a defect of its own kind."""


def now(setup: str, situations: Iterable[str]) -> list[object]:
    """One seed of each situation."""
    return [pytest.param(setup, each, range(QUICK), id=f"{setup}: {each}") for each in situations]


def later(*setups: str) -> list[object]:
    """More seeds of every situation, where there is time."""
    return [
        pytest.param(setup, each, range(SLOW), id=f"{setup}: {each}, long", marks=pytest.mark.slow)
        for setup in setups
        for each in SITUATIONS
    ]


def violations(setup: str, situation: str, seeds: Iterable[int]) -> dict[int, dict[str, list[str]]]:
    """Play seeds, and return what was broken in which of them."""
    found = {seed: play(seed, STEPS, SETUPS[setup], SITUATIONS[situation]).texts for seed in seeds}
    return {seed: texts for seed, texts in found.items() if texts}


@pytest.mark.parametrize(
    ("setup", "situation", "seeds"),
    [*now(ONE, HERE), *now(NOTES, THERE), *later(ONE, SEVERAL, STORE, NOTES, FAILING, DOCUMENT)],
)
def test_f46_no_seed_shows_a_violation(
    setup: str, situation: str, seeds: Sequence[int], caplog: pytest.LogCaptureFixture
) -> None:
    """F46: No seed shows a violation."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert violations(setup, situation, seeds) == {}, f"python -m tests.simulation --setup {setup!r} ... --story"


@pytest.mark.parametrize(("setup", "situation", "seed"), ONCE_BROKEN)
def test_visits_that_have_once_been_broken(
    setup: str, situation: str, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What a long campaign has found once is not found again."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert violations(setup, situation, [seed]) == {}


def test_workers_that_share_nothing_are_caught(caplog: pytest.LogCaptureFixture) -> None:
    """The judge can tell: workers that share nothing break what they cannot keep."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert violations("3 workers, nothing shared", "overlap", range(2)) != {}


def test_a_seed_decides_everything(caplog: pytest.LogCaptureFixture) -> None:
    """A seed decides everything."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    stories: tuple[list[str], list[str]] = ([], [])
    one, other = (play(3, 40, SETUPS[FAILING], SITUATIONS["everything"], story=story) for story in stories)

    assert stories[0] == stories[1]
    assert one == other
    assert one.requests > 80
    assert one.faults > 0
