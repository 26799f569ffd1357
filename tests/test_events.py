"""Events: who is told what, and that telling never does harm."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextEvent, ContextNotFound, SessionContext, TooManyRequests
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def test_load_tells_the_cache(shop: Shop, emporix: FakeEmporix) -> None:
    """Every load is told with what the cache had."""
    session = emporix.new_session(currency="EUR")
    await shop.visit(page, token=session.token)
    await shop.visit(page, token=session.token)
    await shop.visit(page, token=emporix.new_session(exists=False).token)
    await shop.visit(page, token="unknown")
    emporix.fault("context.get", Fault(status=500), times=None)
    await shop.visit(page, token=emporix.new_session().token)

    assert [event.cache for event in shop.named("context.loaded")] == ["miss", "hit", "missing", "rejected", "degraded"]


async def test_commit_tells_its_cost(shop: Shop, emporix: FakeEmporix) -> None:
    """A commit tells its attempts, its status and its duration."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.5), times=1)

    await shop.switch(session.token, currency="USD")

    (event,) = shop.named("commit.applied")
    assert (event.operation, event.attempts, event.status) == ("respond", 1, None)
    assert event.duration == pytest.approx(0.5, abs=0.1)


async def test_failing_hook(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that fails disturbs nobody."""
    heard: list[ContextEvent] = []

    def broken(_: ContextEvent) -> None:
        raise ValueError("secret")

    shop = make_shop(on_event=[broken, heard.append])
    session = emporix.new_session(currency="EUR")

    assert (await shop.visit(page, token=session.token)).text == "EUR"

    assert [event.name for event in heard] == ["context.loaded"]
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_losses_are_warnings(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """What lost something is a warning with fields, and the rest is debug output."""
    caplog.set_level(logging.DEBUG, "session_ctx_middleware")
    shop = make_shop()
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=422), times=1)
    await shop.switch(session.token, currency="USD")
    await shop.switch(session.token, currency="CHF")

    logged = {record.getMessage(): record for record in caplog.records if record.name == "session_ctx_middleware"}
    (refused,) = (record for text, record in logged.items() if text.startswith("commit.refused ChangeRefused"))
    assert (refused.levelname, logged["commit.applied applied (respond)"].levelname) == ("WARNING", "DEBUG")
    assert "Offer only what the site allows" in refused.getMessage()
    assert vars(refused)["session_ctx_status"] == 422


def test_errors_are_copied() -> None:
    """An error survives being copied and pickled."""
    error = TooManyRequests("context.get", 429, "busy", retry_after=3.0)

    for other in (copy.copy(error), pickle.loads(pickle.dumps(error)), error.again()):
        assert (type(other), str(other), other.status, other.operation) == (
            TooManyRequests,
            "context.get: status 429, busy",
            429,
            "context.get",
        )
    assert error.again().retry_after == 3.0
    assert "secret" not in str(ContextNotFound("context.get", session_id="secret"))
