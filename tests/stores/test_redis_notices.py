"""What one worker changes the others hear of, or they notice that they might not have heard it."""

from __future__ import annotations

import asyncio
import json

import pytest

from session_ctx_middleware.stores import ContextStoreUnavailable, Notice
from session_ctx_middleware.stores.redis import backplane

from ..support.fault_proxy import FaultProxy
from ..support.redis_server import RedisServer
from .helpers import SLOW, MakeRedisStore, attached, changes, eventually

pytestmark = pytest.mark.redis


async def publish(server: RedisServer, namespace: str, message: object) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    await asyncio.to_thread(server.command, "PUBLISH", f"{namespace}:v1:notices", text)


def message(seq: int, **fields: object) -> dict[str, object]:
    return {
        "seq": seq,
        "kind": "written",
        "names": ["token-1"],
        "identity": "c",
        "floor": 5,
        "source": "elsewhere",
        **fields,
    }


async def test_f23_cut_raises_the_epoch(
    proxy: FaultProxy, server: RedisServer, make_redis_store: MakeRedisStore
) -> None:
    """F23: What was written while the subscription was cut raises the epoch."""
    store, other = make_redis_store(proxy.url), make_redis_store(server.url)
    heard, attachment = await attached(store)
    # The subscription asks for the number of the last notice first, over a connection of its own.
    await eventually(lambda: store._connection().backplane._seen is not None)
    epoch, calls = attachment.epoch, proxy.opened

    proxy.cut(only_listeners=True)
    await eventually(lambda: not attachment.connected)
    await other.invalidate(["token-1"], "c", 5, lifetime=60.0)
    took = await eventually(lambda: attachment.connected)

    assert attachment.epoch == epoch + 1
    assert heard == []
    assert took < 1.0 * SLOW
    assert proxy.opened == calls + 1, "nothing but the subscription had to be renewed"
    await other.invalidate(["token-1"], "c", 6, lifetime=60.0)
    await eventually(lambda: heard == [Notice("written", ("token-1",), "c", 6)])


