"""Redis is slow, gone, empty or full: pages wait for a moment at most, and nobody reads what is out of date.

Names begin with the number of the scenario where there is one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

import pytest

from session_ctx_middleware.stores import ContextStoreUnavailable
from session_ctx_middleware.stores.redis import RedisStore

from ..support.fault_proxy import FaultProxy
from ..support.redis_server import RedisServer, free_port, redis_server
from .helpers import SLOW, MakeRedisStore, answers, attached, changes, document, duration, eventually, insist

pytestmark = pytest.mark.redis

LONG_BUDGET = 2.0
"""Where one wait has to be told from two, on a machine that may add a second to each."""
SAVED: dict[str, Any] = {"age": 0.0, "lifetime": 60.0}


async def opened(store: RedisStore) -> list[float]:
    """Call as often as it takes to open the breaker; return how long each of those calls took."""
    return [await duration(lambda: store.load("token-1")) for _ in range(3)]


@pytest.mark.parametrize(
    "fault", ["refused", "blackholed", *(pytest.param(each, marks=pytest.mark.slow) for each in ("slow", "paused"))]
)
async def test_f21_only_first_calls_wait(
    fault: str,
    proxy: FaultProxy,
    server: RedisServer,
    make_redis_store: MakeRedisStore,
) -> None:
    """F21: The first calls cost the budget, and further ones nothing."""
    store = make_redis_store(proxy.url, budget=LONG_BUDGET)
    await eventually(lambda: answers(lambda: store.load("token-1")))
    match fault:
        case "refused":
            await proxy.refuse()
        case "blackholed":
            proxy.blackhole()
        case "slow":
            proxy.delay = 4 * LONG_BUDGET
        case _:
            server.pause()

    first = await opened(store)
    later = sorted([await duration(lambda: store.load("token-1")) for _ in range(100)])

    assert sum(first) < 2 * LONG_BUDGET, "one call waits, and no other"
    assert later[50] < 0.0005 * SLOW


async def test_f21_nobody_ever_was_there(make_redis_store: MakeRedisStore) -> None:
    """F21: A Redis that never was there costs little, and is not connected."""
    store = make_redis_store(f"redis://127.0.0.1:{free_port()}/0", budget=LONG_BUDGET)
    attachment = store.attach(lambda _: None)

    first = await opened(store)

    assert max(first) < 2 * LONG_BUDGET
    assert not attachment.connected


@pytest.mark.parametrize("fault", ["blackholed", "paused"])
async def test_used_again_when_back(
    fault: str,
    proxy: FaultProxy,
    server: RedisServer,
    make_redis_store: MakeRedisStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Redis is used again when it answers again."""
    store = make_redis_store(proxy.url, budget=0.2)
    await insist(lambda: store.save("token-1", document(1), "c", **SAVED))
    await eventually(lambda: not store._connection().guard.is_open)
    caplog.clear()
    (proxy.blackhole if fault == "blackholed" else server.pause)()
    await opened(store)
    await eventually(lambda: "left alone" in caplog.text)
    (proxy.pass_on if fault == "blackholed" else server.resume)()

    took = await eventually(lambda: answers(lambda: store.load("token-1")))

    stored = await insist(lambda: store.load("token-1"))
    assert stored is not None
    assert stored.document == document(1)
    assert took < 2 * SLOW
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in told if "left alone" in text] == [told[0]], "once per opening, not per call"
    assert told[-1] == "Redis answers again"


async def test_f22_redis_restarts_empty(
    proxy: FaultProxy, server: RedisServer, make_redis_store: MakeRedisStore
) -> None:
    """F22: After Redis has restarted empty, what is known is checked, and it is used again."""
    store, other = make_redis_store(proxy.url), make_redis_store(proxy.url)
    await store.invalidate(["token-1"], "c", 5, lifetime=60.0)
    _, attachment = await attached(store)
    epoch = attachment.epoch

    await asyncio.to_thread(server.kill)
    await eventually(lambda: not attachment.connected)
    await opened(store)
    await asyncio.to_thread(server.start)
    await eventually(lambda: attachment.connected)

    assert attachment.epoch > epoch, "what is known is checked against the store"
    await eventually(lambda: answers(lambda: store.save("token-1", document(6), "c", **SAVED)))
    await eventually(lambda: answers(lambda: other.load("token-1")))
    stored = await other.load("token-1")
    assert stored is not None
    assert (stored.document, stored.floor) == (document(6), -1)


