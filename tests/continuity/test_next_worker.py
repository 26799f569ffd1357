"""What one worker knows, the next one knows too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import Commit, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .browser import NAME, SECRET, Browser, again, named, payload, tier


async def test_what_was_switched_on_one_worker_is_read_on_every_other(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in workers:
        assert await browser.currency(shop) == "EUR"  # and keeps it for a minute
    await browser.switch(workers[0], currency="USD")
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in workers * 3] == ["USD"] * 9
    assert emporix.count("context.get") == 3


async def test_f11_two_workers_with_different_versions_both_win(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    one, two = Browser(session.token), Browser(session.token)
    for shop in workers:
        await one.currency(shop)
    await asyncio.gather(one.switch(workers[0], currency="USD"), two.switch(workers[1], language="fr"))

    document = emporix.document(session.session_id) or {}
    assert (document["currency"], document["language"], document["metadata"]["version"]) == ("USD", "fr", 3)


async def test_a_choice_before_the_cart_follows_the_shopper_and_is_sent_once(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")
    assert [await browser.currency(shop) for shop in workers] == ["USD"] * 3

    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    assert [await browser.currency(shop) for shop in (*workers[1:], *workers)] == ["USD"] * 5

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204]
    assert payload(browser.cookies[NAME])["p"] == []


async def test_while_emporix_is_down_the_next_worker_shows_what_the_last_one_has_sent(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(two)
    await browser.switch(one, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) == "USD"


async def test_a_document_that_may_lack_own_changes_is_not_shown_when_emporix_is_down(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(two)
    emporix.edit(session.session_id, currency="CHF")
    await browser.switch(one, language="fr")  # made over a version that the other worker has never seen
    emporix.fault("context.*", Fault(status=503), times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language} {ctx.is_degraded}"

    assert (await browser.visit(two, endpoint)).text == "None None True"


class DeafStore(MemoryStore):
    """A shared store that this worker cannot tell anything for now."""

    deaf = False

    async def invalidate(self, names: Sequence[str], identity: str, floor: int, *, lifetime: float) -> None:
        if self.deaf:
            raise OSError("the store is away")
        await super().invalidate(names, identity, floor, lifetime=lifetime)


async def test_a_busy_shopper_is_not_shown_what_the_store_still_has_from_before_the_own_change(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = DeafStore(shared=True, clock=VirtualClock())
    one, two, three = (make_shop(secret_key=SECRET, store=each) for each in (store, store.sibling(), store.sibling()))
    browser = Browser(emporix.new_session(currency="EUR").token)
    for number in range(15):  # more than Emporix is asked for one cookie after the other
        await browser.switch(one, currency=("CHF", "GBP")[number % 2])
        await browser.currency(two)
    await browser.switch(one, currency="SEK")
    assert await browser.currency(three) == "SEK"  # and the store has it from here
    store.deaf = True
    await browser.switch(one, currency="USD")

    assert await browser.currency(two) == "USD"
    assert await browser.currency(two) == "USD"


async def test_a_late_change_that_had_to_wait_is_carried_by_the_next_response(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)

    async def stream(ctx: SessionContext, _: Request) -> Response:
        async def later() -> None:
            async with ctx.late_changes():
                ctx.switch_currency("USD")

        from starlette.background import BackgroundTask

        return PlainTextResponse("", background=BackgroundTask(later))

    await browser.visit(workers[0], stream)
    assert browser.cookies == {}
    assert await browser.currency(workers[0]) == "USD"
    assert await browser.currency(workers[1]) == "USD"


async def test_an_explicit_commit_before_a_failing_response_is_carried(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[1])

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.APPLIED
        return PlainTextResponse("", status_code=500)

    await browser.visit(workers[0], endpoint)
    assert await browser.currency(workers[1]) == "USD"


@pytest.mark.parametrize("reads", [True, False])
async def test_a_cookie_that_tells_of_the_last_context_does_not_bring_it_back_once_it_was_created_anew(
    workers: tuple[Shop, ...], emporix: FakeEmporix, reads: bool
) -> None:
    one, two, three = workers
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in (two, three):
        await browser.currency(shop)
    await browser.switch(one, currency="USD")
    await browser.currency(one)
    await asyncio.sleep(1)
    emporix.recreate_context(session.session_id, currency="CHF")
    await browser.visit(one, again)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.switch(two, language="fr")  # this worker knows of the last context only

    if reads:
        assert await browser.currency(one) == "CHF"
    await browser.switch(one, target_location="CH")
    assert await browser.currency(three) is None


async def test_a_cookie_does_not_vouch_for_a_change_that_another_process_has_told_of(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(secret_key=SECRET, store=each) for each in (store, store.sibling()))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(two)
    await browser.switch(one, language="fr")
    await one.switch(session.token, currency="USD")  # by something that carries no cookie, such as a job
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) is None


async def test_what_is_shown_after_a_commit_that_had_to_wait_says_that_it_is_stale(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(two)
    await asyncio.sleep(200)
    await browser.switch(one, currency="USD")
    emporix.fault("context.*", Fault(status=429), times=None)
    await browser.currency(two)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        ctx.switch_language("fr")
        outcome = await ctx.commit()
        return f"{outcome.value} {ctx.currency} {ctx.is_stale}"

    assert (await browser.visit(two, endpoint)).text == "parked USD True"


async def test_what_two_cookies_say_is_not_taken_for_what_was_between_them(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.visit(workers[1], named("tier", "old"))
    await browser.visit(workers[2], named("tier", "new"))
    await browser.visit(workers[0], named("size", "g" * 2500))  # takes so much room that the cookie forgets the tier
    emporix.fault("context.*", Fault(status=503), times=None)

    assert (await browser.visit(workers[1], tier)).text != "old"


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
async def test_f40_the_order_of_choices_does_not_depend_on_the_clocks_of_the_workers(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float
) -> None:
    one, two, three = (make_shop(secret_key=SECRET) for _ in range(3))
    two.clock.wall_offset = offset
    browser = Browser(emporix.new_session(exists=False).token)
    for shop, code in ((one, "USD"), (two, "GBP"), (three, "CHF"), (two, "SEK"), (one, "NOK")):
        await browser.switch(shop, currency=code)
        for each in (one, two, three):
            assert await browser.currency(each) == code