async def test_f24_silent_subscription(
    proxy: FaultProxy, make_redis_store: MakeRedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24: A subscription that fell silent is given up."""
    assert backplane.PING_EVERY + backplane.PONG_WITHIN <= 7.0
    monkeypatch.setattr(backplane, "PING_EVERY", 1.6)
    monkeypatch.setattr(backplane, "PONG_WITHIN", 1.5)
    store = make_redis_store(proxy.url, budget=0.05)
    _, attachment = await attached(store)
    epoch = attachment.epoch
    await asyncio.sleep(4.0)
    assert (attachment.connected, attachment.epoch) == (True, epoch), "pings are answered"

    proxy.blackhole()
    took = await eventually(lambda: not attachment.connected)
    proxy.pass_on()
    await eventually(lambda: attachment.connected)

    assert took < 3.1 * SLOW
    assert attachment.epoch > epoch


@pytest.mark.parametrize("noticed_by", ["a load", "the poll", "the next notice"])
async def test_f25_lost_notices(
    noticed_by: str,
    proxy: FaultProxy,
    server: RedisServer,
    make_redis_store: MakeRedisStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F25: Notices that were lost without a word raise the epoch."""
    assert backplane.PING_EVERY <= 5.0
    if noticed_by == "the poll":
        monkeypatch.setattr(backplane, "PING_EVERY", 0.3)
    store, other = make_redis_store(proxy.url), make_redis_store(server.url)
    heard, attachment = await attached(store)
    await other.invalidate(["token-0"], "c", 1, lifetime=60.0)
    await eventually(lambda: len(heard) == 1)
    epoch = attachment.epoch

    proxy.lose_messages = True
    await other.invalidate(["token-1"], "c", 5, lifetime=60.0)
    if noticed_by == "a load":
        await store.load("token-2")
    elif noticed_by == "the next notice":
        await eventually(lambda: proxy.lost > 0)
        proxy.lose_messages = False
        await other.invalidate(["token-3"], "c", 5, lifetime=60.0)
    took = await eventually(lambda: attachment.epoch > epoch)

    assert took < 1.0 * SLOW
    proxy.lose_messages = False
    await eventually(lambda: attachment.connected)
    heard.clear()
    await other.invalidate(["token-4"], "c", 5, lifetime=60.0)
    await eventually(lambda: [notice.names for notice in heard] == [("token-4",)])


async def test_notice_on_its_way(
    server: RedisServer, proxy: FaultProxy, make_redis_store: MakeRedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notice on its way is not taken for lost."""
    monkeypatch.setattr(backplane, "GRACE", 4.0)
    store, other = make_redis_store(proxy.url), make_redis_store(server.url)
    heard, attachment = await attached(store)
    epoch = attachment.epoch

    for floor in range(1, 51):
        await asyncio.gather(other.invalidate(["token-1"], "c", floor, lifetime=60.0), store.load("token-2"))
    await eventually(lambda: len(heard) == 50)
    await asyncio.sleep(1.2 * backplane.GRACE)

    assert [notice.floor for notice in heard] == list(range(1, 51))
    # The very first number there ever was may, or may not, be the first one.
    assert attachment.epoch - epoch <= 1


async def test_f26_repeated_and_reordered(
    server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """F26: Repeated and reordered notices do no harm."""
    store, other = make_redis_store(server.url), make_redis_store(server.url)
    heard, attachment = await attached(store)
    await other.invalidate(["token-1"], "c", 5, lifetime=60.0)
    await eventually(lambda: len(heard) == 1)
    seen = store._connection().backplane._seen
    assert seen is not None
    epoch = attachment.epoch

    for number in (seen, seen - 1, seen + 1, seen + 1, seen):
        await publish(server, namespace, message(number))
    await eventually(lambda: len(heard) == 6)

    assert attachment.epoch == epoch
    assert set(heard) == {Notice("written", ("token-1",), "c", 5)}
    await publish(server, namespace, message(seen + 3))
    await eventually(lambda: attachment.epoch == epoch + 1)
    await publish(server, namespace, message(seen + 2))
    await eventually(lambda: len(heard) == 8)
    assert attachment.epoch == epoch + 1


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "not JSON",
        "[]",
        '"text"',
        "[" * 5000,
        message(1, kind="unheard-of"),
        message(1, names="token-1"),
        message(1, names=[1]),
        message(1, floor="5"),
        message(1, identity=None),
        message(1, source=None),
        {**message(1), "seq": "1"},
        {**message(1), "seq": True},
    ],
    ids=range(13),
)
async def test_f26_nonsense_is_ignored(
    nonsense: object, shared_server: RedisServer, make_redis_store: MakeRedisStore, namespace: str
) -> None:
    """F26: Nonsense is ignored."""
    store, other = make_redis_store(shared_server.url), make_redis_store(shared_server.url)
    heard, attachment = await attached(store)

    await publish(shared_server, namespace, nonsense)
    await other.park("session-1", changes(currency="USD"))
    await eventually(lambda: len(heard) == 1)

    assert heard == [Notice("parked", ("session-1",))]
    assert attachment.connected


async def test_failing_listener(shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """A listener that fails does not silence the others."""
    store, other = make_redis_store(shared_server.url), make_redis_store(shared_server.url)

    def broken(_: Notice) -> None:
        raise RuntimeError

    store.attach(broken)
    heard, attachment = await attached(store)
    epoch = attachment.epoch
    for _ in range(2):
        await other.park("session-1", changes(currency="USD"))

    await eventually(lambda: len(heard) == 2)
    assert attachment.epoch - epoch <= 1


async def test_unparking_is_told(shared_server: RedisServer, make_redis_store: MakeRedisStore) -> None:
    """Unparking is told where something was parked."""
    store, other = make_redis_store(shared_server.url), make_redis_store(shared_server.url)
    heard, _ = await attached(store)
    sent = changes(currency="USD")
    await other.park("session-1", sent)
    for _ in range(3):
        await other.unpark(["token-1", "session-1"], sent)
    await other.park("session-2", sent)

    await eventually(lambda: len(heard) == 3)

    assert [notice.names for notice in heard] == [("session-1",), ("token-1", "session-1"), ("session-2",)]


async def test_no_attachment_no_subscription(proxy: FaultProxy, make_redis_store: MakeRedisStore) -> None:
    """A store that was never attached subscribes to nothing."""
    store = make_redis_store(proxy.url)
    await store.load("token-1")
    assert proxy.opened == 1


async def test_closing_closes_everything(proxy: FaultProxy, make_redis_store: MakeRedisStore) -> None:
    """Closing leaves no connection and no task."""
    store = make_redis_store(proxy.url)
    _, attachment = await attached(store)
    # The subscription asks for the number of the last notice first; a call at the same time has a third connection.
    await eventually(lambda: store._connection().backplane._seen is not None)
    await store.load("token-1")
    assert proxy.connections == 2

    await store.aclose()

    await eventually(lambda: proxy.connections == 0)
    assert not attachment.connected
    left = {str(task.get_coro()) for task in asyncio.all_tasks()}
    assert not [name for name in left if "session_ctx_middleware" in name]


async def test_closing_despite_silence(proxy: FaultProxy, make_redis_store: MakeRedisStore) -> None:
    """Closing comes to an end even where Redis does not answer."""
    store = make_redis_store(proxy.url, budget=0.05)
    await attached(store)
    proxy.blackhole()
    with pytest.raises(ContextStoreUnavailable):
        await store.invalidate(["token-1"], "c", 5, lifetime=60.0)

    async with asyncio.timeout(2.0 * SLOW):
        await store.aclose()
