"""Documents that browsers carry: as few GETs as in one process, and nobody is fooled by one that was meddled with."""

from __future__ import annotations

import logging

import pytest

from .setups import SETUPS, SITUATIONS, Situation
from .visit import play

CALM = Situation(in_turn=True, created=1.0, pace=1.0, slow=0.05, net=0.05, switches=0.15)


def gets(setup: str) -> int:
    """Return how many GETs some quiet visits cost."""
    return sum(play(seed, 40, SETUPS[setup], CALM).extra["GET"] for seed in range(4))


def test_as_few_gets_as_in_one_process(caplog: pytest.LogCaptureFixture) -> None:
    """Workers that share nothing ask as seldom as one process does, where browsers carry the document."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    fewest = gets("one process")

    assert gets("3 workers, document") <= 1.1 * fewest
    assert gets("3 workers, notes") > 1.1 * fewest, "or the visits tell nothing"


@pytest.mark.parametrize("setup", ["3 workers, document", "3 workers, document, clocks an hour apart"])
@pytest.mark.parametrize("situation", ["meddled documents", "logouts"])
def test_nobody_is_fooled(setup: str, situation: str, caplog: pytest.LogCaptureFixture) -> None:
    """Older, foreign and damaged documents, put into a browser, break no promise."""
    caplog.set_level(logging.CRITICAL, "session_ctx_middleware")
    assert play(3, 60, SETUPS[setup], SITUATIONS[situation]).texts == {}
