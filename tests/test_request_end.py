"""Which responses send changes, what may still be changed after their start, and browsers that leave meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from session_ctx_middleware import (
    Commit,
    ContextSealed,
    ContextUnavailable,
    SessionContext,
)
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held
from .support.virtual_time import VirtualClock


@pytest.mark.parametrize("status", [500, 503])
async def test_error_response_discards(shop: Shop, emporix: FakeEmporix, status: int) -> None:
    """An error response discards the changes."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        return Response(status_code=status)

    await shop.visit(endpoint, token=session.token)

    assert emporix.count("context.patch") == 0
    assert shop.named("changes.discarded")


async def test_exception_discards(shop: Shop, emporix: FakeEmporix) -> None:
    """An exception discards the changes."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await shop.visit(endpoint, token=session.token)

    assert emporix.count("context.patch") == 0
    assert shop.named("changes.discarded")


@pytest.mark.parametrize("status", [200, 303, 404, 422])
async def test_every_other_response_commits(shop: Shop, emporix: FakeEmporix, status: int) -> None:
    """Every other response commits."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        return Response(status_code=status)

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_client_goes_away(shop: Shop, emporix: FakeEmporix) -> None:
    """A client that goes away does not stop the commit."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.5))

    leaving = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert await shop.currency(session.token) == "USD"


async def test_client_goes_before_the_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A client that goes away while the token is sought does not stop the commit."""
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


async def test_leaving_is_not_discarding(shop: Shop, emporix: FakeEmporix) -> None:
    """A client that leaves does not have its change reported as discarded."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.5))
    leaving = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert not shop.named("changes.discarded")


class SlowStore(MemoryStore):
    """Answers as late as one over a network does."""

    delay = 0.0

    async def parked(self, names: Any) -> Any:
        await asyncio.sleep(self.delay)
        return await super().parked(names)

    async def park(self, name: Any, changes: Any) -> Any:
        await asyncio.sleep(self.delay)
        return await super().park(name, changes)


async def leaves(shop: Shop, handler: Callable[[SessionContext, Request], Any], token: str, after: float) -> None:
    visit = asyncio.create_task(shop.visit(handler, token=token))
    await asyncio.sleep(after)
    visit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visit
    await asyncio.sleep(30)


async def test_client_goes_while_the_store_is_asked(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A commit that has begun goes on though the client leaves before the store has answered."""
    store = SlowStore(clock=VirtualClock(), shared=True)
    shop, session = make_shop(store=store), emporix.new_session(currency="EUR")
    store.delay = 0.05

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        await ctx.commit()

    await leaves(shop, endpoint, session.token, after=0.02)

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert not shop.named("changes.discarded")


async def test_client_goes_while_a_change_is_parked(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What an endpoint could not commit is parked in the end, though the client leaves meanwhile."""
    store = SlowStore(clock=VirtualClock(), shared=True)
    shop, session = make_shop(store=store), emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(status=503), times=10)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with contextlib.suppress(ContextUnavailable):
            await ctx.commit()
        store.delay = 0.5

    await leaves(shop, endpoint, session.token, after=0.4)
    emporix.clear_faults()

    assert await shop.currency(session.token) == "USD"
    assert not shop.named("changes.discarded")


async def test_change_after_a_commit_that_goes_on(shop: Shop, emporix: FakeEmporix) -> None:
    """A change that an error response discards is reported, also where an earlier one is still on its way."""
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.patch", Fault(delay=0.5))

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await ctx.commit()
        ctx.switch_language("fr")
        return Response(status_code=500)

    await shop.visit(endpoint, token=session.token)
    await asyncio.sleep(1)

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "en")
    assert len(shop.named("changes.discarded")) == 1


async def test_no_token_is_reported(shop: Shop, emporix: FakeEmporix) -> None:
    """Changes without a token are reported."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")

    response = await shop.visit(endpoint)

    assert response.status_code == 200
    assert emporix.count() == 0
    assert [event.outcome for event in shop.named("changes.lost")] == ["NoToken"]


async def test_change_during_last_commit(shop: Shop, emporix: FakeEmporix) -> None:
    """A change recorded while the last commit runs is sent or refused."""
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


async def test_change_after_the_start(shop: Shop, emporix: FakeEmporix) -> None:
    """A change after the response has started is refused with the remedy."""
    from starlette.responses import StreamingResponse

    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[Any]:
            yield "a"
            with pytest.raises(ContextSealed, match="late_changes"):
                ctx.switch_currency("USD")
            async with ctx.late_changes():
                ctx.switch_currency("CHF")
            yield "b"

        return StreamingResponse(body())

    assert (await shop.visit(endpoint, token=session.token)).text == "ab"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_late_changes_are_committed(shop: Shop, emporix: FakeEmporix) -> None:
    """Late changes of a background task are committed."""
    from starlette.background import BackgroundTask

    session = emporix.new_session()

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def work() -> None:
            async with ctx.late_changes():
                ctx.set_attribute("seen", "yes")

        return PlainTextResponse("ok", background=BackgroundTask(work))

    await shop.visit(endpoint, token=session.token)
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["context"] == {"seen": "yes"}


