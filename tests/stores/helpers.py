"""Small things that the tests of `RedisStore` share."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.document import ContextDocument
from session_ctx_middleware.model.operation import Operation
from session_ctx_middleware.stores import Attachment, ContextStore, ContextStoreUnavailable, Notice
from session_ctx_middleware.stores.redis import RedisStore

T = TypeVar("T")

MakeRedisStore = Callable[..., RedisStore]

SLOW = 5
"""Time bounds are this many times as generous as they would have to be on an idle machine."""


def document(version: int, **fields: Any) -> ContextDocument:
    return ContextDocument(version, **{"session_id": "s", "created_at": "2026-01-01T00:00:00Z", **fields})


def changes(at: float = 0.0, /, **values: Any) -> ContextChanges:
    """Return changes made `at` seconds from now."""
    wall, now = time.time() + at, time.monotonic() + at
    return ContextChanges(
        {path: Operation(value, secrets.token_hex(8), at=wall, recorded=now) for path, value in values.items()}
    )


async def eventually(condition: Callable[[], bool | Awaitable[bool]], within: float = 10.0) -> float:
    """Wait until a condition holds; return the seconds it took."""
    began = time.monotonic()
    while time.monotonic() < began + within * SLOW:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return time.monotonic() - began
        await asyncio.sleep(0.02)
    raise AssertionError("this did not happen in time")


async def insist(call: Callable[[], Awaitable[T]], within: float = 10.0) -> T:
    """Return the answer of a store whose patience is short: a busy machine may need several attempts for it."""
    until = time.monotonic() + within * SLOW
    while True:
        try:
            return await call()
        except ContextStoreUnavailable:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.02)


async def answers(call: Callable[[], Awaitable[Any]]) -> bool:
    """Tell whether a call goes through."""
    try:
        await call()
    except ContextStoreUnavailable:
        return False
    return True


async def duration(call: Callable[[], Awaitable[Any]]) -> float:
    """Return how many seconds a call took that had to fail."""
    began = time.perf_counter()
    assert not await answers(call)
    return time.perf_counter() - began


async def attached(store: ContextStore) -> tuple[list[Notice], Attachment]:
    """Attach a listener, and wait until it can hear something."""
    heard: list[Notice] = []
    attachment = store.attach(heard.append)
    await eventually(lambda: attachment.connected)
    return heard, attachment
