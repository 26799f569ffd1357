"""Hooks, plain and async: what they are told, how many calls wait, and that none of them disturbs a request."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from session_ctx_middleware import ContextEvent, SessionContext, SessionContextMiddleware, get_session_context
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.events import Events
from session_ctx_middleware.testing import FakeEmporix

from .continuity.browser import PREFIX
from .support.asgi import never
from .support.shop import Shop

Heard: TypeAlias = list[tuple[str, asyncio.AbstractEventLoop]]

heard_by = contextvars.ContextVar[str]("heard_by", default="nobody")


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


class Recorder:
    """Async hooks of every form, which remember what they were told once they were awaited."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def method(self, event: ContextEvent) -> None:
        await asyncio.sleep(0)
        self.heard.append(event.name)

    async def __call__(self, event: ContextEvent) -> None:
        await self.method(event)

    def returns(self, event: ContextEvent) -> Awaitable[None]:
        return self.method(event)


@pytest.mark.parametrize(
    "form",
    [
        lambda recorder: recorder.method,
        lambda recorder: recorder,
        lambda recorder: recorder.returns,
        lambda recorder: partial(recorder.method),
    ],
    ids=["method", "object", "returns-a-coroutine", "partial"],
)
async def test_async_hook(make_shop: Callable[..., Shop], emporix: FakeEmporix, form: Any) -> None:
    """Whatever a hook returns is awaited if it can be; no event is lost."""
    recorder = Recorder()
    shop = make_shop(on_event=form(recorder))

    await shop.switch(emporix.new_session(currency="EUR").token, currency="USD")
    await asyncio.sleep(1)

    assert recorder.heard == ["commit.applied"]


