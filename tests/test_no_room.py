"""Everything is bounded, and what a bound costs somebody is told: calls not made, and changes not kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import (
    ConfigurationError,
    ContextEvent,
    SessionContext,
    SessionContextMiddleware,
    SharedCacheLeak,
    UpstreamPolicy,
)
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.asgi import never, scope_for
from .support.shop import Shop
from .support.virtual_time import VirtualClock


def warnings(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "session_ctx_name", "") == name and record.levelno >= logging.WARNING
    ]


async def counters(shop: Shop) -> dict[str, int]:
    found: list[Any] = []

    async def handler(ctx: SessionContext, _: Request) -> None:
        found.append(dict(ctx.middleware.stats()))

    await shop.visit(handler)
    return found[0]  # type: ignore[no-any-return]


async def test_calls_that_are_not_made(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """Who gets no turn in time is told: one warning for a crowd, an event and a count for each."""
    shop = make_shop(upstream=UpstreamPolicy(max_concurrency=1, deadline=1.0))
    emporix.fault("context.get", Fault(delay=0.9), times=None)
    tokens = [emporix.new_session(currency="EUR").token for _ in range(8)]

    await asyncio.gather(*(shop.currency(token) for token in tokens))
    await asyncio.sleep(1)

    events = shop.named("upstream.shed")
    assert {(event.operation, event.outcome) for event in events} == {("context.get", "no turn")}
    assert len(events) >= 5
    (told,) = warnings(caplog, "upstream.shed")
    assert "max_concurrency" in told
    assert (await counters(shop))["upstream.shed"] == len(events)


async def test_an_open_breaker_sheds_nothing(shop: Shop, emporix: FakeEmporix) -> None:
    """What a breaker turns away was told when it opened."""
    emporix.fault("context.get", Fault(status=500), times=None)
    for _ in range(3):
        await asyncio.gather(*(shop.currency(emporix.new_session().token) for _ in range(100)))

    assert shop.named("upstream.unavailable")
    assert shop.named("upstream.shed") == []


async def test_attributes_without_room(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """Attributes that have no room while they wait for Emporix are told as lost."""
    token = emporix.new_session(exists=False).token

    async def choose(ctx: SessionContext, request: Request) -> None:
        for number in range(40):
            ctx.set_attribute(f"{request.headers['page']}-{number}", "hunter2")

    for page in ("a", "b"):
        assert (await shop.visit(choose, token=token, headers={"page": page})).status_code == 200

    events = shop.named("changes.lost")
    assert {(event.operation, event.outcome) for event in events} == {("park", "no room")}
    (told,) = warnings(caplog, "changes.lost")
    assert "Store less in attributes" in told
    assert "hunter2" not in caplog.text
    assert (await counters(shop))["changes.lost"] == len(events)


async def test_sessions_without_room(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """More sessions with parked changes than the memory keeps: each that has to go is told, with one warning."""
    shop = make_shop(store=MemoryStore(max_entries=3))
    for _ in range(5):
        await shop.switch(emporix.new_session(exists=False).token, currency="USD")

    events = shop.named("changes.lost")
    assert [(event.operation, event.outcome) for event in events] == [("park", "no room")] * 2
    assert len(warnings(caplog, "changes.lost")) == 1
    assert (await counters(shop))["changes.lost"] == 2


async def test_late_changes_that_fail(shop: Shop, emporix: FakeEmporix) -> None:
    """A block of late changes that raises discards them, and that is told; one that recorded nothing is no news."""
    token = emporix.new_session(currency="EUR").token

    async def handler(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(ValueError, match="of the application"):
            async with ctx.late_changes():
                raise ValueError("of the application")
        assert shop.named("changes.discarded") == []
        with pytest.raises(ValueError, match="of the application"):
            async with ctx.late_changes():
                ctx.switch(currency="USD")
                raise ValueError("of the application")

    await shop.visit(handler, token=token)

    told = [(event.operation, event.outcome) for event in shop.named("changes.discarded")]
    assert told == [("late_changes", "exception")]
    assert (await counters(shop))["changes.discarded"] == 1
    assert emporix.count("context.patch") == 0


async def test_strict_leak_is_told(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A leak that strict mode refuses is told like one that is repaired."""
    shop = make_shop(strict=True)

    async def handler(ctx: SessionContext, _: Request) -> Response:
        return PlainTextResponse((await ctx).currency, headers={"Cache-Control": "public"})

    with pytest.raises(SharedCacheLeak):
        await shop.visit(handler, token=emporix.new_session().token)

    assert [event.outcome for event in shop.named("leak.prevented")] == ["refused"]


