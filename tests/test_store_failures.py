"""A store that fails is told once, with what to do, and that it works again; pages and changes go on without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.events import Events
from session_ctx_middleware.stores import ContextStoreUnavailable, MemoryStore
from session_ctx_middleware.stores.redis.codec import Codec
from session_ctx_middleware.stores.reported import reported
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop

CALLS = ("load", "save", "invalidate", "forget", "parked", "park", "unpark")


class Failing:
    """A store of somebody's own, whose calls can be made to fail."""

    def __init__(self) -> None:
        self._memory = MemoryStore(shared=True)
        self.shared = True
        self.error: Exception | None = None
        self.losses: dict[str, int] = {}

    def attach(self, listener: Any) -> Any:
        return self._memory.attach(listener)

    def __getattr__(self, name: str) -> Any:
        if name not in {*CALLS, "aclose"}:
            raise AttributeError(name)

        async def call(*args: Any, **keywords: Any) -> Any:
            if self.error is not None:
                raise self.error
            return await getattr(self._memory, name)(*args, **keywords)

        return call


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    return [each for each in caplog.records if getattr(each, "session_ctx_name", "") == name and each.levelno > 10]


async def look(shop: Shop) -> tuple[dict[str, int], bool]:
    found: list[Any] = []

    async def handler(ctx: SessionContext, _: Request) -> None:
        found.append((dict(ctx.middleware.stats()), asdict(ctx.middleware.health())["store"]))

    await shop.visit(handler)
    return found[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "error", [OSError("hunter2"), ContextStoreUnavailable("no answer in time")], ids=["any", "own"]
)
async def test_store_fails(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """It is told once, however many calls fail; a store that says by itself that it is unavailable has told it."""
    caplog.set_level(logging.DEBUG, "session_ctx_middleware")
    store = Failing()
    shop = make_shop(store=store)
    store.error = error
    for _ in range(3):
        token = emporix.new_session(currency="EUR").token
        assert await shop.currency(token) == "EUR"
        assert (await shop.switch(token, currency="USD")).status_code == 200
        assert await shop.currency(token) == "USD"

    own = isinstance(error, ContextStoreUnavailable)
    told = lines(caplog, "store.failed")
    assert [(each.levelname, "Check the store" in each.getMessage()) for each in told] == [("WARNING", True)] * (
        not own
    )
    assert "hunter2" not in caplog.text
    events = shop.named("store.failed")
    assert {event.outcome for event in events} == {type(error).__name__}
    assert {event.operation for event in events} >= {"store.load", "store.save", "store.invalidate", "store.parked"}
    counters, well = await look(shop)
    assert (counters["store.failed"], well) == (len(events), False)

    store.error = None
    await asyncio.sleep(15)
    for _ in range(2):
        await shop.currency(emporix.new_session().token)
    assert len(lines(caplog, "store.answered")) == len(shop.named("store.answered")) == 1
    assert (await look(shop))[1] is True


async def test_losses(make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """What a store says that it had to give up is told by the reason."""
    store = Failing()
    shop = make_shop(store=store)
    await shop.currency(emporix.new_session().token)
    store.losses = {"unreadable": 2}
    for _ in range(2):
        await shop.switch(emporix.new_session(exists=False).token, currency="USD")

    assert [event.outcome for event in shop.named("changes.lost")] == ["unreadable"]
    (told,) = lines(caplog, "changes.lost")
    assert "encryption_key" in told.getMessage()
    assert (await look(shop))[0]["changes.lost"] == 1


def test_unreadable_changes() -> None:
    """The store of Redis counts stored changes that it cannot read."""
    codec = Codec(None, SystemClock())

    assert not codec.changes("parked:session-1", {"currency": "no JSON", "language": "[]"})
    assert codec.unreadable == 2


@pytest.mark.parametrize("name", CALLS)
async def test_every_call(name: str) -> None:
    """Each call is passed on as it is, and told by its name where it fails."""
    store: Any = Failing()
    events = Events()
    through = reported(store, events)
    arguments: dict[str, Any] = {
        "load": ("token-1",),
        "save": ("token-1", None, "identity"),
        "invalidate": (["token-1"], "identity", 3),
        "park": ("token-1", None),
        "unpark": (["token-1"], None),
    }
    keywords: dict[str, Any] = {"save": {"age": 0.0, "lifetime": 60.0}, "invalidate": {"lifetime": 60.0}}
    store.error = OSError()

    with pytest.raises(OSError):  # noqa: PT011 - it is the very one
        await getattr(through, name)(*arguments.get(name, (["token-1"],)), **keywords.get(name, {}))

    assert events.counters()["store.failed"] == 1
    store.error = None
    await through.aclose()
