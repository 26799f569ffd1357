"""Which changes were taken, as one `RedisStore` tells others: encrypted, bound to their notice, within bounds."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest
from redis.asyncio import Redis

from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.model.changes import NO_CHANGES, ContextChanges
from session_ctx_middleware.model.operation import Taken
from session_ctx_middleware.stores import Notice
from session_ctx_middleware.stores.redis.codec import Codec
from session_ctx_middleware.stores.redis.messages import notice_from, notice_text

from ..support.redis_server import RedisServer
from .helpers import MakeRedisStore, changes, eventually

KEY, OTHER = secrets.token_bytes(32), secrets.token_bytes(32)
NAMES = ("token-1", "session-1")


def taken(**values: Any) -> ContextChanges:
    return changes(**values).as_taken(Taken(7, "c", 1_790_000_000.0, "0123abcd", took=2.9))


def sent(notice: Notice, codec: Codec) -> str:
    """Return a message as Redis passes it on."""
    return '{"seq":1,' + notice_text(notice, "somebody", codec)


def heard(raw: str, codec: Codec) -> ContextChanges:
    """Return the changes of a message."""
    message = notice_from(raw, codec)
    assert message is not None
    return message[2].taken


def test_what_was_told_is_what_is_heard() -> None:
    """Values, versions and digests arrive as they were sent."""
    codec, told = Codec(None, SystemClock()), taken(currency="USD")
    found = heard(sent(Notice("written", NAMES, "c", 7, lambda: told), codec), codec)

    (operation,), (original,) = found.operations.values(), told.operations.values()
    assert (operation.value, operation.op_id, operation.taken) == ("USD", original.op_id, original.taken)


def test_encrypted_for_its_notice_alone() -> None:
    """With a key values are not to be read, nor taken for those of another notice, nor with another key."""
    codec, notice = Codec(KEY, SystemClock()), Notice("written", NAMES, "c", 7, lambda: taken(currency="XTS"))
    raw = sent(notice, codec)
    body = json.loads(raw)

    assert "XTS" not in raw
    assert heard(raw, codec)
    assert not heard(raw, Codec(OTHER, SystemClock()))
    for change in ({"floor": 8}, {"identity": "d"}, {"names": ["token-2", "session-1"]}):
        assert not heard(json.dumps(body | change), codec)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        7,
        "",
        "nonsense",
        "[1]",
        "[2,[]]",
        "[1,{}]",
        "[1,[7]]",
        "[1,[[]]]",
        '[1,[["currency","USD","a",1.0,7,0,0,2.0]]]',
        '[1,[["currency","usd","a",1.0,7,0,0,2.0,"x"]]]',
        '[1,[["nothing","USD","a",1.0,7,0,0,2.0,"x"]]]',
        '[1,[["currency","USD","a",1.0,7,0,0,"now","x"]]]',
        '[1,[["currency","USD","a",1.0,7,0,0,0,"long",2.0,"x"]]]',
        '[1,[["currency","USD","a",1.0,7,0,0,0,-1,2.0,"x"]]]',
        '[1,[["currency","USD","a",1e18,7,0,0,2.0,"x"]]]',
        "[1,[" + " " * 200_000 + "]]",
    ],
)
def test_what_nobody_has_sent(payload: object) -> None:
    """A notice with changes that cannot be believed counts without them."""
    body = {"seq": 1, "source": "s", "kind": "written", "names": list(NAMES), "identity": "c", "floor": 7}
    message = notice_from(json.dumps({**body, "taken": payload}), Codec(None, SystemClock()))

    assert message is not None
    assert message[2] == Notice("written", NAMES, "c", 7)
    assert message[2].taken == NO_CHANGES


def test_notice_of_an_earlier_release() -> None:
    """One that does not say how long the answer took tells when it came; what only a later one says is passed over."""
    body = {"seq": 1, "source": "s", "kind": "written", "names": list(NAMES), "identity": "c", "floor": 7}
    change = ["currency", "USD", "a", 1.0, 7, 0, 0, 0]
    for more, took in ([], 0.0), ([29], 2.9), ([29, "more"], 2.9):
        payload = json.dumps([1, [[*change, *more, 1_790_000_000.0, "0123abcd"]]])

        (operation,) = heard(json.dumps({**body, "taken": payload}), Codec(None, SystemClock())).operations.values()

        assert operation.taken == Taken(7, "c", 1_790_000_000.0, "0123abcd", took=took)


def test_taken_in_the_future() -> None:
    """When Emporix took a change is no later than a day from now, and its version is that of the notice."""
    clock = SystemClock()
    body = {"seq": 1, "source": "s", "kind": "written", "names": list(NAMES), "identity": "c", "floor": 7}
    payload = '[1,[["currency","USD","a",1.0,99,0,0,4000000000.0,"0123abcd"]]]'

    (operation,) = heard(json.dumps({**body, "taken": payload}), Codec(None, clock)).operations.values()

    assert operation.taken is not None
    assert operation.taken.version == 7
    assert operation.taken.at <= clock.time() + 24 * 3600


@pytest.mark.redis
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
async def test_other_processes_hear_it(
    server: RedisServer, make_redis_store: MakeRedisStore, namespace: str, key: bytes | None
) -> None:
    """Whoever has the key hears which changes were taken; what is published shows it to nobody else."""
    one, two = (make_redis_store(server.url, encryption_key=key) for _ in range(2))
    notices: list[Notice] = []
    attachment = two.attach(notices.append)
    await eventually(lambda: attachment.connected)
    async with Redis(port=server.port, decode_responses=True) as redis, redis.pubsub() as channel:
        await channel.subscribe(f"{namespace}:v1:notices")
        await one.invalidate(NAMES, "c", 7, lifetime=60.0, taken=taken(currency="XTS"))
        await eventually(lambda: bool(notices))
        published = ""
        while "XTS" not in published and "taken" not in published:
            message = await channel.get_message(timeout=5.0)
            assert message is not None
            published += str(message["data"])
            await asyncio.sleep(0)

    assert [each.value for each in notices[0].taken.operations.values()] == ["XTS"]
    assert ("XTS" in published) is (key is None)