async def test_conflict_function_that_fails(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in a function of the application is told by its class, with the keyword that it was given as."""

    def broken(*_: Any) -> Any:
        raise KeyError("hunter2")

    shop = make_shop(upstream=UpstreamPolicy(on_conflict=broken))
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="CHF")
    await shop.switch(session.token, currency="USD")

    assert [event.outcome for event in shop.named("commit.unexpected")] == ["KeyError"]
    (told,) = warnings(caplog, "commit.unexpected")
    assert "on_conflict" in told
    assert "hunter2" not in caplog.text
    assert (await counters(shop))["commit.unexpected"] == 1


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        ({}, True),
        ({"secret_key": "s" * 32}, False),
        ({"store": MemoryStore()}, True),
    ],
    ids=["alone", "browsers-keep-it", "own-memory"],
)
async def test_choices_that_end_with_the_process(
    emporix: FakeEmporix, caplog: pytest.LogCaptureFixture, options: dict[str, Any], *, lost: bool
) -> None:
    """A shutdown with choices that wait in memory alone is told; one where nothing waits is not."""
    heard: list[ContextEvent] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/switch":
            scope["state"]["session_ctx"].switch(currency="USD")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    client = emporix.client(httpx2)
    for path in ("/", "/switch"):
        middleware = SessionContextMiddleware(
            application, tenant="acme", http_client=client, clock=VirtualClock(), on_event=heard.append, **options
        )
        scope = scope_for(emporix.new_session(exists=False).token, path=path)
        await middleware(scope, never, ignore)
        await middleware.aclose()
        told = [(event.operation, event.outcome) for event in heard if event.name == "changes.lost"]
        assert told == ([("shutdown", "in memory")] if lost and path == "/switch" else [])
    await client.aclose()
    assert bool(warnings(caplog, "changes.lost")) is lost


async def ignore(_: Any) -> None:
    """Send nothing anywhere."""


async def test_insecure_http(caplog: pytest.LogCaptureFixture) -> None:
    """Tokens that go out without encryption are allowed only where somebody wants that, and told at the start."""
    heard: list[ContextEvent] = []

    def build(**options: Any) -> SessionContextMiddleware:
        base_url = "http://emporix-fake:8900"
        return SessionContextMiddleware(Starlette(), tenant="acme", base_url=base_url, on_event=heard.append, **options)

    for refused in ({}, {"insecure_http": "yes"}):
        with pytest.raises(ConfigurationError, match="insecure_http"):
            build(**refused)
    middleware = build(insecure_http=True)

    assert [event.name for event in heard] == ["upstream.insecure"]
    assert middleware.stats()["upstream.insecure"] == 1
    assert len(warnings(caplog, "upstream.insecure")) == 1
    SessionContextMiddleware(Starlette(), tenant="acme", insecure_http=True, on_event=heard.append)
    assert len(heard) == 1


async def test_workers_apart(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Workers that share nothing are an event and a counter too; an async hook hears of it once there is a loop."""
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    heard: list[ContextEvent] = []
    awaited: list[ContextEvent] = []

    async def hook(event: ContextEvent) -> None:
        awaited.append(event)

    def build() -> SessionContextMiddleware:
        return SessionContextMiddleware(Starlette(), tenant="acme", on_event=[heard.append, hook])

    middleware = await asyncio.to_thread(build)

    assert [(event.name, event.operation) for event in heard] == [("workers.apart", "start")]
    assert middleware.stats()["workers.apart"] == 1
    assert len(warnings(caplog, "workers.apart")) == 1
    assert awaited == []

    middleware._engines.of(asyncio.get_running_loop())
    await middleware.aclose()
    assert awaited == heard
