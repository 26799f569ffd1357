"""More than one server: sentinels, a cluster; and a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from session_ctx_middleware.stores import ContextStore
from session_ctx_middleware.testing.store_rules import Rule, store_rules

from ..support.redis_server import RedisServer, ServerEnded, free_port, redis_cluster, redis_server
from .conftest import PATIENT
from .helpers import SLOW, MakeRedisStore, answers, attached, changes, document, eventually, insist

pytestmark = pytest.mark.redis

Test = TypeVar("Test", bound=Callable[..., Any])

SAVED: dict[str, Any] = {"age": 0.0, "lifetime": 60.0}

every_rule_without_waiting = pytest.mark.parametrize(
    "rule", [rule for rule in store_rules() if "lifetime" not in rule.__name__], ids=lambda rule: rule.__name__
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sequence[RedisServer]]:
    with redis_cluster() as servers:
        yield servers


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test has left behind before its own filters of warnings end."""
    yield
    gc.collect()


def may_give_nodes_up(test: Test) -> Test:
    """Let redis-py leave open what belongs to a node that it gives up, which one late answer may bring about."""
    marked: Test = pytest.mark.usefixtures("collected")(pytest.mark.filterwarnings("ignore::ResourceWarning")(test))
    return marked


@may_give_nodes_up
@every_rule_without_waiting
async def test_a_cluster_keeps_the_rules(
    rule: Rule, cluster: Sequence[RedisServer], make_redis_store: MakeRedisStore
) -> None:
    """A cluster keeps the rules of a store."""

    async def make_store() -> ContextStore:
        return make_redis_store(f"redis+cluster://127.0.0.1:{cluster[0].port}")

    await rule(make_store)


@may_give_nodes_up
async def test_a_cluster_client_of_the_app(cluster: Sequence[RedisServer], make_redis_store: MakeRedisStore) -> None:
    """A cluster client of the application is used, and left open."""
    client = RedisCluster(
        host="127.0.0.1",
        port=cluster[1].port,
        socket_timeout=PATIENT,
        socket_connect_timeout=PATIENT,
        retry=Retry(NoBackoff(), 0),
    )
    store, other = make_redis_store(client), make_redis_store(f"redis+cluster://127.0.0.1:{cluster[2].port}")
    heard, _ = await attached(store)
    names = [f"token-{number}" for number in range(20)]

    await other.invalidate(names, "c", 3, lifetime=60.0)

    await eventually(lambda: len(heard) == 1)
    floors = [stored and stored.floor for stored in [await store.load(name) for name in names]]
    assert floors == [3] * 20
    await store.aclose()
    assert await client.ping()
    await client.aclose()


