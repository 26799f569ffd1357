"""What a shopper changed is what the shopper reads next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import (
    CachePolicy,
    SessionContext,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held


async def test_f8_get_before_a_patch(shop: Shop, emporix: FakeEmporix) -> None:
    """F8: A GET that began before a PATCH is not cached."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)

    slow = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="USD")
    await slow

    assert await shop.currency(session.token) == "USD"


async def test_f9_get_during_a_patch(shop: Shop, emporix: FakeEmporix) -> None:
    """F9: A GET that ran while a PATCH was on its way is not cached."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=1.0), times=1)

    switching = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.2)

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()

    await shop.visit(page, token=session.token)
    await switching

    assert await shop.currency(session.token) == "USD"


async def test_f10_older_get_is_not_joined(shop: Shop, emporix: FakeEmporix) -> None:
    """F10: A request after the acknowledgement does not join an older GET."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.5), times=1)
    slow = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(session.token) == "USD"
    await slow


async def test_f18_lagging_replica(make_shop: Callable[..., Shop], http_library: Any) -> None:
    """F18: A lagging replica does not hide the shopper's own change."""
    emporix = FakeEmporix(replica_lag=0.3, now=lambda: asyncio.get_running_loop().time() + 1.79e9)
    shop = make_shop(emporix=emporix)
    session = emporix.new_session(currency="EUR")
    await asyncio.sleep(1)
    await shop.currency(session.token)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(session.token) == "USD"
    await asyncio.sleep(1)
    assert await shop.currency(session.token) == "USD"


async def test_f19_session_created_anew(shop: Shop, emporix: FakeEmporix) -> None:
    """F19: A session created anew is accepted at once."""
    session = emporix.new_session(currency="EUR")
    for currency in ("USD", "CHF", "USD"):
        await shop.switch(session.token, currency=currency)
        await shop.currency(session.token)
    await asyncio.sleep(1)
    emporix.recreate_context(session.session_id)
    await asyncio.sleep(200)
    version = []

    async def page(ctx: SessionContext, _: Request) -> None:
        version.append((await ctx).version)

    await shop.visit(page, token=session.token)

    assert version == [1]
    assert emporix.count("context.get") == 5


async def test_f20_refreshed_token(shop: Shop, emporix: FakeEmporix) -> None:
    """F20: A refreshed token of the session sees the change at once."""
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    await shop.currency(other)

    await shop.switch(other, currency="USD")

    assert await shop.currency(session.token) == "USD"


@pytest.mark.parametrize("language", ["de", "fr", None], ids=["sent", "there already", "only read"])
async def test_f20_other_tokens_of_a_new_one(shop: Shop, emporix: FakeEmporix, language: str | None) -> None:
    """F20: What one token knows of a session created anew ends its last context for the others."""
    session = emporix.new_session(currency="EUR", language="en")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    await shop.currency(other)
    await asyncio.sleep(1)
    emporix.recreate_context(session.session_id, currency="CHF", language="fr")

    async def switch(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()
        ctx.switch(language=language)
        await ctx.commit()

    await shop.visit(switch, token=other)
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) is None
    assert await shop.currency(other) == "CHF"


async def test_replica_without_stale_if_error(
    make_shop: Callable[..., Shop],
) -> None:
    """The own change shows behind a lagging replica, also without `stale_if_error`."""
    emporix = FakeEmporix(replica_lag=0.3, now=lambda: asyncio.get_running_loop().time() + 1.79e9)
    shop = make_shop(emporix=emporix, cache=CachePolicy(stale_if_error=0, stale_while_revalidate=0))
    session = emporix.new_session(currency="EUR")
    await asyncio.sleep(1)
    await shop.currency(session.token)
    await shop.switch(session.token, currency="USD")

    first = await shop.currency(session.token)
    await asyncio.sleep(1)
    second = await shop.currency(session.token)

    assert (first, second) == ("USD", "USD")


async def test_tokens_do_not_go_back(shop: Shop, emporix: FakeEmporix) -> None:
    """A token does not go behind what another one of the session has shown."""
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")
    assert await shop.currency(other) == "USD"

    assert await shop.currency(session.token) == "USD"


async def test_version_that_does_not_rise(shop: Shop, emporix: FakeEmporix) -> None:
    """A PATCH that did not raise the version does not wedge the session."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(status=204), times=1)  # nothing to change: 204, version as before
    await shop.switch(session.token, currency="EUR")
    await asyncio.sleep(60)
    await shop.currency(session.token)
    emporix.clear_calls()

    for _ in range(5):
        await shop.currency(session.token)
    response = await shop.switch(session.token, language="fr")

    assert response.status_code == 200
    assert emporix.count("context.get") <= 2
    assert held(emporix, session.session_id)["language"] == "fr"


async def test_commit_does_not_undo_forget(shop: Shop, emporix: FakeEmporix) -> None:
    """A commit in the air does not undo `forget`."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=1.0), times=1)
    switching = asyncio.create_task(shop.switch(session.token, language="fr"))
    await asyncio.sleep(0.5)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)
    await switching
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) is None


async def test_commit_of_a_refused_token(shop: Shop, emporix: FakeEmporix) -> None:
    """A commit in the air does not bring back a refused token."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay_after=1.0), times=1)
    switching = asyncio.create_task(shop.switch(session.token, language="fr"))
    await asyncio.sleep(0.5)
    emporix.revoke(session.token)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx.refresh()
        return str(ctx.is_rejected)

    assert (await shop.visit(page, token=session.token)).text == "True"
    await switching
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) is None
