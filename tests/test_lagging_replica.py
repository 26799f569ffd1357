"""What a page shows after a switch while a replica of Emporix is behind, where workers share a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop
from .support.team import DEFAULTS
from .support.virtual_time import WALL_START, VirtualClock


async def look(shop: Shop, token: str) -> str:
    """Return what a page shows, and whether that is all it could know."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}{' degraded' if ctx.is_degraded else ''}"

    return (await shop.visit(page, token=token)).text


@pytest.mark.parametrize("lag", [0.3, 3.0])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shared", [False, True], ids=["memory", "shared store"])
async def test_page_after_a_switch(make_shop: Callable[..., Shop], shared: bool, workers: int, lag: float) -> None:
    """The choice shows, over what was known before: neither the worker that sent it, nor one that was told, waits."""
    emporix = FakeEmporix(replica_lag=lag, now=lambda: WALL_START + asyncio.get_running_loop().time())
    store = MemoryStore(shared=shared, clock=VirtualClock())
    shops = [make_shop(emporix=emporix, store=store, defaults=DEFAULTS)]
    if shared:
        shops += [make_shop(emporix=emporix, store=store.sibling(), defaults=DEFAULTS) for _ in range(workers - 1)]
    session = emporix.new_session(currency="EUR", language="en")
    await asyncio.sleep(10)
    for shop in shops:
        assert await look(shop, session.token) == "EUR en"
    await asyncio.sleep(1)
    await shops[0].switch(session.token, language="de")
    await asyncio.sleep(0.01)

    for shop in shops:
        assert await look(shop, session.token) == "EUR de"
