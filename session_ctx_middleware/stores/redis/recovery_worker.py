"""Writing to Redis later what could not be written at once (auto-recovery, or hinted handoff as Dynamo calls it)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ...clock import Clock, wait
from ..protocol import Notice
from .commands import raise_floor, unpark
from .keys import Keys
from .recovery import RecoveryItem, RecoveryQueue
from .scripts import DROP_PARKED, FORGET, Command

__all__ = ["RecoveryWorker", "Sender"]

ITEMS_AT_ONCE: Final = 20
PAUSE: Final = 1.0


class Sender(Protocol):
    """Sends commands to Redis."""

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Return the answers to commands, and to those that are sent after them."""
        ...

    def announcement(self, notice: Notice) -> Command:
        """Return the command that publishes a notice."""
        ...


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class RecoveryWorker:
    """Works through the queue of a store in a task of one event loop, whenever there is something in it.

    Args:
        queue: what is to be written; every event loop of the process adds to it and works on it.
        sender: sends it.
        keys: where things are in Redis.
        clock: where time and randomness come from.
    """

    queue: RecoveryQueue
    sender: Sender
    keys: Keys
    clock: Clock
    _task: asyncio.Task[None] | None = field(init=False, default=None)
    _awake: asyncio.Future[None] | None = field(init=False, default=None)

    def start(self) -> None:
        """Begin, unless there is nothing to do or the work goes on already."""
        if len(self.queue) and not self._is_running():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._work(), name="session_ctx_middleware redis recovery")

    def start_now(self) -> None:
        """Begin, or go on without the rest of a pause: Redis has just answered."""
        if self._is_running():
            self._wake()
        else:
            self.start()

    async def aclose(self) -> None:
        """Stop until the next start; the queue keeps what was not written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _wake(self) -> None:
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    async def _pause(self, seconds: float) -> None:
        self._awake = asyncio.get_running_loop().create_future()
        await wait(self._awake, seconds, self.clock)

    async def _work(self) -> None:
        while due := self.queue.oldest(ITEMS_AT_ONCE):
            try:
                for name, item in due:
                    await self._write(name, item)
                    self.queue.done(name, item)
            except Exception:  # noqa: BLE001 - it was reported where it failed first
                await self._pause(PAUSE * (0.5 + self.clock.random()))

    async def _write(self, name: str, item: RecoveryItem) -> None:
        document, parked = self.keys.document(name), self.keys.parked(name)
        commands: list[Command] = []
        notices: list[Notice] = []
        if item.forgotten_at is not None:
            commands += [("HDEL", document, *FORGET), DROP_PARKED(parked, item.forgotten_at)]
            # Not as a logout, which would also remove what was parked after it.
            notices += [Notice("written", (name,), floor=0), Notice("parked", (name,))]
        if item.floor >= 0:
            lifetime = max(0.001, item.until - self.clock.monotonic())
            commands.append(raise_floor(document, item.identity, item.floor, lifetime))
            notices.append(Notice("written", (name,), item.identity, item.floor))
        if item.unparked:
            commands.append(unpark(parked, item.unparked))
            notices.append(Notice("parked", (name,)))
        await self.sender.run(commands, [self.sender.announcement(notice) for notice in notices])
