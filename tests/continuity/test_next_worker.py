"""What one worker knows, the next one knows too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import Commit, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Handler, Shop
from ..support.terse import Terse
from ..support.virtual_time import VirtualClock
from .browser import SECRET, Browser, again, choosing, named, page, tier


async def test_switch_is_read_everywhere(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """What was switched on one worker is read on every other."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in workers:
        assert await browser.currency(shop) == "EUR"  # and keeps it for a minute
    await browser.switch(workers[0], currency="USD")
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in workers * 3] == ["USD"] * 9
    assert emporix.count("context.get") == 3


async def test_f11_two_workers_both_win(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """F11: Two workers with different versions both win."""
    session = emporix.new_session(currency="EUR", language="en")
    one, two = Browser(session.token), Browser(session.token)
    for shop in workers:
        await one.currency(shop)
    await asyncio.gather(one.switch(workers[0], currency="USD"), two.switch(workers[1], language="fr"))

    document = emporix.document(session.session_id) or {}
    assert (document["currency"], document["language"], document["metadata"]["version"]) == ("USD", "fr", 3)


async def test_early_choice_is_sent_once(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A choice before the cart follows the shopper and is sent once."""
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")
    assert [await browser.currency(shop) for shop in workers] == ["USD"] * 3

    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    assert [await browser.currency(shop) for shop in (*workers[1:], *workers)] == ["USD"] * 5

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204]
    assert [len(each) > 5 for each in browser.operations] == [True]


async def test_outage_shows_what_was_sent(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """While Emporix is down, the next worker shows what the last one has sent."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(two)
    await browser.switch(one, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) == "USD"


async def test_outage_hides_doubtful_document(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A document that may lack the shopper's own changes is not shown when Emporix is down."""
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

    assert (await browser.visit(two, endpoint)).text == "None fr True"


class DeafStore(MemoryStore):
    """A shared store that this worker cannot tell anything for now."""

    deaf = False

    async def invalidate(
        self, names: Sequence[str], identity: str, floor: int, *, lifetime: float, **more: Any
    ) -> None:
        if self.deaf:
            raise OSError("the store is away")
        await super().invalidate(names, identity, floor, lifetime=lifetime, **more)


async def test_store_from_before_the_change(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A busy shopper is not shown what the store still has from before the shopper's own change."""
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


@pytest.mark.parametrize("slow", [0.2, 1.0])
@pytest.mark.parametrize("shared", [False, True], ids=["nothing shared", "shared store"])
async def test_change_of_somebody_else_before_the_answer(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, *, shared: bool, slow: float
) -> None:
    """What somebody else has changed shows everywhere, though the answer to the shopper's own PATCH comes later."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    shops = [make_shop(secret_key=SECRET, **({"store": store.sibling()} if shared else {})) for _ in range(3)]
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in shops:
        await browser.currency(shop)
    await asyncio.sleep(61)
    emporix.fault("context.patch", Fault(delay_after=slow), times=1)
    answer = browser.send(shops[0], choosing(currency="USD"))
    await asyncio.sleep(0.05)
    emporix.edit(session.session_id, currency="GBP")
    await asyncio.sleep(0.05)
    for shop in shops[1:]:
        await browser.currency(shop)
    browser.receive(await answer)

    for _ in range(5):
        assert [await browser.currency(shop) for shop in shops] == ["GBP"] * 3
        await asyncio.sleep(5)


async def late_switch(ctx: SessionContext, _: Request) -> Response:
    """Change something when the response has gone."""

    async def later() -> None:
        async with ctx.late_changes():
            ctx.switch_currency("USD")

    return PlainTextResponse("", background=BackgroundTask(later))


@pytest.mark.parametrize("instance", [0, 1], ids=["the same instance", "another instance"])
@pytest.mark.parametrize("then", [page, choosing(language="fr")], ids=["page", "switch"])
async def test_late_change_is_carried(
    instance: int, then: Handler, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """A late change that had to wait is carried by the next response of the process, whatever else that has to tell."""
    process = MemoryStore(clock=VirtualClock())
    instances = [make_shop(secret_key=SECRET, store=process) for _ in range(2)]
    elsewhere = make_shop(secret_key=SECRET)
    browser = Browser(emporix.new_session(exists=False).token)

    await browser.visit(instances[0], late_switch)
    assert browser.cookies == {}
    await browser.visit(instances[instance], then)

    assert await browser.currency(elsewhere) == "USD"


async def test_late_change_of_a_visit_that_has_ended(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A logout carries nothing of what was chosen before it."""
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.visit(workers[0], late_switch)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await browser.visit(workers[0], logout)
    assert browser.operations == []
    assert await browser.currency(workers[1]) is None


async def test_commit_before_an_error(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """An explicit commit before a failing response is carried."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[1])

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.APPLIED
        return PlainTextResponse("", status_code=500)

    await browser.visit(workers[0], endpoint)
    assert await browser.currency(workers[1]) == "USD"


async def test_choice_outlives_its_context(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A choice outlives the context that has taken it, where the session is given another one."""
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

    assert [await browser.currency(shop) for shop in (one, two, three)] == ["USD"] * 3
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"


async def test_cookie_knows_not_all_changes(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A cookie does not vouch for a version of which another process has not told what it was made for."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(secret_key=SECRET, store=each) for each in (Terse(store), store.sibling()))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(two)
    await browser.switch(one, language="fr")
    await one.switch(session.token, currency="USD")  # by something that carries no cookie, such as a job
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) is None


async def test_after_parking_it_is_stale(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What is shown after a commit that had to wait says that it is stale."""
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


async def test_two_cookies_leave_a_gap(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """What two cookies say is not taken for what was between them."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.visit(workers[1], named("tier", "old"))
    await browser.visit(workers[2], named("tier", "new"))
    await browser.visit(workers[0], named("size", "g" * 2500))  # takes so much room that the cookie forgets the tier
    emporix.fault("context.*", Fault(status=503), times=None)

    assert (await browser.visit(workers[1], tier)).text != "old"


async def test_commit_before_a_crash(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """What an explicit commit has to tell before the application fails goes with the next page of the worker."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[1])

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        await ctx.commit()
        raise RuntimeError("the shop has a bug")

    with pytest.raises(RuntimeError):  # Starlette answers 500 outside of the middleware
        await browser.visit(workers[0], endpoint)
    assert browser.cookies == {}
    assert await browser.currency(workers[0]) == "USD"
    assert len(browser.cookies) == 1
    assert await browser.currency(workers[1]) == "USD"


async def test_commit_before_bad_input(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """The answer to bad input tells what the request had committed before, as every other answer does."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[1])

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        await ctx.commit()
        ctx.switch_language("no language")

    assert (await browser.visit(workers[0], endpoint)).status_code == 422
    assert len(browser.cookies) == 1
    assert await browser.currency(workers[1]) == "USD"


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
async def test_f40_order_despite_clocks(make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float) -> None:
    """F40: The order of choices does not depend on the clocks of the workers."""
    one, two, three = (make_shop(secret_key=SECRET) for _ in range(3))
    two.clock.wall_offset = offset
    browser = Browser(emporix.new_session(exists=False).token)
    for shop, code in ((one, "USD"), (two, "GBP"), (three, "CHF"), (two, "SEK"), (one, "NOK")):
        await browser.switch(shop, currency=code)
        for each in (one, two, three):
            assert await browser.currency(each) == code
