"""The campaign: some seeds in every test run, ten times as many in the slow one; ``make soak`` plays the long one."""

from __future__ import annotations

import logging

import pytest

from .checkers import violations
from .driver import play
from .history import Setup

OPERATIONS = 300


def decades(seeds: int, of_which_slow: int) -> pytest.MarkDecorator:
    """Play seeds ten at a time, the later ones only where there is time for everything slow."""
    quick = seeds - of_which_slow
    return pytest.mark.parametrize(
        "first", [pytest.param(seed, marks=[pytest.mark.slow] * (seed >= quick)) for seed in range(0, seeds, 10)]
    )


@decades(400, of_which_slow=360)
def test_f46_no_seed_shows_a_violation(first: int, caplog: pytest.LogCaptureFixture) -> None:
    """F46: No seed shows a violation."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    found = {seed: violations(play(seed, OPERATIONS)) for seed in range(first, first + 10)}

    bad = {seed: texts for seed, texts in found.items() if texts}
    assert bad == {}, f"replay with: python -m tests.simulation --seeds SEED --operations {OPERATIONS}"


COOKIE = Setup(workers=3, cookie=True)
SKEWED = Setup(workers=3, cookie=True, skew=1800.0)
STORE = Setup(workers=3, store="healthy")
BOTH = Setup(workers=3, cookie=True, store="healthy")
FAULTY = Setup(workers=3, cookie=True, store="faulty")


@pytest.mark.parametrize("setup", [COOKIE, STORE, FAULTY], ids=["cookie", "store", "cookie and faulty store"])
@decades(100, of_which_slow=90)
def test_f46_three_workers(first: int, setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """F46: No seed shows a violation among three workers."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    found = {seed: violations(play(seed, OPERATIONS, setup)) for seed in range(first, first + 10)}

    assert {seed: texts for seed, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("seed", "setup"),
    [(0, SKEWED), (298, SKEWED), (24, STORE), (354, BOTH), (165, FAULTY), (199, FAULTY), (317, FAULTY)],
)
def test_once_went_wrong(seed: int, setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """What once went wrong does not go wrong again."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert violations(play(seed, OPERATIONS, setup)) == {}


def test_a_seed_decides_everything() -> None:
    """A seed decides everything."""
    one, other = play(3, 200), play(3, 200)

    assert one.reads == other.reads
    assert one.writes == other.writes
    assert one.operations > 150
    assert one.faults > 0
