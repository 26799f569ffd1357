"""Whoever can write to Redis can make pages slower, and neither keep a shopper at the defaults nor deceive for ever."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from session_ctx_middleware import CachePolicy, ContextDefaults, UpstreamPolicy
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.operation import Operation, later
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix

from ..support.redis_server import RedisServer
from ..support.shop import Shop
from .conftest import PATIENT
from .helpers import MakeRedisStore, attached, document, eventually

pytestmark = pytest.mark.redis

OPTIONS: dict[str, Any] = {
    "defaults": ContextDefaults(currency="XXX"),
    "cache": CachePolicy(ttl=3600.0),
    "upstream": UpstreamPolicy(deadline=30.0),
}
SAVED: dict[str, Any] = {"age": 0.0, "lifetime": 60.0}


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(now=time.time)


@pytest.fixture
async def workers(emporix: FakeEmporix, namespace: str, server: RedisServer) -> AsyncIterator[list[Shop]]:
    """Two workers on one Redis."""
    shops = [
        Shop(
            emporix,
            httpx,
            store=RedisStore(server.url, namespace=namespace, budget=PATIENT),
            clock=SystemClock(),
            **OPTIONS,
        )
        for _ in range(2)
    ]
    yield shops
    for shop in shops:
        await shop.browser.aclose()
        if shop.app.middleware_stack is not None:
            await shop.app.middleware_stack.app.aclose()  # type: ignore[attr-defined]
        await shop.upstream_client.aclose()


def keys(server: RedisServer, kind: str) -> list[str]:
    """Return the keys of a kind: names of tokens or sessions."""
    script = "return table.concat(redis.call('KEYS', ARGV[1]), ' ')"
    return server.command("EVAL", script, 0, f"*:{kind}-*", lines=2).split()


async def saved(server: RedisServer) -> str:
    """Return the key of the one token, once its document is there."""
    await eventually(lambda: bool(keys(server, "token")))
    return keys(server, "token")[0]


ABSURD: dict[str, dict[str, str | int]] = {
    "a floor far ahead": {"floor": 10**12},
    "a floor that nobody counted to": {"floor": "9" * 400},
    "a floor that is none": {"floor": "soon", "version": "1 2 3"},
    "another context": {"identity": "f" * 24, "floor": 10**6},
    "a document from the future": {"age": -(10**15), "lifetime": 10**15},
    "times that are none": {"total": "x", "age": "y", "lifetime": "z"},
    "times without end": {"total": "9" * 400, "age": 10**300},
    "a huge document": {"payload": "x" * 3_000_000},
    "a session that is none": {"session": "\\xff a b\\n"},
}


@pytest.mark.parametrize("kind", ABSURD)
async def test_absurd_values(kind: str, workers: list[Shop], server: RedisServer, emporix: FakeEmporix) -> None:
    """Absurd values under a token's key keep nobody at the defaults, and nobody from what Emporix has."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    assert await one.currency(session.token) == "EUR"
    key = await saved(server)
    server.command("HSET", key, *(part for pair in ABSURD[kind].items() for part in pair))

    assert await two.currency(session.token) == "EUR"
    await two.switch(session.token, currency="USD")
    assert await two.currency(session.token) == "USD"
    await eventually(lambda: shows(one, session.token, "USD"))


@pytest.mark.parametrize("command", [("SET", "text"), ("LPUSH", "text"), ("SADD", "text")])
async def test_another_kind_of_key(
    command: tuple[str, str], workers: list[Shop], server: RedisServer, emporix: FakeEmporix
) -> None:
    """A key of another kind costs that session its place in Redis, and no other one."""
    one, two = workers
    bad, good = emporix.new_session(currency="EUR"), emporix.new_session(currency="GBP")
    await one.currency(bad.token)
    key = await saved(server)
    server.command("DEL", key)
    server.command(command[0], key, command[1])

    for _ in range(5):
        assert await two.currency(bad.token) == "EUR"
        await two.switch(bad.token, currency="EUR")
    await one.currency(good.token)
    await eventually(lambda: len(keys(server, "token")) == 2)
    before = emporix.count("context.get")
    assert await two.currency(good.token) == "GBP"
    assert emporix.count("context.get") == before, "the breaker is closed"


async def shows(shop: Shop, token: str, currency: str) -> bool:
    return await shop.currency(token) == currency


@pytest.mark.parametrize(
    "notice",
    [{"floor": 10**12}, {"identity": "f" * 24}, {"identity": "", "floor": 10**12}, {"floor": -(10**12)}],
    ids=["far ahead", "another context", "rejected", "below zero"],
)
async def test_forged_notices(
    notice: dict[str, Any], workers: list[Shop], server: RedisServer, emporix: FakeEmporix, namespace: str
) -> None:
    """However many absurd notices somebody publishes, pages show what Emporix has."""
    one, _ = workers
    session = emporix.new_session(currency="EUR")
    await one.currency(session.token)
    key = await saved(server)
    identity = server.command("HGET", key, "identity", lines=2)
    message = {"kind": "written", "identity": identity, "floor": 5, "source": "elsewhere", **notice}
    message["names"] = [key.rpartition(":")[2]]
    shown = []
    for number in range(40):
        server.command("PUBLISH", f"{namespace}:v1:notices", json.dumps({"seq": 2**40 + number, **message}))
        shown.append(await one.currency(session.token))

    assert shown[-1] == "EUR"
    # Another context may hide the one that is known for as long as a replica may lag, some times and not for ever.
    assert shown.count("EUR") >= 20
    assert await one.currency(session.token) == "EUR"


