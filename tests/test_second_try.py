"""A GET that fails and is sent once more: its answer is as old as the second try, not as the first one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


async def looking(ctx: SessionContext, _: Request) -> str:
    await ctx
    return f"{ctx.currency} {ctx.language}"


async def test_answer_to_the_second_try(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What Emporix answers when it is asked once more is not taken for older than a change that was made meanwhile."""
    shop = make_shop(secret_key="s" * 32)
    session = emporix.new_session(currency="EUR", language="en")
    await shop.switch(session.token, language="de")
    assert (await shop.visit(looking, token=session.token)).text == "EUR de"

    async def refresh(ctx: SessionContext, _: Request) -> str:
        await ctx.refresh()
        return f"{ctx.currency} {ctx.language}"

    async def meanwhile() -> None:
        await asyncio.sleep(0.2)
        await shop.switch(session.token, currency="USD")
        emporix.edit(session.session_id, currency="GBP")

    emporix.fault("context.get", Fault(delay=0.5, drop="before"), times=1)
    page, _ = await asyncio.gather(shop.visit(refresh, token=session.token), meanwhile())

    assert page.text == "GBP de"
