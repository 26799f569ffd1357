"""Sealed sessions in the memory of this process, and in Redis."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from session_ctx_middleware.sessions import TokenStore
from session_ctx_middleware.sessions.token_store import token_store_of
from session_ctx_middleware.stores import ContextStoreUnavailable, MemoryStore
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing.store_rules import TokenRule, token_store_rules

from ..support.redis_server import RedisServer
from ..support.virtual_time import VIRTUAL_BACKEND, VirtualClock
from .conftest import PATIENT
from .helpers import MakeRedisStore

every_rule = pytest.mark.parametrize("rule", token_store_rules(), ids=lambda rule: rule.__name__)


@pytest.mark.parametrize("anyio_backend", [VIRTUAL_BACKEND], ids=["virtual"])
@pytest.mark.parametrize("rule", token_store_rules(VirtualClock()), ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("shared", [True, False])
async def test_memory(rule: TokenRule, shared: bool) -> None:
    """The memory of a process keeps the rules, for siblings as well."""
    store = MemoryStore(shared=shared, clock=VirtualClock())

    async def make_store() -> TokenStore:
        return (store.sibling() if shared else store).tokens

    await rule(make_store)


@pytest.mark.parametrize("anyio_backend", [VIRTUAL_BACKEND], ids=["virtual"])
async def test_full() -> None:
    """A memory that is full drops what was not used for longest, and keeps no more than it may."""
    tokens = MemoryStore(max_entries=2, clock=VirtualClock()).tokens
    for key in "abc":
        await tokens.save(key, key, 60.0)
        assert await tokens.claim(key, 60.0)

    assert [await tokens.load(key) for key in "abc"] == [None, "b", "c"]


@pytest.mark.redis
@every_rule
async def test_redis(rule: TokenRule, shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """Redis keeps the rules."""

    async def make_store() -> TokenStore:
        return make_redis_store(shared_server.url).tokens

    await rule(make_store)


@pytest.mark.redis
@pytest.mark.parametrize("decode", [True, False])
async def test_client_of_the_app(decode: bool, shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """A client of the application serves as well, whether it decodes answers or not, and stays open."""
    client = Redis(
        port=shared_server.port,
        socket_timeout=PATIENT,
        socket_connect_timeout=PATIENT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=decode,
    )
    tokens = make_redis_store(client).tokens
    await tokens.save("a", "text", 60.0)

    assert (await tokens.load("a"), await tokens.load("b")) == ("text", None)
    assert (await tokens.claim("a", 60.0), await tokens.claim("a", 60.0)) == (True, False)
    await tokens.aclose()
    assert await client.ping()
    await client.aclose()


@pytest.mark.redis
async def test_foreign_bytes(shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str) -> None:
    """What somebody else has written under a key is no text, or no answer, and no other error."""
    tokens = make_redis_store(shared_server.url).tokens
    client = Redis(port=shared_server.port)
    await client.set(f"{namespace}:v1:tokens:a", b"\xff\xfe")
    await client.rpush(f"{namespace}:v1:tokens:b", "x")
    await client.aclose()

    assert await tokens.load("a") is None
    with pytest.raises(ContextStoreUnavailable):
        await tokens.load("b")


@pytest.mark.redis
async def test_gone(server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """A Redis that is gone is said to be within the budget, and used again when it is back."""
    tokens = make_redis_store(server.url).tokens
    await tokens.save("a", "text", 60.0)
    server.kill()
    for call in (tokens.load("a"), tokens.save("a", "other", 60.0), tokens.claim("a", 1.0)):
        with pytest.raises(ContextStoreUnavailable):
            await call


def test_who_has_them() -> None:
    """A store of contexts has one for tokens, always the same; a class or anything else has none."""
    memory, redis = MemoryStore(), RedisStore("redis://127.0.0.1:1/0")

    assert token_store_of(memory) is memory.tokens
    assert token_store_of(redis) is redis.tokens
    assert token_store_of(MemoryStore) is None
    assert token_store_of(SimpleNamespace(tokens={})) is None
    assert token_store_of(None) is None
