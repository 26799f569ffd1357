"""How many calls are made at once, and who may wait for a turn: a queue that is bounded by time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ..clock import Clock, wait
from ..errors import EmporixNotAsked

__all__ = ["Bulkhead", "Speed"]

SAMPLE: Final = 50


class Speed:
    """How long answers take: the mean of the last fifty."""

    __slots__ = ("_last", "_sum")

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=SAMPLE)
        self._sum = 0.0

    def note(self, seconds: float) -> None:
        """Count one more answer."""
        if len(self._last) == SAMPLE:
            self._sum -= self._last[0]
        self._last.append(seconds)
        self._sum += seconds

    @property
    def seconds(self) -> float:
        """The mean; 0 until there are fifty, so that nobody is turned away on a guess."""
        return self._sum / SAMPLE if len(self._last) == SAMPLE else 0.0


class Bulkhead:
    """A semaphore whose queue holds whoever will get an answer in time (Nygard 2007); first come, first served.

    It is smaller than the HTTP client's connection pool, so that no call ever queues inside the pool.

    Args:
        size: calls at once.
        clock: where timers come from.

    Attributes:
        speed: how long answers take; whoever gets one notes it.
    """

    def __init__(self, size: int, clock: Clock) -> None:
        self._size = self._free = size
        self._clock = clock
        self._queue: dict[asyncio.Future[bool | None], str] = {}
        self.speed: Final = Speed()

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._queue)

    async def take(self, operation: str, patience: float) -> None:
        """Take one permit, in turn.

        Args:
            operation: the name of the call.
            patience: seconds within which an answer is of use.

        Raises:
            EmporixNotAsked: by the speed of the last answers this one would come too late, or no turn came in time.
        """
        if self.takes():
            return
        refusal = self.refusal(operation, patience)
        if refusal is not None:
            raise refusal
        turn: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = operation
        try:
            has_turn = await wait(turn, patience, self._clock)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.give()
            raise
        finally:
            self._queue.pop(turn, None)
        if not has_turn:
            raise EmporixNotAsked(operation, None, "no turn came in time")

    def takes(self) -> bool:
        """Take one permit if one is free; tell whether it was."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def refusal(self, operation: str, patience: float) -> EmporixNotAsked | None:
        """Return what `take` would raise at once."""
        if self._free or self._seconds_for_one_more() <= patience:
            return None
        return EmporixNotAsked(operation, None, "too many calls are waiting")

    def give(self) -> None:
        """Give a permit back: to whoever waits longest, if anybody does."""
        while self._queue:
            turn = next(iter(self._queue))
            del self._queue[turn]
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1

    def turn_away(self, operation: str) -> None:
        """Refuse all that wait to make this call."""
        for turn, waits_for in self._queue.items():
            if waits_for == operation and not turn.done():
                turn.set_result(False)

    def _seconds_for_one_more(self) -> float:
        ahead = (len(self._queue) + 1) / self._size
        return (ahead + 1) * self.speed.seconds
