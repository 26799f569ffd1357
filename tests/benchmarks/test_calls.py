"""The visit that counts calls has no chance in it, so its outcome is known."""

from __future__ import annotations

import asyncio

from benchmarks.calls import HANDLINGS, visit

from ..support.virtual_time import VirtualTimeLoop

OURS = [name for name in HANDLINGS if name.startswith("this middleware")]


def test_nothing_lost_fewer_calls() -> None:
    """The middleware loses no choice, and makes fewer calls than code written by hand."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for context_at in ("login", "cart"):
            bills = {name: runner.run(visit(name, context_at)) for name in HANDLINGS}
            for name in OURS:
                assert (bills[name].wrong, bills[name].unknown) == (0, 0)
            one = bills["this middleware"]
            assert one.patches == 2
            assert one.calls_per_page < bills["hand-written, GET per request"].calls_per_page


def test_by_hand_loses_early_choices() -> None:
    """Code written by hand loses a choice made before the cart."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(visit("hand-written, GET per request", "cart")).unknown == 1
        assert runner.run(visit("this middleware", "cart")).unknown == 0
