"""How many calls are made at once, and who waits for a turn."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from session_ctx_middleware import EmporixNotAsked
from session_ctx_middleware.engine.bulkhead import Bulkhead

from ..support.virtual_time import VirtualClock

PATIENCE = 2.0


class Crowd:
    """Calls that take their time, through one bulkhead."""

    def __init__(self, size: int, *, takes: float, answers: int = 0) -> None:
        self.permits = Bulkhead(size, VirtualClock())
        self.takes = takes
        self.running = self.peak = 0
        self.served: list[int] = []
        self.refused_after: list[float] = []
        for _ in range(answers):
            self.permits.speed.note(takes)

    async def call(self, number: int = 0) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await self.permits.take("context.get", PATIENCE)
        except EmporixNotAsked:
            self.refused_after.append(asyncio.get_running_loop().time() - began)
            return
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.running -= 1
            self.permits.give()
        self.served.append(number)

    async def arrive(self, count: int) -> None:
        await asyncio.gather(*(self.call(number) for number in range(count)))


async def test_first_come_first_served() -> None:
    """So many calls are made at once, and the others have their turn in the order in which they came."""
    crowd = Crowd(2, takes=0.1)

    await crowd.arrive(10)

    assert (crowd.peak, crowd.served, crowd.refused_after) == (2, list(range(10)), [])
    assert not crowd.permits.waiting


async def test_everybody_waits_at_first() -> None:
    """Until fifty answers have been measured everybody waits, though no longer than an answer is of use."""
    crowd = Crowd(2, takes=0.5, answers=49)

    await crowd.arrive(20)

    assert len(crowd.served) == 8
    assert crowd.refused_after == [PATIENCE] * 12


async def test_late_answers_are_not_waited_for() -> None:
    """By the speed of the last answers, who would get one in time waits, and everybody else is refused at once."""
    crowd = Crowd(2, takes=0.5, answers=50)

    await crowd.arrive(20)

    assert len(crowd.served) == 8
    assert crowd.refused_after == [0] * 12


async def test_speed_is_that_of_the_last_fifty() -> None:
    """What took long before the last fifty answers turns nobody away."""
    crowd = Crowd(1, takes=0.01, answers=50)
    for _ in range(50):
        crowd.permits.speed.note(10.0)
    assert crowd.permits.speed.seconds == pytest.approx(10.0)
    for _ in range(50):
        crowd.permits.speed.note(0.01)

    await crowd.arrive(100)

    assert len(crowd.served) == 100


async def test_permit_is_not_lost() -> None:
    """A permit given to somebody who has left is not lost."""
    crowd = Crowd(1, takes=1)
    calls = [asyncio.create_task(crowd.call(number)) for number in range(3)]
    await asyncio.sleep(0.5)
    calls[2].cancel()
    await calls[0]
    calls[1].cancel()
    await asyncio.gather(*calls[1:], return_exceptions=True)

    async with asyncio.timeout(1.5):
        await crowd.call(3)
    assert crowd.served == [0, 3]


async def test_permit_of_the_impatient() -> None:
    """Who has given up is passed over when a permit comes back."""
    crowd = Crowd(1, takes=PATIENCE)
    first = asyncio.create_task(crowd.call(0))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(crowd.call(1))
    await asyncio.gather(first, second)

    assert crowd.served == [0, 1]
    await asyncio.gather(crowd.call(2), crowd.call(3))
    assert len(crowd.served) == 3
    assert not crowd.permits.waiting


async def test_turned_away() -> None:
    """Who waits for one kind of call can be refused at once, and the others stay."""
    crowd = Crowd(1, takes=1)
    busy = asyncio.create_task(crowd.call())
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(crowd.call())
    other = asyncio.create_task(crowd.permits.take("context.patch", PATIENCE))
    await asyncio.sleep(0.1)

    crowd.permits.turn_away("context.get")
    await waiting

    assert crowd.refused_after == [pytest.approx(0.1)]
    await busy
    await other


@pytest.mark.parametrize("seed", range(20))
async def test_no_permit_is_lost_or_made(seed: int) -> None:
    """However callers come, wait, leave and are turned away, there are as many permits in the end as at first."""
    rng, size = random.Random(seed), 3
    permits, running = Bulkhead(size, VirtualClock()), 0

    async def call() -> None:
        nonlocal running
        await asyncio.sleep(rng.uniform(0, 5))
        with contextlib.suppress(EmporixNotAsked):
            await permits.take(rng.choice(["context.get", "context.patch"]), rng.choice([0.0, 0.3, 2.0]))
            try:
                running += 1
                assert running <= size
                permits.speed.note(seconds := rng.choice([0.0, 0.1, 0.5]))
                await asyncio.sleep(seconds)
            finally:
                running -= 1
                permits.give()

    calls = [asyncio.create_task(call()) for _ in range(200)]
    for task in rng.sample(calls, 60):
        asyncio.get_running_loop().call_later(rng.uniform(0, 6), task.cancel)
    for moment in range(5):
        asyncio.get_running_loop().call_later(moment + 0.5, permits.turn_away, "context.get")
    done = await asyncio.gather(*calls, return_exceptions=True)

    assert not [each for each in done if isinstance(each, Exception)]
    assert not permits.waiting
    async with asyncio.timeout(1):
        for _ in range(size):
            await permits.take("context.get", 0.0)
    with pytest.raises(EmporixNotAsked):
        await permits.take("context.get", 0.0)