async def test_late_changes_are_discarded(shop: Shop, emporix: FakeEmporix) -> None:
    """Late changes are discarded when the block raises."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(KeyError):
            async with ctx.late_changes():
                ctx.switch_currency("CHF")
                raise KeyError

    await shop.visit(endpoint, token=emporix.new_session().token)

    assert emporix.count("context.patch") == 0


async def test_concurrent_late_batches(shop: Shop, emporix: FakeEmporix) -> None:
    """Concurrent late batches do not discard each other."""
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


async def each_in_a_task(chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Ask for each chunk in a task of its own, as those do who send something else while they wait."""
    while True:
        try:
            yield await asyncio.create_task(anext(chunks))  # type: ignore[arg-type]
        except StopAsyncIteration:
            return


@pytest.mark.parametrize("fails", [False, True])
async def test_batch_of_several_tasks(shop: Shop, emporix: FakeEmporix, *, fails: bool) -> None:
    """A late batch may begin in one task, and go on and end in others."""
    session = emporix.new_session(currency="EUR", language="en")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[Any]:
            async with ctx.late_changes():
                ctx.switch_language("fr")
                yield "a"
                ctx.switch_currency("USD")
                if fails:
                    raise KeyError
            yield "b"
            async with ctx.late_changes():
                ctx.set_attribute("seen", "b")

        async def survives() -> AsyncIterator[Any]:
            with contextlib.suppress(KeyError):
                async for chunk in each_in_a_task(body()):
                    yield chunk
            async with ctx.late_changes():
                ctx.set_attribute("last", "c")

        return StreamingResponse(survives())

    await shop.visit(endpoint, token=session.token)

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == (("EUR", "en") if fails else ("USD", "fr"))
    assert document["context"] == ({"last": "c"} if fails else {"seen": "b", "last": "c"})
    assert len(shop.named("changes.discarded")) == fails


async def test_batch_of_a_forgotten_generator(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A generator that nobody ends is closed elsewhere: its batch is discarded, and no error nobody understands."""
    shop = make_shop()  # which notices errors that reach the event loop only
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def chunks() -> AsyncIterator[Any]:
            async with ctx.late_changes():
                ctx.switch_currency("USD")
                yield "a"

        async def body() -> AsyncIterator[Any]:
            yield await anext(chunks())
            await asyncio.sleep(1)
            async with ctx.late_changes():
                ctx.switch_language("fr")

        return StreamingResponse(body())

    await shop.visit(endpoint, token=session.token)

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("EUR", "fr")
    assert len(shop.named("changes.discarded")) == 1


async def test_raising_batch_brings_none_back(shop: Shop, emporix: FakeEmporix) -> None:
    """A late batch that raises does not bring back what was committed."""
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


async def test_end_leaves_open_batch(shop: Shop, emporix: FakeEmporix) -> None:
    """The end of a request does not empty a late batch that is open."""
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


async def test_long_stream(shop: Shop, emporix: FakeEmporix) -> None:
    """A long stream can refresh and commit more than once."""
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


async def test_one_budget_for_all_commits(shop: Shop, emporix: FakeEmporix) -> None:
    """The commit at the end of a request waits no longer than what earlier ones of that request have left."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=2.5), times=None)

    async def twice(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        await ctx.commit()
        ctx.switch(language="fr")

    began = shop.clock.monotonic()
    await shop.visit(twice, token=session.token)

    assert shop.clock.monotonic() - began == pytest.approx(3.0, abs=0.1)  # commit_deadline


@pytest.mark.parametrize("raises", [False, True])
async def test_failure_beside_a_batch(shop: Shop, emporix: FakeEmporix, *, raises: bool) -> None:
    """A response that fails discards its changes, though a late batch is open beside it; those of the batch stay."""
    session = emporix.new_session(currency="EUR", language="en")
    batches: list[asyncio.Task[None]] = []

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def batch() -> None:
            async with ctx.late_changes():
                ctx.switch_language("fr")
                await asyncio.sleep(0.5)
                ctx.set_attribute("seen", "yes")

        ctx.switch_currency("USD")
        batches.append(asyncio.create_task(batch()))
        await asyncio.sleep(0.1)
        if raises:
            raise KeyError
        return Response(status_code=500)

    with contextlib.suppress(KeyError):
        await shop.visit(endpoint, token=session.token)
    await batches[0]

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("EUR", "fr")
    assert document["context"] == {"seen": "yes"}
    assert len(shop.named("changes.discarded")) == 1


async def test_change_after_a_failed_commit(shop: Shop, emporix: FakeEmporix) -> None:
    """Only what Emporix could not be reached with is parked without another attempt: what is chosen later is sent."""
    session = emporix.new_session(currency="EUR", language="en")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        emporix.fault("*", Fault(status=503), times=None)
        ctx.switch_currency("USD")
        with pytest.raises(ContextUnavailable):
            await ctx.commit()
        emporix.clear_faults()
        ctx.discard()
        ctx.switch_language("fr")

    await shop.visit(endpoint, token=session.token)

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("EUR", "fr")
