"""Receiving notices of other processes by Redis Pub/Sub, and detecting that some were lost."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ...clock import Clock
from ..protocol import Attachment, Listener
from .codec import text_of
from .contact import Contact
from .link import Link
from .messages import Message
from .refusals import Refusals, refusal_of

__all__ = ["Backplane"]

_log = logging.getLogger("session_ctx_middleware")

PING_EVERY: Final = 0.8
PONG_WITHIN: Final = 2.0
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
GRACE: Final = 0.25
LATE: Final = 1000
CANCEL_AGAIN: Final = 1.0


class _NoAnswer(Exception):
    """Redis did not answer a PING, or the SUBSCRIBE, in time."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Backplane:
    """The subscription of one event loop: renewed when it breaks, and checked for lost messages.

    Redis Pub/Sub delivers a message at most once, so every notice has a number. A number that is missing, a renewed
    subscription, and a counter that began anew all raise the epoch of the attachment: notices may have been missed.

    Args:
        link: returns the connections as they are now.
        channel: where notices are published.
        check: tries what it takes to tell others something; returns the number of the last notice. See `Contact`.
        on_up: called whenever the subscription has been confirmed.
        clock: where time and randomness come from.
        read: returns what a message says; `None` where it says nothing.
        source: the name of this event loop in its own notices, which it ignores.
        refusals: what Redis refuses at the moment.
    """

    link: Callable[[], Link]
    channel: str
    check: Callable[[], Awaitable[int]]
    on_up: Callable[[], None]
    clock: Clock
    read: Callable[[str], Message | None]
    source: str
    refusals: Refusals
    _contact: Contact = field(init=False)
    _listeners: list[Listener] = field(init=False, default_factory=list)
    _task: asyncio.Task[None] | None = field(init=False, default=None)
    _seen: int | None = field(init=False, default=None)
    _pong_until: float = field(init=False, default=math.inf)
    _asked: deque[float] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        self._contact = Contact(check=self.check, counted=self.counted, refusals=self.refusals, clock=self.clock)

    @property
    def attachment(self) -> Attachment:
        """What the engine reads."""
        return self._contact.attachment

    def attach(self, listener: Listener) -> Attachment:
        """Pass notices of others on to a listener."""
        self._listeners.append(listener)
        self.ensure()
        return self.attachment

    def ensure(self) -> None:
        """Subscribe, unless there is no listener or the subscription is kept up already."""
        if self._listeners and self._task is None:
            self._task = self._begin(None)
            self._contact.begin()

    async def aclose(self) -> None:
        """Unsubscribe until the next `ensure`."""
        task, self._task = self._task, None
        if task is not None:
            await _ended(task)
        await self._contact.aclose()

    def abandon(self) -> None:
        """Mark the attachment as out of touch: in a forked process, the connection is the parent's."""
        self.attachment.lost()
        self.attachment.missed()

    def counted(self, number: int, epoch: int) -> None:
        """Compare the number of the last notice with the last one that arrived.

        Args:
            number: the number of the last notice; 0 where Redis has no counter.
            epoch: the epoch when it was read: a number from before a renewal proves nothing about the time since.
        """
        if not self.attachment.connected or epoch != self.attachment.epoch:
            return
        if self._seen is None:
            self._seen = number
        elif number == 0 and self._seen != 0:
            _log.info("Redis has lost its counter of notices: what is known is checked again")
            self._seen = 0
            self.attachment.missed()
        elif not self._has_seen(number):
            # Most likely the notice is on its way, on the other connection.
            self.clock.call_later(GRACE, lambda: self._look_again(number, epoch))

    def is_past(self, number: int) -> bool:
        """Tell whether a notice has been passed on that is later than what was read together with this number."""
        return self._seen is not None and self._seen > number

    def _look_again(self, number: int, epoch: int) -> None:
        if self._task is None or epoch != self.attachment.epoch or self._has_seen(number):
            return
        _log.warning("notices from Redis were lost: listening anew")
        self._contact.lost()
        self._task = self._begin(self._task)

    def _has_seen(self, number: int) -> bool:
        return self._seen is not None and self._seen - LATE < number <= self._seen

    def _begin(self, before: asyncio.Task[None] | None) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        return loop.create_task(self._keep_listening(before), name="session_ctx_middleware redis notices")

    async def _keep_listening(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await _ended(before)
        pause = FIRST_PAUSE
        while True:
            epoch = self.attachment.epoch
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it was, listening goes on
                _log.debug("the subscription in Redis ended: %s", type(error).__name__)
                refusal = refusal_of(error)
                if refusal is not None:
                    self.refusals.note(refusal)
            if epoch != self.attachment.epoch:
                pause = FIRST_PAUSE
            self._contact.lost()
            await self.clock.sleep(pause * (0.5 + self.clock.random()))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _listen(self) -> None:
        async with self.link().listening() as connection:
            self._asked = deque([self.clock.monotonic()])
            await connection.send_command("SUBSCRIBE", self.channel, check_health=False)
            self._expect(PONG_WITHIN)
            ping_at = self.clock.monotonic() + PING_EVERY
            while True:
                left = max(min(ping_at, self._pong_until) - self.clock.monotonic(), 0.001)
                answer = await connection.read_response(timeout=left, push_request=True)
                if answer is not None:
                    self._receive(answer)
                now = self.clock.monotonic()
                if now >= self._pong_until:
                    raise _NoAnswer
                if now >= ping_at:
                    ping_at = now + PING_EVERY
                    if not self._asked:
                        self._expect(PONG_WITHIN)
                    self._asked.append(now)
                    await connection.send_command("PING", check_health=False)

    def _expect(self, seconds: float) -> None:
        """Give the connection up unless something arrives in that many seconds."""
        self._pong_until = self.clock.monotonic() + seconds

    def _receive(self, answer: object) -> None:
        # Whatever arrives shows that the connection lives.
        self._expect(math.inf)
        if not isinstance(answer, list | tuple) or len(answer) < 3:
            self._contact.heard(self._answered())
            return
        kind = text_of(answer[0])
        if kind == "subscribe":
            self._seen = None
            self._contact.subscribed(self._answered())
            self.on_up()
        elif kind == "message":
            self._message(text_of(answer[2]))

    def _answered(self) -> float:
        """Return when what is answered now was sent: answers come in order."""
        return self._asked.popleft() if self._asked else -math.inf

    def _message(self, raw: str) -> None:
        message = self.read(raw)
        if message is None:
            _log.warning("a message that is no notice was published in the channel of the store")
            return
        number, source, notice = message
        if not self._has_seen(number):
            if self._seen is not None and number != self._seen + 1:
                self.attachment.missed()
            self._seen = number
        if source == self.source:
            return
        for listener in self._listeners:
            try:
                listener(notice)
            except Exception as error:  # noqa: BLE001 - the other listeners are still to be told
                _log.error("a listener failed on a notice: %s", type(error).__name__)


async def _ended(task: asyncio.Task[None]) -> None:
    while not task.done():
        # Once may not do: a cancellation that meets a time limit of redis-py can be taken for that.
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN)