@may_give_nodes_up
async def test_f25_poll_in_a_cluster(
    cluster: Sequence[RedisServer], make_redis_store: MakeRedisStore, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    """F25: The poll finds notices that a cluster lost."""
    monkeypatch.setattr("session_ctx_middleware.stores.redis.backplane.PING_EVERY", 0.2)
    store = make_redis_store(f"redis+cluster://127.0.0.1:{cluster[0].port}")
    await store.park("session-1", changes(currency="USD"))
    _, attachment = await attached(store)
    await asyncio.sleep(0.3)
    epoch = attachment.epoch

    for server in cluster:
        # The key lives on one of the nodes; the others say so.
        with contextlib.suppress(RuntimeError):
            await asyncio.to_thread(server.command, "INCR", f"{namespace}:v1:seq")
    await eventually(lambda: attachment.epoch > epoch)


@may_give_nodes_up
async def test_one_node_goes(make_redis_store: MakeRedisStore) -> None:
    """One node of a cluster goes, and the others serve."""
    with redis_cluster() as servers:
        for server in servers:
            server.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        store = make_redis_store(f"redis+cluster://127.0.0.1:{servers[0].port}")
        names = [f"token-{number}" for number in range(30)]
        for name in names:
            await store.save(name, document(1), "c", **SAVED)
        await asyncio.to_thread(servers[2].kill)

        async def most_are_there() -> bool:
            # One call in three fails: the breaker may open now and then, and any name may be the probe.
            random.shuffle(names)
            return sum([await answers(functools.partial(store.load, name)) for name in names]) >= 10

        await eventually(most_are_there)
        await store.aclose()


def sentinel_config(master: RedisServer) -> str:
    return f"""
sentinel monitor shop 127.0.0.1 {master.port} 1
sentinel down-after-milliseconds shop 300
sentinel failover-timeout shop 2000
"""


@pytest.fixture
def watched() -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, a replica that has caught up, and a sentinel."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server("--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(redis_server("--replicaof", "127.0.0.1", str(master.port)))
        master.command("SET", "caught-up", "yes")
        until = time.monotonic() + 60
        while replica.command("EXISTS", "caught-up") != ":1" and time.monotonic() < until:
            time.sleep(0.02)
        yield master, replica, stack.enter_context(redis_server(config=sentinel_config(master), sentinel=True))


async def test_f22_new_master(
    watched: tuple[RedisServer, RedisServer, RedisServer], make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """F22: A sentinel names a new master."""
    master, replica, sentinel = watched
    url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/shop/0"
    store, other = make_redis_store(url, budget=0.3), make_redis_store(url, budget=0.3)
    await eventually(lambda: answers(lambda: store.invalidate(["token-1"], "c", 5, lifetime=60.0)))
    heard, attachment = await attached(store)

    async def is_copied() -> bool:
        return await asyncio.to_thread(replica.command, "HGET", f"{namespace}:v1:token-1", "floor") == "$1"

    await eventually(is_copied)
    epoch = attachment.epoch

    await asyncio.to_thread(master.kill)
    await eventually(lambda: not attachment.connected)
    took = await eventually(lambda: answers(lambda: other.save("token-1", document(6), "c", **SAVED)))
    await eventually(lambda: attachment.connected)

    assert took < 4 * SLOW
    assert attachment.epoch > epoch
    stored = await insist(lambda: store.load("token-1"))
    assert stored is not None
    assert (stored.document, stored.floor) == (document(6), 5)
    await insist(lambda: other.invalidate(["token-1"], "c", 7, lifetime=60.0))
    await eventually(lambda: any(notice.floor == 7 for notice in heard))


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a key and a certificate that it signed itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (directory / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (directory / "cert").write_bytes(made.public_bytes(pem))
    return directory / "key", directory / "cert"


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate that it made itself: its URL, and the certificate."""
    key, cert = certificate(tmp_path)
    port = free_port()
    files = ("--tls-cert-file", str(cert), "--tls-key-file", str(key))
    try:
        server = RedisServer("--tls-port", str(port), "--tls-auth-clients", "no", *files).start()
    except ServerEnded:
        pytest.skip("this redis-server was built without TLS")
    yield f"rediss://127.0.0.1:{port}/0", cert
    server.close()


async def test_tls(tls_server: tuple[str, Path], make_redis_store: MakeRedisStore) -> None:
    """TLS works, with a certificate that is checked."""
    url, cert = tls_server
    trusting, other = (make_redis_store(f"{url}?ssl_ca_certs={cert}") for _ in range(2))
    heard, _ = await attached(other)
    await asyncio.gather(*(trusting.save(f"token-{n}", document(n), "c", **SAVED) for n in range(20)))
    await trusting.invalidate(["token-1"], "c", 3, lifetime=60.0)
    await eventually(lambda: len(heard) == 1)

    assert not await answers(lambda: make_redis_store(url).load("token-1")), "nobody vouches for this certificate"


async def test_a_unix_socket(make_redis_store: MakeRedisStore) -> None:
    """A Unix socket works."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "redis.sock"
        with redis_server("--unixsocket", str(path)):
            store, other = make_redis_store(f"unix://{path}"), make_redis_store(f"unix://{path}?db=0")
            heard, _ = await attached(other)
            await store.invalidate(["token-1"], "c", 3, lifetime=60.0)
            await eventually(lambda: len(heard) == 1)
            await store.aclose()
            await other.aclose()
