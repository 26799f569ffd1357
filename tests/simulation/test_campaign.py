"""The campaign: some seeds in every test run, ten times as many in the slow one; ``make soak`` plays the long one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import pytest

from .setups import SETUPS, SITUATIONS
from .visit import play

STEPS = 60
QUICK, SLOW = 2, 20
"""Seeds of each situation."""

ONE = "one process"
NOTES = "3 workers, notes"
STORE = "3 workers, store"
FAILING = "3 workers, notes and a store that fails"

# What is not kept yet: CHANGELOG.md says when that changes.
OPEN = {"2xx that changed nothing", "contexts begin anew", "backups", "everything"}
KEPT = [situation for situation in SITUATIONS if situation not in OPEN]
IN_TURN = ["in turn"]


def rows(setup: str, situations: Iterable[str], seeds: Sequence[int], *, slow: bool = False) -> list[object]:
    marks = [pytest.mark.slow] if slow else []
    return [
        pytest.param(setup, situation, seeds, id=f"{setup}: {situation}{', long' * slow}", marks=marks)
        for situation in situations
    ]


def kept(setup: str, situations: Iterable[str]) -> list[object]:
    """A few seeds now, and more of them where there is time."""
    names = list(situations)
    return rows(setup, names, range(QUICK)) + rows(setup, names, range(QUICK, SLOW), slow=True)


def violations(setup: str, situation: str, seeds: Iterable[int]) -> dict[int, dict[str, list[str]]]:
    """Play seeds, and return what was broken in which of them."""
    found = {seed: play(seed, STEPS, SETUPS[setup], SITUATIONS[situation]).texts for seed in seeds}
    return {seed: texts for seed, texts in found.items() if texts}


@pytest.mark.parametrize(("setup", "situation", "seeds"), kept(ONE, KEPT))
def test_f46_no_seed_shows_a_violation(
    setup: str, situation: str, seeds: Sequence[int], caplog: pytest.LogCaptureFixture
) -> None:
    """F46: No seed shows a violation."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert violations(setup, situation, seeds) == {}, f"python -m tests.simulation --setup {setup!r} ... --story"


@pytest.mark.parametrize(
    ("setup", "situation", "seeds"),
    [*kept(STORE, KEPT), *kept(NOTES, IN_TURN), *kept(FAILING, IN_TURN)],
)
def test_f46_three_workers(setup: str, situation: str, seeds: Sequence[int], caplog: pytest.LogCaptureFixture) -> None:
    """F46: No seed shows a violation among three workers."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert violations(setup, situation, seeds) == {}


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
