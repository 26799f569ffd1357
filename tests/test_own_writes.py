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


async def test_f8_a_get_that_began_before_a_patch_is_not_cached(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)

    slow = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="USD")
    await slow

    assert await shop.currency(session.token) == "USD"


async def test_f9_a_get_that_ran_while_a_patch_was_on_its_way_is_not_cached(shop: Shop, emporix: FakeEmporix) -> None:
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


async def test_f10_a_request_after_the_acknowledgement_does_not_join_an_older_get(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.5), times=1)
    slow = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(session.token) == "USD"
    await slow


async def test_f18_a_lagging_replica_does_not_hide_the_own_change(
    make_shop: Callable[..., Shop], http_library: Any
) -> None:
    emporix = FakeEmporix(replica_lag=0.3, now=lambda: asyncio.get_running_loop().time() + 1.79e9)
    shop = make_shop(emporix=emporix)
    session = emporix.new_session(currency="EUR")
    await asyncio.sleep(1)
    await shop.currency(session.token)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(session.token) == "USD"
    await asyncio.sleep(1)
    assert await shop.currency(session.token) == "USD"


async def test_f19_a_session_created_anew_is_accepted_at_once(shop: Shop, emporix: FakeEmporix) -> None:
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


async def test_f20_a_refreshed_token_of_the_session_sees_the_change_at_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    await shop.currency(other)

    await shop.switch(other, currency="USD")

    assert await shop.currency(session.token) == "USD"


@pytest.mark.parametrize("language", ["de", "fr", None], ids=["sent", "there already", "only read"])
async def test_f20_what_one_token_knows_of_a_session_created_anew_ends_its_last_context_for_the_others(
    shop: Shop, emporix: FakeEmporix, language: str | None
) -> None:
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


async def test_own_change_shows_behind_a_lagging_replica_also_without_stale_if_error(
    make_shop: Callable[..., Shop],
) -> None:
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


async def test_a_token_does_not_go_behind_what_another_one_of_the_session_has_shown(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")
    assert await shop.currency(other) == "USD"

    assert await shop.currency(session.token) == "USD"


async def test_a_patch_that_did_not_raise_the_version_does_not_wedge_the_session(
    shop: Shop, emporix: FakeEmporix
) -> None:
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


async def test_a_commit_in_the_air_does_not_undo_forget(shop: Shop, emporix: FakeEmporix) -> None:
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


async def test_a_commit_in_the_air_does_not_bring_back_a_refused_token(shop: Shop, emporix: FakeEmporix) -> None:
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
