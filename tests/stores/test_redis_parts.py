"""The parts of `RedisStore` that need no Redis: what is remembered, and when Redis is left alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from session_ctx_middleware.breaker import Admission, Breaker, Change
from session_ctx_middleware.stores import ContextStoreUnavailable
from session_ctx_middleware.stores.redis.backplane import Backplane
from session_ctx_middleware.stores.redis.guard import Guard
from session_ctx_middleware.stores.redis.recovery import RecoveryQueue
from session_ctx_middleware.stores.redis.refusals import Refusals

from ..support.virtual_time import VIRTUAL_BACKEND, VirtualClock
from .helpers import changes


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_BACKEND


Work = Callable[[], Awaitable[list[Any]]]


async def works() -> list[Any]:
    return ["yes"]


def guarded(
    replaced: list[None] | None = None, room: int = 4, *, probe: Work = works, clustered: bool = False
) -> Guard:
    gone: list[None] = [] if replaced is None else replaced
    return Guard(0.05, room, VirtualClock(), lambda: gone.append(None), probe, clustered=clustered)


async def fails() -> list[Any]:
    raise RedisConnectionError


async def is_full() -> list[Any]:
    return [OutOfMemoryError()]


async def hangs() -> list[Any]:
    await asyncio.sleep(30)
    return []


async def answered(guard: Guard, work: Any) -> bool:
    try:
        await guard.call(work)
    except ContextStoreUnavailable:
        return False
    return True


async def refuses(guard: Guard, work: Any) -> float:
    began = asyncio.get_running_loop().time()
    with pytest.raises(ContextStoreUnavailable):
        await guard.call(work)
    return asyncio.get_running_loop().time() - began


async def test_three_failures_open_and_one_probe_closes() -> None:
    guard = guarded()
    for _ in range(3):
        assert not guard.is_open
        await refuses(guard, fails)
    assert guard.is_open
    assert await refuses(guard, works) == 0

    await asyncio.sleep(1.3)
    assert await refuses(guard, works) == 0, "nobody waits for the answer"
    await asyncio.sleep(0)
    assert await guard.call(works) == ["yes"]


def late(seconds: float, error: BaseException | None = None) -> Work:
    """Return a call that takes its time."""

    async def work() -> list[Any]:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return ["late"]

    return work


async def test_while_an_answer_is_owed_nobody_else_waits_for_one() -> None:
    guard = guarded()
    assert await refuses(guard, late(0.15)) == pytest.approx(0.05)
    for _ in range(9):
        assert await refuses(guard, works) == 0
        await asyncio.sleep(0.01)

    await asyncio.sleep(0.02)
    assert await guard.call(works) == ["yes"]
    assert not guard.is_open


async def test_an_answer_that_never_comes_opens_at_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = guarded()
    waited = await refuses(guard, late(0.2, RedisTimeoutError()))
    for _ in range(50):
        waited += await refuses(guard, late(0.2, RedisTimeoutError()))
        await asyncio.sleep(0.01)

    assert waited == pytest.approx(0.05)
    assert guard.is_open
    assert [record.message for record in caplog.records] == ["Redis fails (TimeoutError): it is left alone for a while"]


async def test_calls_that_are_late_together_are_one_failure() -> None:
    guard = guarded()
    await asyncio.gather(*(refuses(guard, late(0.06)) for _ in range(4)))
    await asyncio.sleep(0.02)

    assert await guard.call(works) == ["yes"]


async def test_a_redis_that_is_back_but_too_slow_is_left_alone_for_longer_and_longer() -> None:
    guard, loop, waited = guarded(probe=late(0.06)), asyncio.get_running_loop(), 0.0
    while loop.time() < 600:
        waited += await refuses(guard, late(0.06))
        await asyncio.sleep(0.1)

    assert waited == pytest.approx(3 * 0.05)


@pytest.mark.parametrize("first", [late(0.01, asyncio.CancelledError()), late(0.1, asyncio.CancelledError())])
@pytest.mark.parametrize("failures", [0, 3], ids=["a call", "a probe"])
async def test_a_call_that_somebody_cancels_is_over(first: Work, failures: int) -> None:
    probes = iter([first] if failures else [])

    async def probe() -> list[Any]:
        return await next(probes, works)()

    guard = guarded(probe=probe)
    for _ in range(failures):
        await refuses(guard, fails)
    await asyncio.sleep(1.3)
    await answered(guard, first)

    await asyncio.sleep(20)
    await answered(guard, works)
    await asyncio.sleep(0.1)
    assert await guard.call(works) == ["yes"]


async def test_a_denial_that_comes_late_is_one_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    guard = guarded()
    await refuses(guard, late(0.06, NoPermissionError()))
    await asyncio.sleep(0.02)

    assert "denies" in caplog.text
    assert "left alone" not in caplog.text


async def test_one_server_of_a_cluster_does_not_keep_the_others_from_being_asked() -> None:
    guard = guarded(clustered=True)
    for _ in range(9):
        await refuses(guard, late(0.2, RedisTimeoutError()))
        for _ in range(3):
            assert await guard.call(works) == ["yes"]
    await asyncio.sleep(1)
    assert await guard.call(works) == ["yes"]


async def test_an_answer_that_comes_just_in_time_is_not_owed_for_ever() -> None:
    guard = guarded(room=100)
    await asyncio.gather(*(answered(guard, late(0.05)) for _ in range(100)))
    await asyncio.sleep(1.3)
    await answered(guard, works)
    await asyncio.sleep(0)

    assert await guard.call(works) == ["yes"]


async def test_a_call_that_hangs_costs_the_budget_and_lives_on() -> None:
    guard = guarded()
    assert await refuses(guard, hangs) == pytest.approx(0.05)
    assert len(guard._tasks) == 1
    await asyncio.sleep(31)
    assert not guard._tasks


async def test_pauses_grow_and_end_at_fifteen_seconds() -> None:
    calls: list[float] = []

    async def fails_at() -> list[Any]:
        calls.append(asyncio.get_running_loop().time())
        raise RedisConnectionError

    guard = guarded(probe=fails_at)
    for _ in range(600):
        await refuses(guard, fails_at)
        await asyncio.sleep(0.25)

    gaps = [later - earlier for earlier, later in pairwise(calls)]
    assert gaps[2] < 1.5
    assert 10 < max(gaps) <= 18.5


async def test_five_failures_in_a_row_replace_the_connections() -> None:
    replaced: list[None] = []
    failures: list[None] = []

    async def fails_again() -> list[Any]:
        failures.append(None)
        raise RedisConnectionError

    guard = guarded(replaced, probe=fails_again)
    while not replaced:
        await refuses(guard, fails_again)
        await asyncio.sleep(1)
    assert len(failures) == 5


async def test_a_full_redis_is_no_reason_to_leave_it_alone() -> None:
    guard = guarded()
    for _ in range(50):
        await refuses(guard, is_full)
    assert not guard.is_open


async def test_waiting_in_line_is_no_failure_of_redis() -> None:
    guard = guarded(room=1)
    first = asyncio.ensure_future(refuses(guard, hangs))
    await asyncio.sleep(0)
    for _ in range(20):
        await refuses(guard, works)
    await first
    assert not guard.is_open


async def test_a_caller_that_goes_away_does_not_end_the_call() -> None:
    guard, done = guarded(), asyncio.Event()

    async def work() -> list[Any]:
        await asyncio.sleep(0.01)
        done.set()
        return []

    caller = asyncio.ensure_future(guard.call(work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    await asyncio.sleep(0.02)

    assert caller.cancelled()
    assert done.is_set()


async def test_a_breaker_keeps_its_numbers_unless_it_is_told_otherwise() -> None:
    breaker = Breaker(VirtualClock())
    for _ in range(4):
        assert breaker.record(failed=True, probe=False) is None
    assert breaker.record(failed=True, probe=False) is Change.OPENED
    assert breaker.admit() is Admission.REFUSED
    await asyncio.sleep(7)
    assert breaker.admit() is Admission.PROBE
    assert breaker.admit() is Admission.REFUSED
    assert breaker.record(failed=False, probe=True) is Change.CLOSED
    assert breaker.admit() is Admission.CALL


async def test_the_highest_floor_of_one_context_is_remembered() -> None:
    repairs = RecoveryQueue(VirtualClock())
    for identity, floor in (("a", 9), ("b", 5), ("b", 3)):
        repairs.floor(["token-1"], identity, floor, 60.0)
    ((name, repair),) = repairs.oldest(10)
    assert (name, repair.identity, repair.floor) == ("token-1", "b", 5)


async def test_what_came_meanwhile_is_not_forgotten() -> None:
    repairs = RecoveryQueue(VirtualClock())
    repairs.floor(["token-1"], "a", 1, 60.0)
    ((name, repair),) = repairs.oldest(10)
    repairs.forget(["token-1"])
    repairs.done(name, repair)
    ((_, later),) = repairs.oldest(10)
    assert later.forgotten_at is not None
    repairs.done(name, later)
    assert not len(repairs)


async def test_repairs_end_with_their_lifetime() -> None:
    repairs = RecoveryQueue(VirtualClock())
    repairs.floor(["token-1"], "a", 1, 60.0)
    repairs.unpark(["session-1"], changes(currency="USD"))
    assert repairs.hides_document("token-1")
    assert not repairs.hides_document("session-1")
    await asyncio.sleep(61)
    assert not repairs.hides_document("token-1")
    assert [name for name, _ in repairs.oldest(10)] == ["session-1"]
    await asyncio.sleep(24 * 3600)
    assert repairs.oldest(10) == []


async def test_repairs_are_bounded_in_number() -> None:
    repairs = RecoveryQueue(VirtualClock(), max_names=3)
    for number in range(10):
        repairs.floor([f"token-{number}"], "a", 1, 60.0)
    assert [name for name, _ in repairs.oldest(10)] == ["token-7", "token-8", "token-9"]
    repairs.floor(["token-7"], "a", 2, 60.0)
    assert len(repairs) == 3


class Stubborn:
    """A connection that takes the first cancellation for one of its own."""

    async def send_command(self, *_: object, **__: object) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    async def read_response(self, **_: object) -> None:
        await asyncio.sleep(3600)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Stubborn]:
        yield self


async def test_closing_ends_a_stubborn_subscription() -> None:
    """Closing comes to an end though the client's library swallows a cancellation."""

    async def count() -> int:
        return 0

    link: Any = Stubborn()
    clock = VirtualClock()
    backplane = Backplane(
        link=lambda: link,
        channel="c",
        check=count,
        on_up=lambda: None,
        clock=clock,
        read=lambda _: None,
        source="s",
        refusals=Refusals(clock),
    )
    backplane.attach(lambda _: None)
    await asyncio.sleep(1)

    async with asyncio.timeout(60):
        await backplane.aclose()
    assert not [task for task in asyncio.all_tasks() if "redis" in task.get_name()]
