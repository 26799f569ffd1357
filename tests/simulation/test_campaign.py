"""The campaign in the size that fits into every test run; ``make soak`` plays the long one."""

from __future__ import annotations

import logging

import pytest

from .checkers import violations
from .driver import play

SEEDS = 120
OPERATIONS = 300


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_f46_no_seed_shows_a_violation(first: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    found = {seed: violations(play(seed, OPERATIONS)) for seed in range(first, first + 10)}

    bad = {seed: texts for seed, texts in found.items() if texts}
    assert bad == {}, f"replay with: python -m tests.simulation --seeds SEED --operations {OPERATIONS}"


def test_a_seed_decides_everything() -> None:
    one, other = play(3, 200), play(3, 200)

    assert one.reads == other.reads
    assert one.writes == other.writes
    assert one.operations > 150
    assert one.faults > 0
