"""A choice made before Emporix can take it: kept, shown at once, sent in one PATCH when it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import Commit, SessionContext
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


def held(emporix: FakeEmporix, session_id: str) -> dict[str, Any]:
    document = emporix.document(session_id)
    assert document is not None
    return document


async def test_a_switch_before_the_context_exists_is_parked_and_shows_at_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    seen: list[object] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD", language="fr")
        seen.append(await ctx.commit())
        seen.append((ctx.currency, ctx.source("currency"), ctx.exists))

    await shop.visit(endpoint, token=session.token)

    assert seen == [Commit.PARKED, ("USD", "parked", False)]
    assert await shop.currency(session.token) == "USD"
    assert emporix.count("context.patch") == 0


async def test_f33_what_was_parked_is_sent_in_one_patch_when_the_context_appears(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await shop.switch(session.token, language="fr")
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(2.1)

    assert await shop.currency(session.token) == "USD"

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")
    assert emporix.count("context.patch") == 1
    await shop.currency(session.token)
    assert emporix.count("context.patch") == 1


async def test_parked_and_own_changes_leave_together_and_the_later_one_wins(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD", language="fr")
    await asyncio.sleep(3)
    emporix.create_context(session.session_id)

    await shop.switch(session.token, currency="CHF")

    assert [call.body for call in emporix.calls if call.operation == "context.patch"] == [
        {"currency": "CHF", "language": "fr", "metadata": {"version": 1}}
    ]
    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.patch") == 1


async def test_cart_created_sends_what_is_parked_at_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    seen: list[object] = []

    async def add_to_cart(ctx: SessionContext, _: Request) -> None:
        emporix.create_context(session.session_id, currency="EUR", cart_id="cart-1")
        await ctx.cart_created("cart-1")
        seen.append((ctx.cart_id, ctx.currency, ctx.source("currency")))

    await shop.visit(add_to_cart, token=session.token, method="POST")

    assert seen == [("cart-1", "USD", "document")]
    assert held(emporix, session.session_id)["currency"] == "USD"
    assert emporix.count("context.patch") == 1


async def test_cart_created_is_patient_with_a_context_that_takes_its_time(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    async def add_to_cart(ctx: SessionContext, _: Request) -> str:
        asyncio.get_running_loop().call_later(
            0.15, lambda: emporix.create_context(session.session_id, cart_id="cart-1")
        )
        await ctx.cart_created("cart-1")
        return ctx.cart_id or ""

    assert (await shop.visit(add_to_cart, token=session.token)).text == "cart-1"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_cart_created_gives_up_in_time_and_keeps_the_choice(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    async def add_to_cart(ctx: SessionContext, _: Request) -> str:
        await ctx.cart_created("cart-1")
        return f"{ctx.exists} {ctx.currency}"

    began = asyncio.get_running_loop().time()
    assert (await shop.visit(add_to_cart, token=session.token)).text == "False USD"
    assert asyncio.get_running_loop().time() - began <= 2.0


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before"), Fault(status=429, retry_after=20)])
async def test_while_emporix_is_down_a_switch_is_parked_and_sent_when_it_heals(
    shop: Shop, emporix: FakeEmporix, fault: Fault
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context", fault, times=None)

    response = await shop.switch(session.token, currency="USD")

    assert response.status_code == 200
    assert shop.named("commit.parked")
    assert await shop.currency(session.token) == "USD"
    emporix.clear_faults()
    await asyncio.sleep(200)
    assert await shop.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_a_hanging_emporix_costs_a_switch_its_deadline_and_nothing_is_lost(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=20))
    loop = asyncio.get_running_loop()

    began = loop.time()
    await shop.switch(session.token, currency="USD")

    assert loop.time() - began == pytest.approx(3.0, abs=0.1)
    assert shop.named("commit.parked")
    assert await shop.currency(session.token) == "USD"
    await asyncio.sleep(60)
    assert await shop.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"
    assert held(emporix, session.session_id)["metadata"]["version"] == 2


async def test_a_patch_that_arrives_after_its_request_gave_up_is_not_applied_again(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=3.5))
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(2)
    emporix.edit(session.session_id, currency="CHF")
    emporix.clear_calls()

    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.patch") == 0


async def test_an_explicit_commit_that_timed_out_is_parked_at_the_end_without_another_wait(
    shop: Shop, emporix: FakeEmporix
) -> None:
    from session_ctx_middleware import ContextUnavailable

    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=20))
    loop = asyncio.get_running_loop()

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(ContextUnavailable):
            await ctx.commit()

    began = loop.time()
    await shop.visit(endpoint, token=session.token)

    assert loop.time() - began == pytest.approx(3.0, abs=0.1)
    assert await shop.currency(session.token) == "USD"


async def test_f16_a_context_that_vanishes_parks_the_change_without_a_loop(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.delete_context(session.session_id)

    await shop.switch(session.token, currency="USD")

    assert shop.named("commit.parked")
    assert (emporix.count("context.patch"), emporix.count("context.get")) == (1, 2)
    assert await shop.currency(session.token) == "USD"


async def test_f34_a_change_made_while_parked_ones_are_sent_survives(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(3)
    emporix.create_context(session.session_id)
    emporix.fault("context.patch", Fault(delay=1.0), times=1)

    draining = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="CHF")
    await draining

    assert await shop.currency(session.token) == "CHF"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_an_error_response_keeps_what_was_parked_before(shop: Shop, emporix: FakeEmporix) -> None:
    from starlette.responses import Response

    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch(currency="CHF")
        return Response(status_code=500)

    await shop.visit(endpoint, token=session.token)

    assert await shop.currency(session.token) == "USD"


async def test_parked_changes_follow_a_refreshed_token_of_the_session(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(emporix.new_token(session.session_id)) == "USD"


async def test_parked_changes_are_kept_for_a_day(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    await asyncio.sleep(23 * 3600)
    emporix.create_context(session.session_id, currency="EUR")
    assert await shop.currency(emporix.new_token(session.session_id)) == "USD"


async def test_parked_changes_are_forgotten_after_a_day(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    await asyncio.sleep(25 * 3600)
    emporix.create_context(session.session_id, currency="EUR")
    assert await shop.currency(emporix.new_token(session.session_id)) == "EUR"


async def test_forget_drops_everything_known_and_parked(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    seen: list[object] = []

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx
        ctx.switch_language("fr")
        await ctx.forget()
        seen.append((ctx.currency, ctx.exists, dict(ctx.pending)))

    await shop.visit(logout, token=session.token)

    assert seen == [(None, False, {})]
    assert await shop.currency(session.token) is None
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.patch") == 0


async def test_forget_is_not_undone_by_a_read_or_a_commit_in_the_air(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)
    emporix.fault("context.patch", Fault(delay=1.0, status=429), times=None)
    reading = asyncio.create_task(shop.currency(session.token))
    switching = asyncio.create_task(shop.switch(session.token, language="fr"))
    await asyncio.sleep(0.5)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)
    await asyncio.gather(reading, switching)
    emporix.revoke(session.token)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}"

    assert (await shop.visit(page, token=session.token)).text == "None None"


async def test_f32_a_revoked_session_is_not_brought_back_by_a_parked_change(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop()
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.revoke(session.token)

    await shop.switch(session.token, currency="USD")

    assert [event.outcome for event in shop.named("commit.refused")] == ["TokenRejected"]
    assert await shop.currency(session.token) is None


async def test_f35_a_change_that_was_sent_but_not_unparked_has_no_second_effect(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(3)
    emporix.create_context(session.session_id, currency="EUR")
    emporix.edit(session.session_id, currency="USD")  # as a process did that stopped before it could unpark

    assert await shop.currency(session.token) == "USD"

    assert held(emporix, session.session_id)["metadata"]["version"] == 2
    assert emporix.count("context.patch") == 0


async def test_more_commits_than_allowed_are_parked(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    from session_ctx_middleware import UpstreamPolicy

    shop = make_shop(upstream=UpstreamPolicy(max_flights=2))
    sessions = [emporix.new_session(currency="EUR") for _ in range(5)]
    for session in sessions:
        await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=1.0), times=None)

    await asyncio.gather(*(shop.switch(session.token, currency="USD") for session in sessions))
    assert len(shop.named("commit.parked")) == 3
    await asyncio.sleep(200)
    for session in sessions:
        await shop.currency(session.token)

    assert {held(emporix, session.session_id)["currency"] for session in sessions} == {"USD"}
