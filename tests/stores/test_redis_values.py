"""What Redis holds for `RedisStore`, what is never shown of it, and what becomes of values somebody tampered with."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
from typing import Any

import pytest
from redis.asyncio import Redis

from session_ctx_middleware.stores.redis import RedisStore

from ..support.redis_server import RedisServer, free_port
from .helpers import MakeRedisStore, answers, changes, document

pytestmark = pytest.mark.redis

KEY = secrets.token_bytes(32)
SAVED: dict[str, Any] = {"age": 0.0, "lifetime": 60.0}


async def test_nothing_personal_is_said(server: RedisServer, caplog: pytest.LogCaptureFixture, namespace: str) -> None:
    """Neither logs nor errors show names, values or credentials."""
    caplog.set_level(logging.DEBUG)
    await asyncio.to_thread(server.command, "ACL", "SETUSER", "shop", "on", ">hunter2", "~*", "&*", "+@all")
    shown: list[str] = []
    for port in (server.port, free_port()):
        store = RedisStore(f"redis://shop:hunter2@127.0.0.1:{port}/0", namespace=namespace, budget=0.3)
        store.attach(lambda _: None)
        for call in (
            lambda store=store: store.save("token-abc", document(1, cart_id="cart-xyz"), "sid-123", **SAVED),
            lambda store=store: store.park("session-abc", changes(currency="XTS")),
            lambda store=store: store.invalidate(["token-abc"], "sid-123", 2, lifetime=60.0),
            lambda store=store: store.load("token-abc"),
            lambda store=store: store.load("token-abc"),
        ):
            try:
                await call()  # type: ignore[no-untyped-call]
            except Exception as error:
                shown += [str(error), repr(error), repr(error.__cause__)]
        shown += [repr(store), repr(store._loops)]
        await store.aclose()

    for secret in ("hunter2", "token-abc", "session-abc", "cart-xyz", "sid-123", "XTS"):
        assert secret not in caplog.text + "".join(shown)


async def raw(server: RedisServer, *words: str | int) -> str:
    return await asyncio.to_thread(server.command, *words)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "nonsense",
        "{}",
        '{"format":2,"key":"KEY","document":{"metadata":{"version":1}}}',
        '{"format":1,"key":"elsewhere","document":{"metadata":{"version":1}}}',
        '{"format":1,"key":"KEY","document":{"metadata":{"version":2}}}',
        '{"format":1,"key":"KEY","document":{"metadata":{}}}',
        '{"format":1,"key":"KEY","document":[]}',
        '{"format":1,"key":"KEY","document":{"metadata":{"version":1}}} trailing',
        '{"format":1,"key":"KEY","document":' + "[" * 3000 + "}",
    ],
    ids=range(10),
)
async def test_foreign_payload_is_a_miss(
    payload: str, shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """A payload that is not ours is a miss."""
    store, key = make_redis_store(shared_server.url), f"{namespace}:v1:token-1"
    await store.save("token-1", document(1), "c", **SAVED)

    await raw(shared_server, "HSET", key, "payload", payload.replace("KEY", key))

    assert await store.load("token-1") is None
    await store.save("token-1", document(1), "c", age=0.0, lifetime=60.0)


async def test_foreign_change_is_left_out(
    shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """A parked change that is not ours is left out."""
    store, key = make_redis_store(shared_server.url), f"{namespace}:v1:parked:session-1"
    good = changes(language="de")
    await store.park("session-1", good)
    for path, field in [
        ("currency", "nonsense"),
        ("site_code", "{}"),
        ("target_location", json.dumps([2, 1.0, "op", '"CH"'])),
        ("attributes.a", json.dumps([1, "soon", "op", '"x"'])),
        ("attributes.b", json.dumps([1, 1e300, "op", "{"])),
        ("unheard_of", json.dumps([1, 1.0, "op", '"x"'])),
    ]:
        await raw(shared_server, "HSET", key, path, field)

    assert list(await store.parked(["session-1"])) == ["language"]
    await store.park("session-1", changes(currency="CHF", site_code="main"))
    assert set(await store.parked(["session-1"])) == {"language", "currency", "site_code"}
    await store.unpark(["session-1"], changes(currency="CHF", language="de", site_code="main"))
    assert not await store.parked(["session-1"])


@pytest.mark.parametrize("command", [("SET", "text"), ("LPUSH", "text"), ("HSET", "unknown", "field")])
async def test_other_kind_of_key(
    command: tuple[str, ...], server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """Another kind of key in the way is an error or a miss."""
    store = make_redis_store(server.url)
    await raw(server, command[0], f"{namespace}:v1:token-1", *command[1:])
    if await answers(lambda: store.load("token-1")):
        assert await store.load("token-1") is None


async def test_encryption(shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str) -> None:
    """Encrypted values open in their own place, with one of the keys."""
    new = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    store = make_redis_store(shared_server.url, encryption_key=KEY)
    await store.save("token-1", document(1, cart_id="cart-xyz"), "c", **SAVED)
    await store.save("token-2", document(1, cart_id="cart-2"), "c", **SAVED)
    await store.park("session-1", changes(currency="XTS"))

    async with Redis(port=shared_server.port, decode_responses=True) as redis:
        stored = await redis.hgetall(f"{namespace}:v1:token-1")
        parked = await redis.hgetall(f"{namespace}:v1:parked:session-1")
        assert "cart-xyz" not in str(stored)
        assert "XTS" not in str(parked)
        both = make_redis_store(shared_server.url, encryption_key=[new, KEY])
        assert (await both.load("token-1")) is not None
        assert list(await both.parked(["session-1"])) == ["currency"]
        for other in (
            make_redis_store(shared_server.url),
            make_redis_store(shared_server.url, encryption_key=new),
        ):
            assert await other.load("token-1") is None
            assert not await other.parked(["session-1"])

        await redis.hset(f"{namespace}:v1:token-2", "payload", stored["payload"])
        assert await store.load("token-2") is None, "swapped"
        await redis.hset(f"{namespace}:v1:parked:session-1", "language", parked["currency"])
        assert list(await store.parked(["session-1"])) == ["currency"], "swapped"

    await make_redis_store(shared_server.url).save("token-3", document(1), "c", **SAVED)
    assert await store.load("token-3") is None, "who can write to Redis without the key cannot make up documents"


async def test_everything_in_redis_expires(
    server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """Everything in Redis expires."""
    store = make_redis_store(server.url)
    await store.save("token-1", document(1), "c", age=0.0, lifetime=60.0)
    await store.invalidate(["token-1", "token-2", "session-1"], "c", 1, lifetime=100.0)
    await store.save("token-1", document(2), "c", age=0.0, lifetime=10.0)
    await store.park("session-1", changes(currency="USD"))

    async with Redis(port=server.port, decode_responses=True) as redis:
        lives = {str(key): await redis.ttl(key) for key in await redis.keys("*")}

    assert all(key.startswith(f"{namespace}:v1:") for key in lives)
    assert lives.pop(f"{namespace}:v1:seq") == -1, "the counter stays"
    assert lives.pop(f"{namespace}:v1:parked:session-1") == pytest.approx(24 * 3600, abs=60)
    assert set(lives) == {f"{namespace}:v1:{name}" for name in ("token-1", "token-2", "session-1")}
    assert list(lives.values()) == [pytest.approx(100, abs=20)] * 3
