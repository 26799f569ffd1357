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
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .support.shop import Shop, held, patches, without_receipts
from .support.virtual_time import VirtualClock


async def waiting(shop: Shop, emporix: FakeEmporix, **parked: str) -> FakeSession:
    """Return a session for which changes are parked that can be sent from now on."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, **parked)
    emporix.create_context(session.session_id)
    await asyncio.sleep(5)
    return session


async def test_before_the_context_exists(shop: Shop, emporix: FakeEmporix) -> None:
    """A switch before the context exists is parked and shows at once."""
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


async def test_f33_sent_in_one_patch(shop: Shop, emporix: FakeEmporix) -> None:
    """F33: What was parked is sent in one PATCH when the context appears."""
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


async def test_leaves_with_own_changes(shop: Shop, emporix: FakeEmporix) -> None:
    """Parked changes and those of the request leave together, and the later one wins."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD", language="fr")
    await asyncio.sleep(3)
    emporix.create_context(session.session_id)

    await shop.switch(session.token, currency="CHF")

    assert [without_receipts(body) for body in patches(emporix)] == [
        {"currency": "CHF", "language": "fr", "metadata": {"version": 1}}
    ]
    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.patch") == 1


async def test_cart_created_sends(shop: Shop, emporix: FakeEmporix) -> None:
    """`cart_created` sends what is parked at once."""
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


async def test_cart_created_is_patient(shop: Shop, emporix: FakeEmporix) -> None:
    """`cart_created` is patient with a context that takes its time."""
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


async def test_cart_created_gives_up(shop: Shop, emporix: FakeEmporix) -> None:
    """`cart_created` gives up in time, and keeps the choice."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    async def add_to_cart(ctx: SessionContext, _: Request) -> str:
        await ctx.cart_created("cart-1")
        return f"{ctx.exists} {ctx.currency}"

    began = asyncio.get_running_loop().time()
    assert (await shop.visit(add_to_cart, token=session.token)).text == "False USD"
    assert asyncio.get_running_loop().time() - began <= 2.0


async def test_f16_context_vanishes(shop: Shop, emporix: FakeEmporix) -> None:
    """F16: A context that vanishes parks the change without a loop."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.delete_context(session.session_id)

    await shop.switch(session.token, currency="USD")

    assert shop.named("commit.parked")
    # It was there a moment ago: Emporix is asked once more, as a replica may lag.
    assert (emporix.count("context.patch"), emporix.count("context.get")) == (1, 3)
    assert await shop.currency(session.token) == "USD"


async def test_f34_change_during_sending(shop: Shop, emporix: FakeEmporix) -> None:
    """F34: A change made while parked ones are sent survives."""
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


async def test_error_response_keeps_it(shop: Shop, emporix: FakeEmporix) -> None:
    """An error response keeps what was parked before."""
    from starlette.responses import Response

    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch(currency="CHF")
        return Response(status_code=500)

    await shop.visit(endpoint, token=session.token)

    assert await shop.currency(session.token) == "USD"


async def test_f35_sent_but_not_unparked(shop: Shop, emporix: FakeEmporix) -> None:
    """F35: A change that was sent but not unparked has no second effect."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(3)
    emporix.create_context(session.session_id, currency="EUR")
    emporix.edit(session.session_id, currency="USD")  # as a process did that stopped before it could unpark

    assert await shop.currency(session.token) == "USD"

    # Sent once more, as its receipt is what stops an older change; then never again.
    assert held(emporix, session.session_id)["metadata"]["version"] == 3
    for _ in range(3):
        await asyncio.sleep(120)
        assert await shop.currency(session.token) == "USD"
    assert emporix.count("context.patch") == 1


async def test_turns_of_commits(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Commits wait for their turn as long as they may; who gets none is parked, and sent by the next page."""
    from session_ctx_middleware import UpstreamPolicy

    shop = make_shop(upstream=UpstreamPolicy(max_flights=1, max_concurrency=1))
    sessions = [emporix.new_session(currency="EUR") for _ in range(5)]
    for session in sessions:
        await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=1.0), times=None)

    await asyncio.gather(*(shop.switch(session.token, currency="USD") for session in sessions))
    assert len(shop.named("commit.parked")) in {2, 3}
    emporix.clear_faults()
    await asyncio.sleep(1.5)
    for session in sessions:
        assert await shop.currency(session.token) == "USD"

    assert {held(emporix, session.session_id)["currency"] for session in sessions} == {"USD"}


