"""One store object in several event loops, threads and processes; and hosts whose clocks differ."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.stores import ContextStoreUnavailable, Notice
from session_ctx_middleware.stores.redis import RedisStore

from ..support.fault_proxy import FaultProxy
from ..support.redis_server import RedisServer
from .conftest import PATIENT
from .helpers import MakeRedisStore, attached, changes, document, eventually

pytestmark = pytest.mark.redis

SAVED: dict[str, Any] = {"age": 0.0, "lifetime": 60.0}


async def test_f41_two_threads(shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """F41: Event loops of two threads use one store."""
    store = make_redis_store(shared_server.url)
    there: list[tuple[Notice, int]] = []
    ready, heard_there = threading.Event(), threading.Event()

    def listen_there(notice: Notice) -> None:
        there.append((notice, threading.get_ident()))
        heard_there.set()

    async def visit() -> None:
        attachment = store.attach(listen_there)
        while not attachment.connected:
            await asyncio.sleep(0.01)
        ready.set()
        await asyncio.to_thread(heard_there.wait, 60)
        stored = await store.load("token-1")
        assert stored is not None
        await store.invalidate(["token-2"], "c", stored.floor + 1, lifetime=60.0)
        await store.aclose()

    other = threading.Thread(target=lambda: asyncio.run(visit()))
    here, attachment = await attached(store)
    other.start()
    await asyncio.to_thread(ready.wait, 60)
    await store.invalidate(["token-1"], "c", 3, lifetime=60.0)
    await eventually(lambda: len(here) == 1)
    await asyncio.to_thread(other.join, 60)

    assert set(there) == {(Notice("written", ("token-1",), "c", 3), other.ident)}
    assert set(here) == {Notice("written", ("token-2",), "c", 4)}
    assert attachment.connected, "closing in one event loop closes nothing in another"


def test_f41_one_loop_after_another(shared_server: RedisServer, namespace: str) -> None:
    """F41: One event loop after the other uses one store."""
    store = RedisStore(shared_server.url, namespace=namespace, budget=PATIENT)

    async def visit(number: int) -> None:
        await store.save("token-1", document(number), "c", **SAVED)
        stored = await store.load("token-1")
        assert stored is not None
        assert stored.document == document(number)
        await store.aclose()

    for number in range(3):
        asyncio.run(visit(number))
    gc.collect()
    asyncio.run(visit(4))

    assert len(store._loops) <= 1


async def test_own_client_has_one_loop(
    shared_server: RedisServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client of the app serves one event loop."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    client = Redis(
        port=shared_server.port, socket_timeout=PATIENT, socket_connect_timeout=PATIENT, retry=Retry(NoBackoff(), 0)
    )
    store = RedisStore(client, namespace=namespace, budget=PATIENT)
    await store.save("token-1", document(1), "c", **SAVED)

    async def visit() -> None:
        for _ in range(3):
            with pytest.raises(ContextStoreUnavailable):
                await store.load("token-1")

    await asyncio.to_thread(lambda: asyncio.run(visit()))

    assert caplog.text.count("another event loop or process") == 1
    assert await store.load("token-1") is not None
    await store.aclose()
    await client.aclose()


FORK = """
import asyncio, json, os, socket, sys
from session_ctx_middleware.model.document import ContextDocument
from session_ctx_middleware.stores.redis import RedisStore

store = RedisStore(sys.argv[1], namespace=sys.argv[2], budget=5.0)
heard = []

async def use(version):
    attachment = store.attach(heard.append)
    while not attachment.connected:
        await asyncio.sleep(0.01)
    await store.save("token-1", ContextDocument(version), "c", age=0.0, lifetime=60.0)
    return await facts()

async def facts():
    here = store._loops[asyncio.get_running_loop()]
    ids = await asyncio.gather(*(here.run([("CLIENT", "ID")]) for _ in range(3)))
    sockets = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in own_sockets())
    return {"source": here.source, "epoch": here.backplane.attachment.epoch, "ids": sorted(i for i, in ids),
            "version": (await store.load("token-1")).document.version, "sockets": sockets}