@pytest.mark.slow
async def test_floor_within_reach(workers: list[Shop], server: RedisServer, emporix: FakeEmporix) -> None:
    """A floor that might be true is believed until Emporix has been given the time, and then never again."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    await one.currency(session.token)
    key = await saved(server)
    server.command("HSET", key, "floor", 500)

    await eventually(lambda: shows(two, session.token, "EUR"), within=15.0)
    for _ in range(5):
        assert await two.currency(session.token) == "EUR"


async def test_documents_stay_bounded(server: RedisServer, make_redis_store: MakeRedisStore, namespace: str) -> None:
    """A document is no younger than it says, and one from the future is none."""
    store, key = make_redis_store(server.url), f"{namespace}:v1:token-1"
    await store.save("token-1", document(1), "c", **SAVED)
    for age, believed in ((0, True), (-1500, True), (-2500, False), (-(10**14), False)):
        server.command("HSET", key, "age", age)
        stored = await store.load("token-1")
        assert (stored is not None) is believed
        assert stored is None or stored.age >= 0.0


async def test_scripts_bear_with_anything(
    server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """What is no number in Redis counts as nothing, and what is written afterwards counts."""
    store, key = make_redis_store(server.url), f"{namespace}:v1:token-1"
    for field in ("floor", "version", "age", "total", "lifetime"):
        await store.save("token-1", document(1), "c", **SAVED)
        server.command("HSET", key, field, "nonsense")
        await store.save("token-1", document(3), "c", **SAVED)
        server.command("HSET", key, field, "nonsense")
        await store.invalidate(["token-1"], "c", 3, lifetime=60.0)
    await store.save("token-1", document(4), "c", **SAVED)
    stored = await store.load("token-1")
    assert stored is not None
    assert stored.document == document(4)


async def test_too_many_parked(server: RedisServer, make_redis_store: MakeRedisStore, namespace: str) -> None:
    """Of fields without end, some are read."""
    store, key = make_redis_store(server.url), f"{namespace}:v1:parked:session-1"
    at = time.time()
    for start in range(0, 20_000, 500):
        fields = (
            part
            for number in range(start, start + 500)
            for part in (f"attributes.a{number}", json.dumps([1, at, f"op{number}", '"x"']))
        )
        server.command("HSET", key, *fields)
    began = time.process_time()

    assert 0 < len(await store.parked(["session-1"])) < 1000

    assert time.process_time() - began < 5.0


async def test_ties_are_decided_alike(make_redis_store: MakeRedisStore, server: RedisServer) -> None:
    """Of two changes made at one moment, Redis keeps the one that the engine and the memory store keep."""
    at = time.time()
    one, other = (
        ContextChanges({"currency": Operation(value, op_id, at=at, recorded=0.0)})
        for value, op_id in (("USD", "0a"), ("GBP", "f0"))
    )
    expected = later(one.operations["currency"], other.operations["currency"]).value
    for first, second in ((one, other), (other, one)):
        for store in (make_redis_store(server.url), MemoryStore()):
            name = f"session-{id(first)}-{id(store)}"
            await store.park(name, first)
            await store.park(name, second)
            assert (await store.parked([name])).operations["currency"].value == expected
            await store.unpark([name], one)
            left = (await store.parked([name])).operations
            assert [operation.value for operation in left.values()] == ["GBP"], "another one of that moment stays"
            await store.unpark([name], other)
            assert not await store.parked([name])


async def test_eras_are_kept(make_redis_store: MakeRedisStore, server: RedisServer) -> None:
    """How often a shopper had logged out when something was parked is known to whoever reads it."""
    store = make_redis_store(server.url)
    await attached(store)
    parked = ContextChanges({"currency": Operation("USD", "1", at=time.time(), recorded=0.0, era=3)})
    await store.park("session-1", parked)

    assert (await store.parked(["session-1"])).operations["currency"].era == 3


async def test_links_of_others(make_redis_store: MakeRedisStore, server: RedisServer, namespace: str) -> None:
    """Which session a token is of is not believed where it was copied from another token, or is no name."""
    store, session = make_redis_store(server.url, encryption_key=b"k" * 32), f"session-{'0' * 32}"
    await store.link(["token-1"], session)
    copied = server.command("HGET", f"{namespace}:v1:parked:token-1", "session")
    server.command("HSET", f"{namespace}:v1:parked:token-2", "session", copied)
    plain = make_redis_store(server.url)
    server.command("HSET", f"{namespace}:v1:parked:token-3", "session", f"{session}:and:more")

    assert (await store.look("token-1")).session == session
    assert not (await store.look("token-2")).session
    assert not (await plain.look("token-3")).session
    assert store.losses["unreadable"] == plain.losses["unreadable"] == 0