async def test_shows_when_nothing_is_kept(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A parked change shows in its own request when nothing is remembered."""
    shop = make_shop(cache=CachePolicy(missing_ttl=0))
    session = emporix.new_session(exists=False)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.switch_currency("USD")
        await ctx.commit()
        return ctx.currency or ""

    assert (await shop.visit(endpoint, token=session.token)).text == "USD"


async def test_shows_when_too_much_is_asked(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A parked change shows in its own request when too much is in the air."""
    shop = make_shop(upstream=UpstreamPolicy(max_concurrency=1, total_timeout=10))
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


async def test_parking_is_no_load(shop: Shop, emporix: FakeEmporix) -> None:
    """A change parked without a load does not pass for a load."""
    emporix.fault("context.get", Fault(status=429, retry_after=30), times=1)
    await shop.currency(emporix.new_session().token)  # closes the gate for everybody
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.PARKED
        await ctx
        return f"{ctx.currency} {ctx.is_degraded}"

    assert (await shop.visit(endpoint, token=session.token)).text == "USD True"


async def test_refusal_of_another_change(shop: Shop, emporix: FakeEmporix) -> None:
    """A refused change does not take a parked one of another page with it."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, language="fr")  # acknowledged as PARKED
    emporix.create_context(session.session_id, currency="EUR", language="en")
    await asyncio.sleep(3)
    emporix.fault("context.patch", Fault(status=422), times=2)  # the currency is not offered by this site
    await shop.switch(session.token, currency="XXX")
    await asyncio.sleep(10)

    await shop.currency(session.token)

    assert held(emporix, session.session_id)["language"] == "fr"


async def test_refused_together_own_are_sent_alone(shop: Shop, emporix: FakeEmporix) -> None:
    """A parked change that Emporix does not want any more takes no change of the request with it."""
    session = await waiting(shop, emporix, site_code="gone")
    emporix.fault("context.patch", Fault(status=400), times=1)

    await shop.switch(session.token, currency="USD")

    sent = [{*without_receipts(body)} - {"metadata"} for body in patches(emporix)]
    assert sent == [{"siteCode", "currency"}, {"currency"}]
    document = held(emporix, session.session_id)
    assert (document["siteCode"], document["currency"]) == ("main", "USD")
    assert [(event.operation, event.status) for event in shop.named("commit.refused")] == [("parked", 400)]
    assert [event.attempts for event in shop.named("commit.applied")] == [2]


async def test_refused_parked_is_dropped(shop: Shop, emporix: FakeEmporix) -> None:
    """What was parked and refused is not shown and not sent again."""
    session = await waiting(shop, emporix, site_code="gone")
    emporix.fault("context.patch", Fault(status=422), times=1)
    await shop.switch(session.token, currency="USD")
    seen: list[object] = []

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        seen.append((ctx.site_code, ctx.currency, dict(ctx.pending)))

    for _ in range(3):
        await shop.visit(page, token=session.token)
        await asyncio.sleep(100)

    assert seen == [("main", "USD", {})] * 3
    assert emporix.count("context.patch") == 2


async def test_refused_parked_is_dropped_from_cookie(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What was parked in the browser's cookie and refused is not brought back by it."""
    shop = make_shop(secret_key="k" * 32)
    session = await waiting(shop, emporix, site_code="gone")
    emporix.fault("context.patch", Fault(status=422), times=1)
    await shop.switch(session.token, currency="USD")
    other = make_shop(secret_key="k" * 32)
    other.browser.cookies = shop.browser.cookies

    for _ in range(3):
        assert await other.currency(session.token) == "USD"
        await asyncio.sleep(100)

    assert emporix.count("context.patch") == 2
    assert held(emporix, session.session_id)["siteCode"] == "main"


async def test_both_are_refused(shop: Shop, emporix: FakeEmporix) -> None:
    """Where the request's own change is refused too, that one is dropped; what is parked is tried once more, alone."""
    session = await waiting(shop, emporix, site_code="gone")
    emporix.fault("context.patch", Fault(status=400), times=3)

    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(10)
    await shop.currency(session.token)
    await asyncio.sleep(10)
    await shop.currency(session.token)

    assert [{*without_receipts(body)} - {"metadata"} for body in patches(emporix)] == [
        {"siteCode", "currency"},
        {"currency"},
        {"siteCode"},
    ]
    assert [event.outcome for event in shop.named("commit.refused")] == ["ChangeRefused"] * 2


async def test_refused_together_then_down(shop: Shop, emporix: FakeEmporix) -> None:
    """An outage between the two PATCHes drops nothing."""
    session = await waiting(shop, emporix, site_code="gone")
    emporix.fault("context.patch", Fault(status=400), times=1)
    emporix.fault("context.patch", Fault(status=503), times=None)

    await shop.switch(session.token, currency="USD")
    assert shop.named("commit.parked")
    assert not shop.named("commit.refused")
    emporix.clear_faults()
    await asyncio.sleep(30)
    await shop.currency(session.token)

    document = held(emporix, session.session_id)
    assert (document["siteCode"], document["currency"]) == ("gone", "USD")


async def test_refused_together_despite_one_attempt(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Sending the own changes alone is granted on top of the attempts against conflicts."""
    shop = make_shop(upstream=UpstreamPolicy(max_attempts=1))
    session = await waiting(shop, emporix, site_code="gone")
    emporix.fault("context.patch", Fault(status=400), times=1)

    await shop.switch(session.token, currency="USD")

    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_refused_after_it_was_parked(shop: Shop, emporix: FakeEmporix) -> None:
    """A change that counts as parked, because Emporix took too long, and is refused in the end is told."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(status=422, delay=3.5), times=1)

    await shop.switch(session.token, currency="XXX")
    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.parked"]
    await asyncio.sleep(20)

    assert [(event.operation, event.status) for event in shop.named("commit.refused")] == [("parked", 422)]
    assert await shop.currency(session.token) == "EUR"
    assert len(patches(emporix)) == 1


async def test_parked_of_the_same_field_is_refused(shop: Shop, emporix: FakeEmporix) -> None:
    """A refusal of nothing but own changes is no reason to send them twice, whatever they replace."""
    session = await waiting(shop, emporix, currency="CHF")
    emporix.fault("context.patch", Fault(status=400), times=1)

    await shop.switch(session.token, currency="XXX")

    assert emporix.count("context.patch") == 1
    assert [event.operation for event in shop.named("commit.refused")] == ["respond"]


async def test_bounded_per_session(shop: Shop, emporix: FakeEmporix) -> None:
    """What is parked for one session is bounded."""
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


async def test_garbage_tokens(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Garbage tokens do not push out what a good session has parked."""
    shop = make_shop(store=MemoryStore(max_entries=10, clock=VirtualClock()))
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)
    for number in range(20):
        await shop.switch(f"garbage{number}", currency="CHF")
    emporix.clear_faults()
    await asyncio.sleep(100)

    assert await shop.currency(session.token) == "USD"
