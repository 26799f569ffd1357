"""Stores are tested in real time, because Redis lives in it; each test has a namespace of its own."""

from __future__ import annotations

import gc
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from session_ctx_middleware.stores.redis import RedisStore

from ..support.fault_proxy import FaultProxy
from ..support.redis_server import RedisServer, redis_server

PATIENT = 10.0
"""Seconds that a call may take where its speed is not the subject: the machine may be busy."""


@pytest.fixture
def anyio_backend() -> str:
    """Sockets know no virtual time."""
    return "asyncio"


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_open() -> Iterator[None]:
    """Find connections that nobody closed in the module that opened them."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def patient_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the event loop of a busy machine time to notice that it is connected."""
    monkeypatch.setattr("session_ctx_middleware.stores.redis.urls.CONNECT_SECONDS", PATIENT)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """One server for all tests that do it no harm."""
    with redis_server() as server:
        yield server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server for one test alone."""
    with redis_server() as server:
        yield server


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[FaultProxy]:
    """The way to the test's own server."""
    async with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def namespace() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
async def make_redis_store(namespace: str) -> AsyncIterator[Callable[..., RedisStore]]:
    """Build stores on one namespace: each of them is a worker."""
    stores: list[RedisStore] = []

    def make(redis: Any, **options: Any) -> RedisStore:
        stores.append(RedisStore(redis, **{"namespace": namespace, "budget": PATIENT, **options}))
        return stores[-1]

    yield make
    for store in stores:
        await store.aclose()
