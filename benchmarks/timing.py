"""Alternating rounds: all contenders of a comparison share one run, so that what disturbs the machine cancels out."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BATCH, ALONE = 50, 1
"""Calls that are timed together, and where each waits for another process.

The median of a round counts, so that being interrupted does not, if it happens less often than every other time.
"""


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    Args:
        name: what the table calls it.
        call: what is timed.
        prepare: makes the argument of one call, outside the time.
    """

    name: str
    call: Callable[[Any], Awaitable[object]]
    prepare: Callable[[], Any]


@dataclass(frozen=True)
class Spread:
    """The middle half of some numbers.

    Args:
        median: the number in the middle.
        low: a quarter of them are below.
        high: a quarter of them are above.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)} to {short(self.high)})"


Rounds = Mapping[str, Sequence[float]]
"""Nanoseconds per call: one number for each round, by contender."""


async def alternate(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    calls: int,
    seed: int = 0,
    batch: int = BATCH,
    collect: bool = False,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Rounds:
    """Time contenders in turns, each round in another order.

    Args:
        contenders: who is compared.
        rounds: how often each gets its turn.
        calls: of one turn.
        seed: of the order.
        batch: calls that are timed together; few where each waits for another process.
        collect: leave the garbage collector on, as servers do, and take the mean of a turn.
        clock: what is measured, in nanoseconds: the time that has passed, or that of the processor.
    """
    order = list(contenders)
    shuffled = random.Random(seed)
    found: dict[str, list[float]] = {each.name: [] for each in contenders}
    for each in order:
        await _turn(each, min(calls, 2 * BATCH), batch, statistics.median, clock)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for each in order:
            gc.collect()
            with _garbage_collector(on=collect):
                # Collections are rare and long: the median would not see them.
                middle = statistics.fmean if collect else statistics.median
                found[each.name].append(await _turn(each, calls, batch, middle, clock))
    return found


async def _turn(
    contender: Contender,
    calls: int,
    batch: int,
    middle: Callable[[Sequence[float]], float],
    clock: Callable[[], int],
) -> float:
    batches = []
    size = min(batch, calls)
    for _ in range(max(1, calls // size)):
        arguments = [contender.prepare() for _ in range(size)]
        call = contender.call
        began = clock()
        for argument in arguments:
            await call(argument)
        batches.append((clock() - began) / size)
        await asyncio.sleep(0)  # background tasks get their turn outside the time
    return middle(batches)


@contextmanager
def _garbage_collector(*, on: bool) -> Iterator[None]:
    was = gc.isenabled()
    if not on:
        gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def over(values: Sequence[float], floor: Sequence[float]) -> list[float]:
    """Return what each round adds to its floor."""
    return [value - below for value, below in zip(values, floor, strict=True)]


def ratios(values: Sequence[float], yardstick: Sequence[float]) -> list[float]:
    """Return the ratio of each round, where there is one."""
    return [value / whole for value, whole in zip(values, yardstick, strict=True) if whole > 0]


def ratio(values: Sequence[float], yardstick: Sequence[float]) -> float:
    """Return the median of the ratios of all rounds; infinite where no round has one."""
    return statistics.median(ratios(values, yardstick) or [float("inf")])


def microseconds(values: Sequence[float]) -> list[float]:
    """Return nanoseconds as microseconds."""
    return [value / 1000 for value in values]


def short(value: float) -> str:
    """Return a number with as many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