def own_sockets():
    loops = store._loops.items()
    return [key.fd for loop, _ in loops for key in loop._selector.get_map().values()
            if key.fd not in (loop._ssock.fileno(), loop._csock.fileno())]

loop = asyncio.new_event_loop()
parent = loop.run_until_complete(use(1))
inherited = next(iter(store._loops.values()))
read, write = os.pipe()
pid = os.fork()
if not pid:
    # As a server with pre-loading does: the loop of the parent is never run here.
    assert not store._loops and not inherited.backplane.attachment.connected
    asyncio.set_event_loop(None)
    other = asyncio.new_event_loop()
    child = other.run_until_complete(use(2))
    other.run_until_complete(store.invalidate(["token-1"], "c", 3, lifetime=60.0))
    other.run_until_complete(store.aclose())
    os.write(write, json.dumps(child).encode())
    sys.exit(0)
os.close(write)
with os.fdopen(read, "rb") as pipe:
    child = json.loads(pipe.read())
_, status = os.waitpid(pid, 0)

async def after():
    while not heard:
        await asyncio.sleep(0.01)
    here = store._loops[asyncio.get_running_loop()]
    ids = set()
    while not ids.issuperset(parent["ids"]):
        # More calls than there were connections: one of those may be busy for a moment.
        ids.update(i for i, in await asyncio.gather(*(here.run([("CLIENT", "ID")]) for _ in range(5))))
    await store.aclose()
    return sorted(ids)

later = loop.run_until_complete(asyncio.wait_for(after(), 60))
print(json.dumps({"parent": parent, "child": child, "status": status, "later": later,
                  "heard": [(n.kind, n.floor) for n in heard]}))
"""


async def test_f28_fork(server: RedisServer, namespace: str) -> None:
    """F28: A forked process has its own name and connections."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", FORK, server.url, namespace]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=120, check=False, text=True)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    parent, child = found["parent"], found["child"]
    assert found["status"] == 0
    assert parent["source"] != child["source"]
    assert not set(parent["sockets"]) & set(child["sockets"])
    assert len(parent["sockets"]) >= 2
    assert not set(parent["ids"]) & set(child["ids"])
    assert set(found["later"]) >= set(parent["ids"]), "the parent's connections have come to no harm"
    assert (parent["version"], child["version"]) == (1, 2)
    assert found["heard"] == [["written", 3]]


class WrongClock(SystemClock):
    """A host whose wall clock is set wrong, and set again and again."""

    def __init__(self) -> None:
        self.offset = 0.0

    def time(self) -> float:
        return SystemClock.time() + self.offset


async def test_f40_ages_despite_clocks(shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """F40: Ages do not depend on the clocks of hosts."""
    wrong = WrongClock()
    store, other = make_redis_store(shared_server.url, clock=wrong), make_redis_store(shared_server.url)
    await store.save("token-1", document(1), "c", age=3.0, lifetime=60.0)

    for wrong.offset in (-3600.0, 3600.0, 0.0):
        for each in (store, other):
            stored = await each.load("token-1")
            assert stored is not None
            assert 3.0 <= stored.age < 60.0


async def test_f34_change_during_drain(shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """F34: Two workers change one field while a third drains."""
    one, two, three = (make_redis_store(shared_server.url) for _ in range(3))
    sent = changes(-10, currency="EUR", **{"attributes.a": "1"})
    await one.park("session-1", sent)

    await asyncio.gather(
        two.park("session-1", changes(-5, currency="USD")),
        three.unpark(["token-1", "session-1"], sent),
        one.park("session-1", changes(-6, currency="CHF")),
    )

    found = await three.parked(["token-1", "session-1"])
    assert {path: found.operations[path].value for path in found} == {"currency": "USD"}


async def test_connections_are_few(proxy: FaultProxy, make_redis_store: MakeRedisStore) -> None:
    """A worker needs few connections."""
    store = make_redis_store(proxy.url, max_connections=3)
    await attached(store)

    await asyncio.gather(*(store.load(f"token-{number}") for number in range(200)))

    assert proxy.opened <= 4, "three for calls, one for the subscription"
