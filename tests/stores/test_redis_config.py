"""What `RedisStore` refuses, what it never shows, and what it does with values that somebody tampered with."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import subprocess
import sys
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.stores.redis import RedisStore

from ..support.redis_server import RedisServer, free_port
from .helpers import MakeRedisStore, answers, changes, document

KEY = secrets.token_bytes(32)
SAVED: dict[str, Any] = {"age": 0.0, "lifetime": 60.0}
QUICK: dict[str, Any] = {"socket_timeout": 0.05, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis:/localhost",
        "redis+sentinel://localhost:26379",
        "redis+sentinel:///service",
        "redis+sentinel://localhost:x/service",
        "redis+sentinel://localhost/service/x",
        "redis://localhost:port",
        "redis://localhost?socket_read_size=x",
        "redis+cluster://",
        "mysql://user:hunter2@localhost",
        "redis://user:hunter2@localhost:port",
        "redis://user:hunter2@localhost?unknown_option=1",
    ],
)
def test_a_url_that_cannot_work_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\+sentinel://host:26379") as refusal:
        RedisStore(url)

    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://user:secret@redis.example:6380/3?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://:secret@one:26379,two/service/1",
        "rediss+sentinel://one/service",
        "redis+cluster://user:secret@one:6379",
        "rediss+cluster://one",
    ],
)
def test_every_form_of_url_is_understood(url: str) -> None:
    assert repr(RedisStore(url)) == "<RedisStore session-ctx>"


@pytest.mark.parametrize(
    "client",
    [
        Redis(),
        Redis(socket_timeout=1, socket_connect_timeout=1),
        Redis(socket_timeout=None, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)),
        Redis(socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 1)),
        RedisCluster(host="localhost", socket_timeout=1, socket_connect_timeout=1),
        RedisCluster(host="localhost", socket_timeout=None, retry=Retry(NoBackoff(), 0)),
    ],
    ids=range(6),
)
def test_a_client_that_could_keep_pages_waiting_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"socket_timeout=0.2.*retry=Retry\(NoBackoff\(\), 0\)"):
        RedisStore(client)


@pytest.mark.parametrize(
    "client", [Redis(**QUICK), Redis(unix_socket_path="/x", **QUICK), RedisCluster(host="localhost", **QUICK)]
)
def test_a_client_that_is_quick_is_taken(client: Any) -> None:
    RedisStore(client)


@pytest.mark.parametrize("client", [None, 1, b"redis://localhost", Redis, object()])
def test_anything_else_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs a URL"):
        RedisStore(client)


@pytest.mark.parametrize(
    "options",
    [
        {"namespace": ""},
        {"namespace": "a{b}"},
        {"namespace": "a b"},
        {"namespace": None},
        {"budget": 0},
        {"budget": True},
        {"budget": "1"},
        {"budget": float("nan")},
        {"max_connections": 0},
        {"max_connections": 1.5},
        {"encryption_key": b"too short"},
        {"encryption_key": "not base64 at all!"},
        {"encryption_key": "ü"},
        {"encryption_key": base64.b64encode(b"too short").decode()},
        {"encryption_key": []},
        {"encryption_key": 7},
        {"encryption_key": [KEY, None]},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RedisStore("redis://localhost", **options)


@pytest.mark.parametrize(
    ("missing", "statement", "extra"),
    [
        ("redis", "import session_ctx_middleware.stores.redis", "[redis]"),
        (
            "cryptography",
            "from session_ctx_middleware.stores.redis import RedisStore as R; R('redis://x', encryption_key=b'1' * 32)",
            "[encryption]",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_extra(missing: str, statement: str, extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import session_ctx_middleware; {statement}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert extra in done.stderr.splitlines()[-1]
    assert "During handling" not in done.stderr


def test_the_package_does_without_redis() -> None:
    code = "import session_ctx_middleware, sys; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_neither_logs_nor_errors_show_names_values_or_credentials(
    server: RedisServer, caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
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
async def test_a_payload_that_is_not_ours_is_a_miss(
    payload: str, shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    store, key = make_redis_store(shared_server.url), f"{namespace}:v1:token-1"
    await store.save("token-1", document(1), "c", **SAVED)

    await raw(shared_server, "HSET", key, "payload", payload.replace("KEY", key))

    assert await store.load("token-1") is None
    await store.save("token-1", document(1), "c", age=0.0, lifetime=60.0)


async def test_a_parked_change_that_is_not_ours_is_left_out(
    shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
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
async def test_another_kind_of_key_in_the_way_is_an_error_or_a_miss(
    command: tuple[str, ...], server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    store = make_redis_store(server.url)
    await raw(server, command[0], f"{namespace}:v1:token-1", *command[1:])
    if await answers(lambda: store.load("token-1")):
        assert await store.load("token-1") is None


async def test_encrypted_values_open_in_their_own_place_with_one_of_the_keys(
    shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
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
    store = make_redis_store(server.url)
    await store.save("token-1", document(1), "c", age=0.0, lifetime=60.0)
    await store.invalidate(["token-1", "token-2", "session-1"], "c", 1, lifetime=100.0)
    await store.save("token-1", document(2), "c", age=0.0, lifetime=10.0)
    await store.park("session-1", changes(currency="USD"))

    async with Redis(port=server.port, decode_responses=True) as redis:
        lives = {str(key): await redis.ttl(key) for key in await redis.keys("*")}

    assert all(key.startswith(f"{namespace}:v1:") for key in lives)
    assert lives.pop(f"{namespace}:v1:seq") == -1, "the counter stays"
    assert lives.pop(f"{namespace}:v1:parked:session-1") == pytest.approx(24 * 3600, abs=20)
    assert set(lives) == {f"{namespace}:v1:{name}" for name in ("token-1", "token-2", "session-1")}
    assert list(lives.values()) == [pytest.approx(100, abs=20)] * 3
