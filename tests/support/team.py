"""Three workers that share a store whose notices travel as those of Redis do, with continuity cookies or without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from session_ctx_middleware import ContextDefaults
from session_ctx_middleware.stores import MemoryStore

from ..continuity.browser import SECRET, Browser, everything
from .shop import Shop
from .virtual_time import VirtualClock
from .wire import Wire

DEFAULTS = ContextDefaults(currency="CHF", language="xx")

__all__ = ["DEFAULTS", "SECRET", "Team", "look", "team"]

Team = Callable[..., Sequence[Shop]]


@pytest.fixture
def team(make_shop: Callable[..., Shop]) -> Team:
    """Makes them."""

    def make(*, notes: bool, **more: Any) -> Sequence[Shop]:
        memory = MemoryStore(clock=VirtualClock(), shared=True)
        options = {**more, **({"secret_key": SECRET} if notes else {})}
        stores = [Wire(memory.sibling(), VirtualClock()) for _ in range(3)]
        return [make_shop(store=store, defaults=DEFAULTS, **options) for store in stores]

    return make


async def look(browser: Browser, shop: Shop) -> str:
    """Return what a page shows: currency, language, attributes."""
    return (await browser.visit(shop, everything)).text
