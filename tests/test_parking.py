"""A choice made before Emporix can take it: kept, shown at once, sent in one PATCH when it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from session_ctx_middleware import (
    CachePolicy,
    Commit,
    SessionContext,
    UpstreamPolicy,
)
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held
from .support.virtual_time import VirtualClock


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


async def test_a_parked_change_shows_in_its_own_request_when_nothing_is_remembered(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(cache=CachePolicy(missing_ttl=0))
    session = emporix.new_session(exists=False)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.switch_currency("USD")
        await ctx.commit()
        return ctx.currency or ""

    assert (await shop.visit(endpoint, token=session.token)).text == "USD"


async def test_a_parked_change_shows_in_its_own_request_when_too_much_is_in_the_air(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(upstream=UpstreamPolicy(max_flights=1))
    busy, session = emporix.new_session(), emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(delay=10), times=1)
    other = asyncio.create_task(shop.currency(busy.token))
    await asyncio.sleep(0.1)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.PARKED
        return ctx.currency or ""

    response = await shop.visit(endpoint, token=session.token)
    await other

    assert response.text == "USD"


async def test_a_change_parked_without_a_load_does_not_pass_for_a_load(shop: Shop, emporix: FakeEmporix) -> None:
    emporix.fault("context.get", Fault(status=429, retry_after=30), times=1)
    await shop.currency(emporix.new_session().token)  # closes the gate for everybody
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.PARKED
        await ctx
        return f"{ctx.currency} {ctx.is_degraded}"

    assert (await shop.visit(endpoint, token=session.token)).text == "USD True"


async def test_a_refused_change_does_not_take_a_parked_one_of_another_page_with_it(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, language="fr")  # acknowledged as PARKED
    emporix.create_context(session.session_id, currency="EUR", language="en")
    await asyncio.sleep(3)
    emporix.fault("context.patch", Fault(status=422), times=1)  # the currency is not offered by this site
    await shop.switch(session.token, currency="XXX")
    await asyncio.sleep(10)

    await shop.currency(session.token)

    assert held(emporix, session.session_id)["language"] == "fr"


async def test_what_is_parked_for_one_session_is_bounded(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    size: list[int] = []

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        size.append(len(ctx.attributes))

    for page_number in range(20):

        async def endpoint(ctx: SessionContext, _: Request, number: int = page_number) -> None:
            ctx.set_attribute(f"k{number}", "x" * 8000)

        await shop.visit(endpoint, token=session.token)
    await shop.visit(page, token=session.token)

    assert sum(size) * 8000 <= 3 * 8192


async def test_garbage_tokens_do_not_push_out_what_a_good_session_has_parked(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(store=MemoryStore(max_entries=10, clock=VirtualClock()))
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)
    for number in range(20):
        await shop.switch(f"garbage{number}", currency="CHF")
    emporix.clear_faults()
    await asyncio.sleep(100)

    assert await shop.currency(session.token) == "USD"