async def test_f22_everything_was_flushed(server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """F22: A Redis that was flushed is noticed by its counter of notices."""
    store, other = make_redis_store(server.url), make_redis_store(server.url)
    _, attachment = await attached(store)
    await other.invalidate(["token-1"], "c", 5, lifetime=60.0)
    await store.save("token-2", document(1), "c", **SAVED)
    epoch = attachment.epoch

    await asyncio.to_thread(server.command, "FLUSHALL")

    assert await store.load("token-2") is None
    assert attachment.epoch == epoch + 1, "the counter of notices is gone"
    await store.load("token-2")
    assert attachment.epoch == epoch + 1


async def test_scripts_are_loaded_again(server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """Scripts are loaded again after Redis has forgotten them."""
    store = make_redis_store(server.url)
    for version in (1, 2):
        await asyncio.to_thread(server.command, "SCRIPT", "FLUSH")
        await store.park("session-1", changes(-5, currency="USD"))
        await store.save("token-1", document(version), "c", **SAVED)
        await store.invalidate(["token-1"], "c", version + 1, lifetime=60.0)
        await store.unpark(["session-1"], changes(currency="EUR"))

    stored = await store.load("token-1")

    assert stored is not None
    assert (stored.document, stored.floor) == (None, 3)
    assert not await store.parked(["session-1"])


async def test_f21_floor_is_written_later(
    proxy: FaultProxy, server: RedisServer, make_redis_store: MakeRedisStore
) -> None:
    """F21: A floor that could not be written is written later."""
    store, other = make_redis_store(proxy.url), make_redis_store(server.url)
    await store.save("token-1", document(4), "c", **SAVED)
    store.attach(lambda _: None)
    heard, _ = await attached(other)
    await proxy.refuse()

    assert not await answers(lambda: store.invalidate(["token-1", "session-1"], "c", 5, lifetime=60.0))
    assert await store.load("token-1") is None, "Redis still has version 4, and the breaker is not even open"
    await proxy.listen()
    await eventually(lambda: {name for notice in heard for name in notice.names} == {"token-1", "session-1"})

    for each in (store, other):
        stored = await each.load("token-1")
        assert stored is not None
        assert (stored.document, stored.floor) == (None, 5)


async def test_f35_sent_does_not_come_back(
    proxy: FaultProxy, server: RedisServer, make_redis_store: MakeRedisStore
) -> None:
    """F35: What was sent does not come back."""
    store, other = make_redis_store(proxy.url, budget=0.4), make_redis_store(server.url)
    store.attach(lambda _: None)
    sent = changes(-10, currency="USD", language="de")
    await insist(lambda: store.park("session-1", sent))
    # Redis does what it is asked, but its answer is lost: nobody knows.
    proxy.delay = 2.0
    assert not await answers(lambda: store.unpark(["session-1"], sent))
    proxy.delay = 0.0
    await eventually(lambda: answers(lambda: store.load("token-1")))
    await other.park("session-1", changes(-5, currency="CHF"))

    assert list(await insist(lambda: store.parked(["session-1"]))) == ["currency"]
    await insist(lambda: store.load("token-1"))
    await eventually(lambda: not len(store._recovery))
    found = await other.parked(["session-1"])
    assert {path: found.operations[path].value for path in found} == {"currency": "CHF"}


async def test_sent_is_hidden_meanwhile(
    proxy: FaultProxy, server: RedisServer, make_redis_store: MakeRedisStore
) -> None:
    """What was sent is hidden until Redis knows."""
    store, other = make_redis_store(proxy.url), make_redis_store(server.url)
    sent = changes(-10, currency="USD", language="de")
    await store.park("session-1", sent)
    await proxy.refuse()
    assert not await answers(lambda: store.unpark(["session-1"], sent))
    await proxy.listen()

    await eventually(lambda: answers(lambda: store.parked(["session-1"])))
    assert not await store.parked(["session-1"])
    await store.load("token-1")

    async def is_gone() -> bool:
        return not await other.parked(["session-1"])

    await eventually(is_gone)


async def test_f32_late_logout_takes_no_more(
    proxy: FaultProxy, server: RedisServer, make_redis_store: MakeRedisStore
) -> None:
    """F32: A logout that Redis missed takes nothing that came after it."""
    store, other = make_redis_store(proxy.url), make_redis_store(server.url)
    await store.save("token-1", document(4), "c", **SAVED)
    await store.park("session-1", changes(-10, currency="USD", language="de"))
    await proxy.refuse()
    assert not await answers(lambda: store.forget(["token-1", "session-1"]))
    assert await store.load("token-1") is None
    await other.park("session-1", changes(5, currency="CHF"))
    await proxy.listen()
    await eventually(lambda: answers(lambda: store.load("token-2")))

    await eventually(lambda: not len(store._recovery))

    assert await other.load("token-1") is None
    assert list(await other.parked(["session-1"])) == ["currency"]


async def test_leaving_mixes_no_answers(server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """Callers that go away leave no answer to others."""
    store, chance = make_redis_store(server.url, max_connections=4), random.Random(7)
    for number in range(50):
        await store.save(f"token-{number}", document(1, cart_id=f"cart-{number}"), "c", **SAVED)

    async def visit(number: int) -> None:
        stored = await store.load(f"token-{number}")
        assert stored is not None
        assert stored.document == document(1, cart_id=f"cart-{number}")

    for _ in range(20):
        visits = [asyncio.ensure_future(visit(number)) for number in range(50)]
        for task in chance.sample(visits, 25):
            asyncio.get_running_loop().call_later(chance.random() * 0.005, task.cancel)
        for outcome in await asyncio.gather(*visits, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)


async def test_crowd_is_no_failure(server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """A crowd waits in line, and does not look like a failure."""
    store = make_redis_store(server.url, max_connections=2, budget=0.02)
    await eventually(lambda: answers(lambda: store.load("token-1")))

    calls = [answers(lambda: store.load("token-1")) for _ in range(500)]
    outcome = await asyncio.gather(*calls)

    assert sum(outcome) < 500, "the line is longer than the budget"
    assert await eventually(lambda: answers(lambda: store.load("token-1"))) < 0.5 * SLOW


async def test_stalled_loop_is_no_failure(server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """An event loop that stalls is not taken for a failure of Redis."""
    budget = 0.3
    store = make_redis_store(server.url, budget=budget)
    await eventually(lambda: answers(lambda: store.load("token-1")))

    async def stall(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(3 * budget)

    for turns in range(6):
        found, _ = await asyncio.gather(store.load("token-1"), stall(turns))
        assert found is None


async def test_eviction(make_redis_store: MakeRedisStore) -> None:
    """Eviction costs entries and nothing else."""
    with redis_server("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru") as server:
        store = make_redis_store(server.url)
        filler = "x" * 2000
        for start in range(0, 3000, 100):
            await asyncio.gather(
                *(
                    store.save(f"token-{number}", document(number, cart_id=filler), "c", **SAVED)
                    for number in range(start, start + 100)
                )
            )

        found = [await store.load(f"token-{number}") for number in range(0, 3000, 10)]

        kept = [stored.document.version for stored in found if stored is not None and stored.document is not None]
        assert 0 < len(kept) < 300
        assert all(version % 10 == 0 for version in kept)
        await store.aclose()


async def test_full_redis_answers(make_redis_store: MakeRedisStore) -> None:
    """A full Redis still answers what it has."""
    with redis_server("--maxmemory-policy", "noeviction") as server:
        store = make_redis_store(server.url)
        await store.save("token-1", document(4), "c", **SAVED)
        await asyncio.to_thread(server.command, "CONFIG", "SET", "maxmemory", "1")

        for _ in range(10):
            assert not await answers(lambda: store.save("token-2", document(1), "c", **SAVED))
        stored = await store.load("token-1")
        assert stored is not None
        assert stored.document == document(4)

        assert not await answers(lambda: store.invalidate(["token-1"], "c", 5, lifetime=60.0))
        assert await store.load("token-1") is None
        await asyncio.to_thread(server.command, "CONFIG", "SET", "maxmemory", "0")
        await store.load("token-1")
        await eventually(lambda: not len(store._recovery))
        await store.aclose()


async def test_without_scripts(make_redis_store: MakeRedisStore, caplog: pytest.LogCaptureFixture) -> None:
    """Without scripts nothing is shared, and the log says why."""
    with redis_server() as server:
        server.command("ACL", "SETUSER", "shop", "on", ">hunter2", "~*", "&*", "+@all", "-@scripting")
        store = make_redis_store(f"redis://shop:hunter2@127.0.0.1:{server.port}/0")

        for _ in range(5):
            with pytest.raises(ContextStoreUnavailable):
                await store.save("token-1", document(1), "c", **SAVED)
        later = [await duration(lambda: store.load("token-1")) for _ in range(20)]

        assert min(later) < 0.01
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(told) == 1
        assert "EVALSHA" in told[0]
        assert "hunter2" not in caplog.text
        await store.aclose()


async def test_wrong_password(make_redis_store: MakeRedisStore, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password is a failure like any other."""
    with redis_server() as server:
        server.command("CONFIG", "SET", "requirepass", "right-one")
        store = make_redis_store(f"redis://:wrong-one@127.0.0.1:{server.port}/0")
        for _ in range(5):
            assert not await answers(lambda: store.load("token-1"))
        assert "wrong-one" not in caplog.text + repr(store)
        await store.aclose()
