"""What a page shows after a switch while a replica of Emporix is behind, where workers share a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

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


class Cut(MemoryStore):
    """A store whose subscription may be cut: what was missed is told when it is restored, as RedisStore does."""

    def __init__(self, memory: MemoryStore) -> None:
        self._open(memory._memory)
        self.deaf = False

    def attach(self, listener: Any) -> Any:
        self.attachment = super().attach(lambda notice: None if self.deaf else listener(notice))
        return self.attachment


async def test_missed_notice_and_two_tokens(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A floor that the store tells is news where another token's read is all that is known here of that version."""
    memory = MemoryStore(clock=VirtualClock(), shared=True)
    cut = Cut(memory)
    one, two = make_shop(store=cut, defaults=DEFAULTS), make_shop(store=memory.sibling(), defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR", language="en")
    old, new = session.token, emporix.new_token(session.session_id)
    for token in (old, new):
        assert await look(one, token) == "EUR en"
    await asyncio.sleep(1)
    for token in (old, new):
        assert await look(two, token) == "EUR en"
    cut.deaf = True
    await two.switch(old, currency="USD")
    await asyncio.sleep(0.1)
    cut.deaf = False
    cut.attachment.restored()
    assert await look(one, old) == "USD en"  # Emporix is asked, as the store tells a floor
    emporix.fault("context.get", Fault(status=503), times=6)

    shown = await look(one, new)
    assert "EUR" not in shown