async def test_nobody_waits_for_a_hook(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A request is answered though an async hook takes its time."""
    ended: list[float] = []

    async def slow(_: ContextEvent) -> None:
        await asyncio.sleep(30)
        ended.append(asyncio.get_running_loop().time())

    shop = make_shop(on_event=slow)
    began = asyncio.get_running_loop().time()

    await shop.visit(page, token=emporix.new_session().token)

    assert asyncio.get_running_loop().time() - began < 1
    assert ended == []


@pytest.mark.parametrize("error", [ValueError("secret"), asyncio.CancelledError("secret")], ids=["error", "cancelled"])
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_hooks_that_fail(
    make_shop: Callable[..., Shop],
    emporix: FakeEmporix,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    kind: str,
) -> None:
    """A hook that fails is logged by the class of its error, once, and counted; pages and other hooks go on."""
    heard: list[str] = []
    stats: list[Any] = []

    def plain(_: ContextEvent) -> None:
        raise error

    async def awaited(_: ContextEvent) -> None:
        raise error

    async def handler(ctx: SessionContext, _: Request) -> str:
        stats.append(ctx.middleware.stats)
        return (await ctx).currency or ""

    shop = make_shop(on_event=[plain if kind == "plain" else awaited, lambda event: heard.append(event.name)])
    token = emporix.new_session(currency="EUR").token
    for _ in range(3):
        assert (await shop.visit(handler, token=token)).text == "EUR"
    await asyncio.sleep(1)

    counter = "hook.dropped" if kind == "async" and isinstance(error, asyncio.CancelledError) else "hook.failed"
    assert heard == ["context.loaded"] * 3
    assert stats[0]()[counter] == 3
    told = [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
    assert [text.partition(" ")[0] for text in told] == [counter]
    assert type(error).__name__ in told[0] or counter == "hook.dropped"
    assert "secret" not in caplog.text


async def test_at_most_a_thousand_wait(caplog: pytest.LogCaptureFixture) -> None:
    """What 1,000 waiting calls leave no room for is dropped, counted, and logged once; then there is room again."""
    told: list[int] = []
    free = asyncio.Event()

    async def stuck(event: ContextEvent) -> None:
        await free.wait()
        told.append(event.attempts)

    def returning(event: ContextEvent) -> Awaitable[None]:
        return stuck(event)

    events = Events([stuck, returning], SystemClock())
    for number in range(600):
        events.emit(ContextEvent(name="commit.applied", attempts=number))

    assert events.counters()["hook.dropped"] == 200
    assert sum("hook.dropped" in record.getMessage() for record in caplog.records) == 1
    free.set()
    await events.drain(5)
    assert sorted(told) == sorted([*range(500)] * 2)
    events.emit(ContextEvent(name="commit.applied", attempts=600))
    await events.drain(5)
    assert told[-2:] == [600, 600]


async def test_shutdown_waits(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A shutdown waits up to 5 s for async hooks, then cuts them short and counts them."""
    ended: list[str] = []

    async def quick(event: ContextEvent) -> None:
        await asyncio.sleep(4)
        ended.append(event.name)

    async def hanging(_: ContextEvent) -> None:
        await asyncio.Event().wait()

    client = emporix.client(httpx2)
    shop = make_shop(on_event=())

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await scope["state"]["session_ctx"]
            await send({"type": "http.response.start", "status": 200, "headers": []})

    middleware = SessionContextMiddleware(
        application, tenant="acme", http_client=client, on_event=[quick, hanging], clock=shop.clock
    )

    async def send(_: Any) -> None: ...

    headers = [(b"authorization", f"Bearer {emporix.new_session().token}".encode())]
    await middleware({"type": "http", "headers": headers}, never, send)
    began = asyncio.get_running_loop().time()
    await middleware.aclose()
    await client.aclose()

    assert ended == ["context.loaded"]
    assert asyncio.get_running_loop().time() - began == pytest.approx(5, abs=0.5)
    assert middleware.stats()["hook.dropped"] == 1


async def test_context_variables(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """An async hook sees the context variables of the request that it is told of, and changes none of them there."""
    seen: list[str] = []

    async def hook(_: ContextEvent) -> None:
        seen.append(heard_by.get())
        heard_by.set("the hook")

    shop = make_shop(on_event=hook)

    async def handler(ctx: SessionContext, _: Request) -> str:
        heard_by.set("this request")
        await ctx
        await asyncio.sleep(1)
        return heard_by.get()

    assert (await shop.visit(handler, token=emporix.new_session().token)).text == "this request"
    assert seen == ["this request"]


class TestRealThreads:
    """Worker threads and other event loops, in real time."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def heard(self) -> Heard:
        return []

    async def test_worker_thread(self, emporix: FakeEmporix, heard: Heard) -> None:
        """What a synchronous endpoint causes in its worker thread is told to async hooks on the request's loop."""

        async def hook(event: ContextEvent) -> None:
            await asyncio.sleep(0)
            heard.append((event.name, asyncio.get_running_loop()))

        def endpoint(request: Request) -> PlainTextResponse:
            ctx = get_session_context(request)
            return PlainTextResponse(f"{ctx.currency}", headers={"Cache-Control": "public"})

        expected = {"context.loaded", "leak.prevented", "continuity.ignored", "token.rejected"}
        client = FakeEmporix().client(httpx2)
        app = Starlette(
            routes=[Route("/", endpoint)],
            middleware=[
                Middleware(
                    SessionContextMiddleware, tenant="acme", http_client=client, on_event=hook, secret_key="s" * 32
                )
            ],
        )
        async with client, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop") as browser:
            headers = {"Cookie": f"{PREFIX}0123456789abcdef=forged", "Authorization": "Bearer x"}
            assert (await browser.get("/", headers=headers)).status_code == 200
            for _ in range(500):
                if expected <= {name for name, _ in heard}:
                    break
                await asyncio.sleep(0.02)

        loop = asyncio.get_running_loop()
        assert {name for name, _ in heard} == expected
        assert all(each is loop for _, each in heard)

    async def test_thread_without_a_loop(self, heard: Heard) -> None:
        """Events of another thread reach an async hook on the loop that is named, without anybody waiting."""

        async def hook(event: ContextEvent) -> None:
            heard.append((event.name, asyncio.get_running_loop()))

        events, loop = Events([hook], SystemClock()), asyncio.get_running_loop()
        await asyncio.to_thread(lambda: events.emit(ContextEvent(name="leak.late"), loop=loop))
        await events.drain(5)

        assert heard == [("leak.late", loop)]

    async def test_before_there_is_a_loop(self, heard: Heard) -> None:
        """Events from building the middleware wait for the first event loop."""

        async def hook(event: ContextEvent) -> None:
            heard.append((event.name, asyncio.get_running_loop()))

        events, loop = Events([hook], SystemClock()), asyncio.get_running_loop()
        await asyncio.to_thread(lambda: events.emit(ContextEvent(name="leak.late")))
        assert heard == []
        events.began(loop)
        await events.drain(5)

        assert heard == [("leak.late", loop)]


def test_loops_that_come_and_go() -> None:
    """Loops that were closed in the middle of a hook's call take no room for ever; a closed loop drops the event."""
    events = Events([lambda _: asyncio.Event().wait()], SystemClock())

    async def visit() -> None:
        events.began(asyncio.get_running_loop())
        for _ in range(400):
            events.emit(ContextEvent(name="commit.applied"))
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    for _ in range(5):
        asyncio.run(visit())
    loop.close()
    before = events.counters()["hook.dropped"]
    events.emit(ContextEvent(name="commit.applied"), loop=loop)

    assert before == 5 * 400  # cut short at the end of each loop, not for want of room
    assert events.counters()["hook.dropped"] == before + 1
