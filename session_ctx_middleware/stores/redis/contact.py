"""Whether the others could tell this event loop what they do: proven again and again, or nothing known counts."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ...clock import Clock, TimerHandle, wait
from ..protocol import Attachment
from .refusals import Refusals

__all__ = ["CHECK_EVERY", "Contact"]

_log = logging.getLogger("session_ctx_middleware")

CHECK_EVERY: Final = 0.8
TOLD_FOR: Final = 2.0
"""Seconds for which a proof counts."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Contact:
    """Keeps the attachment of one event loop true.

    Silence says nothing: Redis may be frozen, full, or refuse writes, so that the others cannot tell what they do. So
    it takes proofs that they could: a PONG, before which come all notices that were published before its PING, and a
    check that writes and publishes something. Two seconds after the last of either, whatever is known is void.

    Args:
        check: tries what it takes to tell others something; returns the number of the last notice.
        counted: is told that number, and the epoch in which it was asked for; not where the subscription began later.
        refusals: what Redis refuses at the moment.
        clock: where time and randomness come from.
        attachment: what the engine reads.
    """

    check: Callable[[], Awaitable[int]]
    counted: Callable[[int, int], None]
    refusals: Refusals
    clock: Clock
    attachment: Attachment = field(init=False, default_factory=lambda: Attachment(connected=False))
    _listening: bool = field(init=False, default=False)
    _listening_since: float = field(init=False, default=math.inf)
    _due: bool = field(init=False, default=False)
    _heard: float = field(init=False, default=-math.inf)
    _written: float = field(init=False, default=-math.inf)
    _timer: TimerHandle | None = field(init=False, default=None)
    _task: asyncio.Task[None] | None = field(init=False, default=None)
    _awake: asyncio.Future[None] | None = field(init=False, default=None)

    def begin(self) -> None:
        """Check from now on whether Redis can be written to."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._keep_checking(), name="session_ctx_middleware redis checks")

    async def aclose(self) -> None:
        """Check no more, until the next `begin`."""
        self.lost()
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def subscribed(self, asked_at: float) -> None:
        """Note that Redis has confirmed the subscription that was asked for at that moment (monotonic seconds)."""
        self._listening, self._listening_since = True, self.clock.monotonic()
        self.heard(asked_at)
        self._due = True
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    def heard(self, asked_at: float) -> None:
        """Note a PONG to a PING that was sent at that moment (monotonic seconds)."""
        self._heard = asked_at
        self._proven()

    def lost(self) -> None:
        """Note that notices no longer arrive."""
        self._listening = False
        self.attachment.lost()

    async def _keep_checking(self) -> None:
        while True:
            self._due = False
            await self._check()
            if not self._due:
                self._awake = asyncio.get_running_loop().create_future()
                await wait(self._awake, CHECK_EVERY, self.clock)

    async def _check(self) -> None:
        began = self.clock.monotonic()
        try:
            number = await self.check()
        except Exception as error:  # noqa: BLE001 - it says only that nothing is proven
            _log.debug("Redis could not be written to: %s", type(error).__name__)
            return
        self.refusals.nothing_refused()
        self._written = began
        self._proven()
        if self._listening and began >= self._listening_since:
            self.counted(number, self.attachment.epoch)  # one from before proves nothing about the time since

    @property
    def _until(self) -> float:
        return min(self._heard, self._written) + TOLD_FOR

    def _proven(self) -> None:
        known = self._listening and not self.refusals and self.clock.monotonic() < self._until
        if known and not self.attachment.connected:
            self.attachment.restored()
        if known:
            self._watch()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.clock.call_later(max(0.0, self._until - self.clock.monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self.clock.monotonic() < self._until:
            self._watch()
        else:
            self.attachment.lost()
            self.attachment.missed()
