"""Everything is bounded, and what a bound costs somebody is told: calls not made, and changes not kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from session_ctx_middleware import ContextEvent, SessionContext, SessionContextMiddleware, UpstreamPolicy
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


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
