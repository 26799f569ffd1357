"""Three workers: with a store whose notices travel as Redis' do, with continuity cookies, or with both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from session_ctx_middleware import ContextDefaults
from session_ctx_middleware.stores import MemoryStore

from ..continuity.browser import Browser, everything
from ..test_told_over_the_wire import Wire
from .shop import Shop
from .virtual_time import VirtualClock

SECRET = "0123456789abcdef" * 2
DEFAULTS = ContextDefaults(currency="CHF", language="xx")

__all__ = ["DEFAULTS", "SECRET", "Team", "all_look", "look", "team"]

Team = Callable[..., Sequence[Shop]]


@pytest.fixture
def team(make_shop: Callable[..., Shop]) -> Team:
    """Makes them; `ahead` is by how many seconds the clock of each is wrong."""

    def make(kind: str = "store", ahead: Sequence[float] = (0.0, 0.0, 0.0), **more: Any) -> Sequence[Shop]:
        memory, shops = MemoryStore(clock=VirtualClock(), shared=True), []
        for seconds in ahead:
            clock, options = VirtualClock(), dict(more)
            clock.wall_offset = seconds
            if kind in {"notes", "both"}:
                options["secret_key"] = SECRET
            if kind in {"store", "both"}:
                options["store"] = Wire(memory.sibling(), clock)
            shops.append(make_shop(clock=clock, defaults=DEFAULTS, **options))
        return shops

    return make


async def look(browser: Browser, shop: Shop) -> str:
    """Return what a page shows: currency, language, attributes."""
    return (await browser.visit(shop, everything)).text


async def all_look(browser: Browser, shops: Sequence[Shop]) -> list[str]:
    """Return what a page shows on each worker, one after the other."""
    return [await look(browser, shop) for shop in shops]
