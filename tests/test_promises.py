"""Cases that each broke a promise once: races, late answers, forgotten slots, unproven claims."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import jwt
import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    Commit,
    ContextSealed,
    ContextUnavailable,
    InvalidChange,
    SessionContext,
    SessionContextMiddleware,
    StorefrontToken,
    UpstreamPolicy,
)
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop
from .support.virtual_time import VirtualClock

SECRET = "s" * 32


def held(emporix: FakeEmporix, session_id: str) -> dict[str, Any]:
    document = emporix.document(session_id)
    assert document is not None
    return document


# 2. Lost, doubly applied, wrongly overwritten


async def test_a_late_success_of_an_explicit_commit_is_not_parked_over_a_newer_choice(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=3.5), times=1)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(ContextUnavailable):
            await ctx.commit()  # 3.0 s; lands at 3.5 s
        await asyncio.sleep(2)  # still working

    slow = asyncio.create_task(shop.visit(endpoint, token=session.token))
    await asyncio.sleep(4)
    await shop.switch(session.token, currency="CHF")  # the shopper's newest choice, acknowledged
    assert held(emporix, session.session_id)["currency"] == "CHF"
    await slow

    assert await shop.currency(session.token) == "CHF"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_concurrent_late_batches_do_not_discard_each_other(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session()

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def fails() -> None:
            async with ctx.late_changes():
                await asyncio.sleep(0.1)
                raise KeyError

        async def works() -> None:
            async with ctx.late_changes():
                ctx.switch_currency("CHF")
                await asyncio.sleep(0.2)

        async def body() -> AsyncIterator[Any]:
            yield "a"
            results = await asyncio.gather(fails(), works(), return_exceptions=True)
            assert [type(result) for result in results] == [KeyError, type(None)]

        return StreamingResponse(body())

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_a_late_batch_that_raises_does_not_bring_back_what_was_committed(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    pending: list[Any] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        try:
            async with ctx.late_changes():
                assert await ctx.commit() is Commit.APPLIED
                emporix.edit(session.session_id, currency="CHF")  # somebody else, later
                raise KeyError  # noqa: TRY301 - the bug of an application
        except KeyError:
            pending.append(dict(ctx.pending))

    await shop.visit(endpoint, token=session.token)

    assert pending == [{}]
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_a_change_recorded_while_the_last_commit_runs_is_sent_or_refused(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.patch", Fault(delay=0.5), times=1)
    outcome: list[str] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")

        async def record() -> None:
            await asyncio.sleep(0.2)
            try:
                ctx.switch_language("fr")
                outcome.append("recorded")
            except ContextSealed:
                outcome.append("sealed")

        tasks.append(asyncio.create_task(record()))

    tasks: list[asyncio.Task[None]] = []
    await shop.visit(endpoint, token=session.token)
    await asyncio.gather(*tasks)

    sent = held(emporix, session.session_id)["language"] == "fr"
    assert outcome == ["sealed"] or sent


async def test_after_a_commit_that_failed_and_one_that_worked_later_changes_are_sent(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.patch", Fault(status=409), times=4)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(Exception, match="attempts"):
            await ctx.commit()
        assert await ctx.commit() is Commit.APPLIED
        ctx.switch_language("fr")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["language"] == "fr"


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


async def test_threads_of_one_request_do_not_lose_each_others_changes(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    inside: list[int] = [0, 0]

    class Slow(VirtualClock):
        """Gives the other thread time to come in between."""

        def time(self) -> float:
            if threading.current_thread() is threading.main_thread():
                return super().time()
            inside[0] += 1
            inside[1] = max(inside)
            time.sleep(0.05)
            inside[0] -= 1
            return 0.0

        def monotonic(self) -> float:
            return super().monotonic() if threading.current_thread() is threading.main_thread() else 0.0

    shop = make_shop(clock=Slow())
    session = emporix.new_session(currency="EUR", language="en")
    seen: list[Any] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        await asyncio.gather(
            asyncio.to_thread(ctx.switch_currency, "USD"), asyncio.to_thread(ctx.switch_language, "fr")
        )
        seen.append(dict(ctx.pending))

    await shop.visit(endpoint, token=session.token)

    assert seen == [{"currency": "USD", "language": "fr"}]
    assert inside[1] == 1


# 2/3. Parked changes


async def test_a_parked_choice_shows_when_emporix_is_down_a_moment_later(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(10)
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) == "USD"


async def test_a_choice_parked_before_the_session_was_known_follows_a_refreshed_token(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(session.token, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(100)
    assert await shop.currency(session.token) == "USD"  # the answer, a 404, says which session this is
    other = emporix.new_token(session.session_id)

    assert await shop.currency(other) == "USD"


async def test_forget_reaches_what_is_parked_without_a_load_before_it(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(10)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)

    assert await shop.currency(session.token) is None


async def test_forget_reaches_the_other_tokens_of_the_session_without_a_load(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop()
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(other)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)  # the first request with this token
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(other) is None


async def test_parked_changes_survive_a_passing_refusal_of_the_token(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(1.9)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx.refresh()
        return ctx.currency or ""

    emporix.fault("context.get", Fault(status=401), times=1)
    await shop.visit(page, token=session.token)

    assert (await shop.visit(page, token=session.token)).text == "USD"


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


async def test_two_workers_with_one_store_do_not_send_a_parked_change_twice(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(currency="EUR")
    await one.currency(session.token)
    emporix.fault("context.patch", Fault(status=429, retry_after=1), times=1)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(5)
    await two.currency(session.token)  # sends USD
    assert held(emporix, session.session_id)["currency"] == "USD"
    await two.switch(session.token, currency="CHF")

    await one.currency(session.token)
    await one.currency(session.token)

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_a_parked_change_that_another_worker_replaces_while_it_is_on_its_way_is_not_sent_again(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=429, retry_after=1), times=1)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(5)
    emporix.fault("context.patch", Fault(delay=0.5), times=1)
    page = asyncio.create_task(two.currency(session.token))  # sends USD, which takes its time
    await asyncio.sleep(0.1)
    await one.switch(session.token, currency="CHF")
    assert held(emporix, session.session_id)["currency"] == "CHF"

    await page

    assert held(emporix, session.session_id)["currency"] == "CHF"


class SlowStore(MemoryStore):
    """A store over a network."""

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        await asyncio.sleep(0.3)
        found = await super().parked(names)
        await asyncio.sleep(0.3)
        return found


async def test_a_page_does_not_overtake_the_first_look_for_parked_changes(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = SlowStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    emporix.fault("context.*", Fault(status=503), times=None)
    await one.switch(session.token, currency="USD")

    pages = await asyncio.gather(*(two.currency(session.token) for _ in range(3)))

    assert pages == ["USD", "USD", "USD"]


async def test_a_page_waits_for_the_look_at_what_another_worker_has_just_parked(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = SlowStore(clock=VirtualClock(), shared=True)
    one, two = make_shop(store=store.sibling()), make_shop(store=store)
    session = emporix.new_session(exists=False)
    for shop in (one, two):
        assert not await shop.currency(session.token)
    await one.switch(session.token, currency="USD")

    pages = await asyncio.gather(*(two.currency(session.token) for _ in range(3)))

    assert pages == ["USD", "USD", "USD"]
    assert emporix.count("context.get") == 2


async def test_a_page_that_overlaps_the_sending_of_a_parked_change_elsewhere_does_not_go_behind_it(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="USD")
    assert await two.currency(session.token) == "USD"
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    emporix.fault("context.get", Fault(delay_after=0.5), times=1)

    page = asyncio.create_task(two.currency(session.token))  # is told of EUR in a while
    await asyncio.sleep(0.1)
    assert await one.currency(session.token) == "USD"  # and sends it
    assert held(emporix, session.session_id)["currency"] == "USD"

    assert await page == "USD"
    assert await two.currency(session.token) == "USD"


# 3. Stale reads


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


# 4. Resurrection


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


# 1. Isolation


async def test_a_session_id_that_is_not_proven_shows_nothing_of_that_session(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    victim, attacker = emporix.new_session(exists=False), emporix.new_session(exists=False)

    def source(connection: HTTPConnection) -> StorefrontToken | None:
        # A shop that takes the session id from a cookie.
        value = connection.headers.get("authorization", "").removeprefix("Bearer ")
        return StorefrontToken(value, session_id=connection.headers.get("x-session"))

    shop = make_shop(token=source)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("name", "victim")

    await shop.visit(endpoint, token=victim.token, headers={"x-session": victim.session_id})
    emporix.fault("context.get", Fault(status=503), times=None)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return repr(dict(ctx.attributes))

    response = await shop.visit(page, token=attacker.token, headers={"x-session": victim.session_id})

    assert response.text == "{}"


# 5. Calls


async def test_a_token_that_has_ended_is_not_asked_about_with_every_page(shop: Shop, emporix: FakeEmporix) -> None:
    ended = jwt.encode({"exp": int(shop.clock.time()) - 100}, "k" * 32)

    for _ in range(10):
        await shop.currency(ended)

    assert emporix.count("context.get") == 1


async def test_a_token_that_has_ended_does_not_escape_the_throttle(shop: Shop, emporix: FakeEmporix) -> None:
    ended = jwt.encode({"exp": int(shop.clock.time()) - 100}, "k" * 32)
    emporix.fault("context.get", Fault(status=500), times=None)

    for _ in range(4):
        await shop.currency(ended)

    assert emporix.count("context.get") <= 2


async def test_loading_from_two_tasks_asks_the_token_source_once(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    asked: list[int] = []

    async def source(_: HTTPConnection) -> str:
        asked.append(1)
        await asyncio.sleep(0.1)
        return session.token

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await asyncio.gather(ctx.load(), ctx.load())

    await make_shop(token=source).visit(endpoint)

    assert len(asked) == 1


# 6. Errors


class BrokenStore(MemoryStore):
    async def parked(self, names: Sequence[str]) -> ContextChanges:
        raise ConnectionError("store is down")


async def test_a_store_that_is_down_does_not_break_a_page(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    shop = make_shop(store=BrokenStore(clock=VirtualClock()))
    session = emporix.new_session(currency="EUR")

    assert await shop.currency(session.token) == "EUR"


async def test_a_number_that_is_too_large_is_an_invalid_change(shop: Shop, emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(InvalidChange):
            ctx.set_attribute("k", {"n": 10**5000})

    await shop.visit(endpoint, token=emporix.new_session().token)


async def test_reading_after_cart_created_without_a_token_is_an_empty_context(shop: Shop) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx.cart_created("c")
        return str(ctx.cart_id)

    assert (await shop.visit(endpoint)).text == "None"


# 7. HTTP caches


async def test_a_streaming_page_that_reads_while_it_streams_is_private_or_reported(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        await ctx

        async def body() -> AsyncIterator[str]:
            yield f"{ctx.currency} {ctx.customer_id}"

        return StreamingResponse(body(), headers={"Cache-Control": "public, max-age=600"})

    response = await shop.visit(endpoint, token=session.token)

    reported = shop.named("leak.late") or shop.named("leak.prevented")
    assert "public" not in response.headers["cache-control"] or reported


@pytest.mark.parametrize("name", ["X-Accel-Expires", "Edge-Control"])
async def test_other_headers_that_invite_shared_caches_are_closed(shop: Shop, emporix: FakeEmporix, name: str) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        return PlainTextResponse((await ctx).currency, headers={name: "600" if "Accel" in name else "max-age=600"})

    response = await shop.visit(endpoint, token=emporix.new_session().token)

    assert "600" not in response.headers.get(name, "")


async def test_a_qualified_private_does_not_close_a_targeted_header(shop: Shop, emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        return PlainTextResponse(
            (await ctx).currency, headers={"CDN-Cache-Control": 'private="set-cookie", max-age=600'}
        )

    response = await shop.visit(endpoint, token=emporix.new_session().token)

    assert "600" not in response.headers["cdn-cache-control"]


# Events


async def test_a_client_that_leaves_does_not_have_its_change_reported_as_discarded(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.5))
    leaving = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert not shop.named("changes.discarded")


# Late and slow


async def test_a_commit_that_was_given_up_is_not_repeated_over_a_newer_choice(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=1.5), times=1)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await ctx.commit()  # lands at 1.5 s
        await asyncio.sleep(2)

    slow = asyncio.create_task(shop.visit(endpoint, token=session.token))
    await asyncio.sleep(2)
    assert held(emporix, session.session_id)["currency"] == "USD"
    await shop.switch(session.token, currency="CHF")
    await slow

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_an_older_choice_parked_for_one_token_does_not_overwrite_a_newer_one_of_the_session(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(other, currency="USD")  # parked: Emporix is down, and the token is new here
    emporix.clear_faults()
    await asyncio.sleep(30)
    await shop.switch(session.token, currency="CHF")
    assert held(emporix, session.session_id)["currency"] == "CHF"

    await shop.currency(other)
    await asyncio.sleep(10)

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_an_older_choice_parked_for_one_token_does_not_come_back_when_all_else_is_forgotten(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    emporix.fault("context.get", Fault(status=503), times=2)
    await shop.switch(session.token, currency="USD")  # parked: nobody knows yet which session this is
    await asyncio.sleep(30)
    await shop.switch(other, currency="CHF")
    assert await shop.currency(session.token) == "CHF"
    await asyncio.sleep(3600)  # no slot is left that remembers
    for _ in range(2):
        assert await shop.currency(session.token) == "CHF"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_pages_do_not_wait_behind_a_patch_that_hangs(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=60), times=1)
    await shop.switch(session.token, currency="USD")
    took = []

    for _ in range(4):
        began = asyncio.get_running_loop().time()
        assert await shop.currency(session.token) == "USD"
        took.append(asyncio.get_running_loop().time() - began)
    await asyncio.sleep(100)

    assert took[1:] == [0, 0, 0]


async def test_a_patch_that_never_ends_does_not_block_the_session_for_ever(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.patch", Fault(delay=3600), times=1)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(600)

    await shop.switch(session.token, language="fr")
    language = held(emporix, session.session_id)["language"]
    await asyncio.sleep(3600)

    assert language == "fr"


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


async def test_a_client_that_goes_away_while_the_token_is_sought_does_not_stop_the_commit(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")

    async def source(_: HTTPConnection) -> str:
        await asyncio.sleep(0.1)
        return session.token

    shop = make_shop(token=source)
    leaving = asyncio.create_task(shop.switch("unused", currency="USD"))
    await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_a_long_stream_can_refresh_and_commit_more_than_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.*", Fault(delay=0.1), times=None)
    stale: list[bool] = []

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            for _ in range(40):
                await asyncio.sleep(30)
                await ctx.refresh()
                stale.append(ctx.is_stale or ctx.is_degraded)
                yield "x"

        return StreamingResponse(body())

    await shop.visit(endpoint, token=session.token)

    assert not any(stale)


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


async def test_f39_a_change_whose_client_left_is_kept_when_the_process_stops(
    emporix: FakeEmporix, http_library: Any, make_shop: Callable[..., Shop]
) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=60), times=1)
    store = MemoryStore(clock=VirtualClock(), shared=True)  # stands for one that outlives the process

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["session_ctx"].switch_currency("USD")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    wrapped = SessionContextMiddleware(
        app, tenant="acme", http_client=emporix.client(http_library), clock=VirtualClock(), store=store
    )
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {session.token}".encode())]}
    leaving = asyncio.create_task(wrapped(scope, never, never))
    await asyncio.sleep(0.2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await wrapped.aclose()

    next_process = make_shop(store=store.sibling())
    assert await next_process.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"


# Sources and batches


async def test_a_bearer_source_that_an_application_refines_is_asked(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    class OnlyVerified(BearerToken):
        def __call__(self, connection: HTTPConnection) -> str | None:
            return None  # verification failed

    session = emporix.new_session(currency="EUR")

    assert await make_shop(token=OnlyVerified()).currency(session.token) is None
    assert emporix.count() == 0


async def test_the_end_of_a_request_does_not_empty_a_late_batch_that_is_open(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    tasks: list[asyncio.Task[None]] = []

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def work() -> None:
            await asyncio.sleep(0.05)
            async with ctx.late_changes():
                ctx.switch_currency("CHF")
                await asyncio.sleep(0.2)

        async def body() -> AsyncIterator[str]:
            yield "a"
            await asyncio.sleep(0.1)

        tasks.append(asyncio.create_task(work()))
        return StreamingResponse(body())

    await shop.visit(endpoint, token=session.token)
    await asyncio.gather(*tasks)

    assert held(emporix, session.session_id)["currency"] == "CHF"
