"""`RedisStore` keeps the rules of a store, whatever it runs on."""

from __future__ import annotations

import base64
import secrets

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from session_ctx_middleware.stores import ContextStore
from session_ctx_middleware.testing.store_rules import Rule, store_rules

from ..support.redis_server import RedisServer
from .conftest import PATIENT
from .helpers import MakeRedisStore

pytestmark = pytest.mark.redis

KEY = base64.b64encode(secrets.token_bytes(32)).decode()

every_rule = pytest.mark.parametrize("rule", store_rules(), ids=lambda rule: rule.__name__)
every_rule_without_waiting = pytest.mark.parametrize(
    "rule", [rule for rule in store_rules() if "lifetime" not in rule.__name__], ids=lambda rule: rule.__name__
)


@every_rule
async def test_one_server(rule: Rule, shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """One server keeps the rules of a store."""

    async def make_store() -> ContextStore:
        return make_redis_store(shared_server.url)

    await rule(make_store)


@every_rule_without_waiting
async def test_encrypted(rule: Rule, shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """Encrypted values keep the rules of a store."""

    async def make_store() -> ContextStore:
        return make_redis_store(shared_server.url, encryption_key=KEY)

    await rule(make_store)


@every_rule_without_waiting
@pytest.mark.parametrize("options", [{"protocol": 3, "decode_responses": True}, {"protocol": 2}], ids=["3", "2"])
async def test_clients_of_the_app(
    rule: Rule, shared_server: RedisServer, make_redis_store: MakeRedisStore, options: dict[str, object]
) -> None:
    """With a client of the application the rules of a store are kept, too."""
    timeouts = {
        "socket_timeout": PATIENT,
        "socket_connect_timeout": PATIENT,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
    }
    clients: list[Redis] = []

    async def make_store() -> ContextStore:
        clients.append(Redis(port=shared_server.port, **timeouts, **options))  # type: ignore[arg-type]
        return make_redis_store(clients[-1])

    await rule(make_store)

    for client in clients:
        assert await client.ping(), "the app's client stays open"
        await client.aclose()
