"""What Emporix does wrong leaves a log line with what to do, an event and a counter: each once per change of state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop

GET = "context.get"


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "session_ctx_middleware")


def lines(caplog: pytest.LogCaptureFixture, name: str, least: int = logging.INFO) -> list[str]:
    """Return what operators were told of one event."""
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "session_ctx_name", "") == name and record.levelno >= least
    ]


async def look(shop: Shop) -> tuple[dict[str, int], dict[str, bool]]:
    """Return counters and health of a shop."""
    found: list[Any] = []

    async def handler(ctx: SessionContext, _: Request) -> None:
        found.append((dict(ctx.middleware.stats()), asdict(ctx.middleware.health())))

    await shop.visit(handler)
    (seen,) = found
    return seen  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("fault", "outcome", "status", "remedy"),
    [
        (Fault(drop="before"), "EmporixUnreachable", None, "Check base_url=..., the network"),
        (Fault(status=500), "EmporixFailed", 500, "See Emporix' status page"),
        (Fault(status=503), "EmporixFailed", 503, "See Emporix' status page"),
        (Fault(body=b"<html>"), "MalformedAnswer", 200, "Check base_url=... (its path, too)"),
        (Fault(status=404, by="proxy"), "foreign answer", 404, "Check base_url=... (its path, too)"),
        (Fault(status=404, by="gateway"), "foreign answer", 404, "Check base_url=... (its path, too)"),
        (Fault(status=403, by="proxy"), "foreign answer", 403, "Check base_url=... (its path, too)"),
        (Fault(status=302), "foreign answer", 302, "Check base_url=... (its path, too)"),
    ],
    ids=lambda each: str(each) if isinstance(each, str) else "",
)
async def test_failures(  # noqa: PLR0917 - pytest passes them by name
    shop: Shop,
    emporix: FakeEmporix,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    outcome: str,
    status: int | None,
    remedy: str,
) -> None:
    """A failure is told with its kind and its remedy: one warning however many pages, and one line when it is over."""
    emporix.fault(GET, fault, times=None)
    for _ in range(4):
        await shop.currency(emporix.new_session().token)

    assert {(event.operation, event.outcome, event.status) for event in shop.named("upstream.failed")} == {
        (GET, outcome, status)
    }
    assert {event.outcome for event in shop.named("context.loaded")} == {"degraded"}
    (told,) = lines(caplog, "upstream.failed", logging.WARNING)
    assert remedy in told
    counters, health = await look(shop)
    assert counters["upstream.failed"] == len(shop.named("upstream.failed")) >= 4
    assert health["emporix"] is False

    emporix.clear_faults()
    await asyncio.sleep(15)
    await shop.currency(emporix.new_session().token)
    await shop.currency(emporix.new_session().token)

    assert [event.operation for event in shop.named("upstream.answered")] == [GET]
    assert len(lines(caplog, "upstream.answered")) == 1
    assert (await look(shop))[1]["emporix"] is True


async def test_another_failure_is_news(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """A failure of another kind is told, too: it has another remedy; going back and forth between two is not."""
    for _ in range(3):
        for fault in (Fault(status=500), Fault(status=404, by="proxy")):
            emporix.fault(GET, fault, times=1)
            await shop.currency(emporix.new_session().token)

    assert len(lines(caplog, "upstream.failed", logging.WARNING)) == 2


async def test_flapping(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """Failures among answers are one state, told once; health follows the last call."""
    for _ in range(20):
        emporix.fault(GET, Fault(status=500), times=1)
        await shop.currency(emporix.new_session().token)
        assert (await look(shop))[1]["emporix"] is False
        await shop.currency(emporix.new_session().token)
        assert (await look(shop))[1]["emporix"] is True
        await asyncio.sleep(5)

    assert len(lines(caplog, "upstream.failed", logging.WARNING)) == 1
    assert lines(caplog, "upstream.answered") == []


async def test_refused_token(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """A token that Emporix refuses is told once, and that tokens are accepted again; Emporix is well meanwhile."""
    good = emporix.new_session(currency="EUR").token
    for number in range(4):
        assert await shop.currency(f"unknown-{number}") is None

    assert [(event.outcome, event.status) for event in shop.named("token.rejected")] == [("TokenRejected", 401)] * 4
    assert [event.outcome for event in shop.named("context.loaded")] == ["rejected"] * 4
    (told,) = lines(caplog, "token.rejected", logging.WARNING)
    assert "token=..." in told
    assert "unknown-" not in caplog.text
    counters, health = await look(shop)
    assert (counters["token.rejected"], health["emporix"]) == (4, True)

    await asyncio.sleep(100)
    assert await shop.currency(good) == "EUR"
    assert len(lines(caplog, "token.accepted")) == 1
    assert (await look(shop))[0]["token.accepted"] == 1


async def test_ended_logins(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """Logins that end now and then, as they do in every shop, are told once."""
    for number in range(30):
        await shop.currency(f"ended-{number}")
        await shop.currency(emporix.new_session().token)
        await asyncio.sleep(20)

    assert len(lines(caplog, "token.rejected", logging.WARNING)) == 1


async def test_stale_load(shop: Shop, emporix: FakeEmporix) -> None:
    """A load that an old copy serves says so."""
    token = emporix.new_session(currency="EUR").token
    await shop.currency(token)
    emporix.fault(GET, Fault(status=500), times=None)
    await asyncio.sleep(200)

    assert await shop.currency(token) == "EUR"
    assert [(event.cache, event.outcome) for event in shop.named("context.loaded")] == [
        ("miss", "ok"),
        ("stale", "stale"),
    ]


async def test_pause(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """That Emporix asks for a pause is told once, with its own remedy, and that it is over."""
    emporix.fault(GET, Fault(status=429, retry_after=3), times=2)
    await shop.currency(emporix.new_session().token)
    await asyncio.sleep(5)
    await shop.currency(emporix.new_session().token)

    assert [(event.operation, event.status) for event in shop.named("upstream.paused")] == [(GET, 429)] * 2
    assert shop.named("upstream.failed") == []
    (told,) = lines(caplog, "upstream.paused", logging.WARNING)
    assert "CachePolicy(ttl=...)" in told
    counters, health = await look(shop)
    assert (counters["upstream.paused"], health["emporix"]) == (2, False)

    await asyncio.sleep(100)
    await shop.currency(emporix.new_session().token)
    assert len(lines(caplog, "upstream.resumed")) == 1
    assert (await look(shop))[1]["emporix"] is True


async def test_failing_switch(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """A PATCH that fails is told like a GET, under its own name."""
    token = emporix.new_session(currency="EUR").token
    emporix.fault("context.patch", Fault(status=502), times=1)

    await shop.switch(token, currency="USD")

    assert [(event.operation, event.status) for event in shop.named("upstream.failed")] == [("context.patch", 502)]
    assert "context.patch, 502" in lines(caplog, "upstream.failed", logging.WARNING)[0]


async def test_client_that_raises_anything(
    make_shop: Callable[..., Shop],
    emporix: FakeEmporix,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error that nobody expected is told by its class."""
    shop = make_shop()

    async def broken(*_: Any, **__: Any) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("session_ctx_middleware.emporix.OwnContextClient.get", broken)
    await shop.currency(emporix.new_session().token)

    assert [event.outcome for event in shop.named("upstream.failed")] == ["KeyError"]
    assert "secret" not in caplog.text
