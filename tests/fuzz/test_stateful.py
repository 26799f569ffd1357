"""Any order of steps of one session, and the orders that once went wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import Phase

from session_ctx_middleware import (
    SessionContext,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.virtual_time import WALL_START
from .shopping import Shopping
from .support import Site, fuzz, page, play, with_both_libraries


class ShoppingOverHttpx(Shopping):
    """The same, with the other library."""

    library = httpx


SHORT = {"stateful_step_count": 30, "report_multiple_bugs": False, "phases": (Phase.generate, Phase.shrink)}
Shopping.TestCase.settings = fuzz(60, **SHORT)
ShoppingOverHttpx.TestCase.settings = fuzz(30, **SHORT)
TestShopping = Shopping.TestCase
TestShoppingOverHttpx = ShoppingOverHttpx.TestCase


@with_both_libraries
@pytest.mark.parametrize("idle", [30, 700])
def test_older_wish_of_another_token(library: Any, idle: float) -> None:
    """What waited does not undo a later change by way of another token.

    Shrunk from the above: the later change was acknowledged, so it has to stay, however long nobody comes.
    """

    async def work() -> None:
        loop = asyncio.get_running_loop()
        emporix = FakeEmporix(now=lambda: WALL_START + loop.time())
        session = emporix.new_session(language="en")
        renewed = emporix.new_token(session.session_id)
        site = Site(emporix.client(library))

        async def to(ctx: SessionContext, language: str) -> None:
            ctx.switch(language=language)

        emporix.fault("context.get", Fault(status=500))
        await site.visit(lambda ctx: to(ctx, "de"), token=renewed)
        await asyncio.sleep(1)
        await site.visit(lambda ctx: to(ctx, "fr"), token=session.token)
        commits = [event.name for event in site.events if event.name.startswith("commit.")]
        assert commits == ["commit.parked", "commit.applied"]

        await asyncio.sleep(idle)
        await site.visit(page, token=renewed)
        document = emporix.document(session.session_id)
        assert document is not None
        assert document["language"] == "fr"

    play(work)
