"""What a `RedisStore` has for each event loop: connections, their guard, the subscription, and recovery."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import NoScriptError

from ...clock import Clock
from ...tasks import Tasks
from ..protocol import Notice
from .backplane import Backplane
from .codec import Codec
from .guard import Guard
from .keys import Keys
from .link import Link
from .messages import notice_from, notice_text
from .recovery import RecoveryQueue
from .recovery_worker import RecoveryWorker
from .refusals import is_channel_refused
from .scripts import ANNOUNCE, Command, in_full, loading

__all__ = ["LoopConnection", "Settings"]

_log = logging.getLogger("session_ctx_middleware")

FIRST_NUMBER: Final = 2**48
PROBE_MILLISECONDS: Final = 60_000
CLOSING_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """What the connections of all event loops have in common.

    Args:
        open_link: opens connections.
        clustered: whether there are several servers, of which one may be gone.
        keys: where things are in Redis.
        codec: encodes what is told.
        budget: seconds that a call may take.
        max_calls: calls at once, per event loop.
        clock: where time comes from.
    """

    open_link: Callable[[], Link]
    clustered: bool
    keys: Keys
    codec: Codec
    budget: float
    max_calls: int
    clock: Clock


class LoopConnection:
    """The way of one event loop to Redis.

    Args:
        settings: of the store.
        queue: what could not be written yet.
    """

    def __init__(self, settings: Settings, queue: RecoveryQueue) -> None:
        self._open_link = settings.open_link
        self._keys = settings.keys
        self._codec = settings.codec
        self._link: Link | None = None
        self._primed: Link | None = None
        self._closing = Tasks(settings.clock)
        self.source = secrets.token_hex(8)
        self.recovery = RecoveryWorker(queue=queue, sender=self, keys=settings.keys, clock=settings.clock)
        self.guard = Guard(
            settings.budget,
            settings.max_calls,
            settings.clock,
            self._replace_link,
            self._probe,
            clustered=settings.clustered,
        )
        self.backplane = Backplane(
            link=self.link,
            channel=settings.keys.channel,
            check=self._check,
            on_up=self.recovery.start_now,
            clock=settings.clock,
            read=lambda raw: notice_from(raw, settings.codec),
            source=self.source,
            refusals=self.guard.refusals,
        )

    def link(self) -> Link:
        """Return the connections, new ones for the first call and after they were closed."""
        if self._link is None:
            self._link = self._open_link()
        return self._link

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Return the answers to commands, and to those that are sent after them.

        Raises:
            ContextStoreUnavailable: there is no good answer to all of them in time.
        """
        self.backplane.ensure()
        return await self.guard.call(lambda: self._send(commands, then))

    def announcement(self, notice: Notice) -> Command:
        """Return the command that publishes a notice."""
        message = notice_text(notice, self.source, self._codec)
        return ANNOUNCE(self._keys.sequence, self._keys.channel, secrets.randbelow(FIRST_NUMBER), message)

    async def aclose(self) -> None:
        """Close everything; calls that have not ended get a second."""
        await self.backplane.aclose()
        await self.recovery.aclose()
        await self.guard.drain()
        link, self._link = self._link, None
        if link is not None:
            await _close(link)
        await self._closing.settle(CLOSING_SECONDS)

    async def _send(self, commands: Sequence[Command], then: Sequence[Command]) -> list[Any]:
        link = self.link()
        if link is not self._primed and not link.clustered:
            # In one pipeline, a script that is known could publish a notice before one that is not known has written
            # the change.
            await link.run(loading())
            self._primed = link
        answers = await link.run(commands, then)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # Every script may run twice with the same result.
            answers = await link.run([in_full(each) for each in commands], [in_full(each) for each in then])
        return answers

    async def _probe(self) -> list[Any]:
        return await self._send([("GET", self._keys.sequence)], ())

    async def _check(self) -> int:
        """Return the number of the last notice, 0 where Redis has no counter.

        Raises:
            ContextStoreUnavailable: nobody can tell others anything: Redis does not answer, or refuses to be written
                to, or to publish.
        """
        probe = self._keys.probe
        commands: list[Command] = [
            ("GET", self._keys.sequence),
            ("SET", probe, 1, "PX", PROBE_MILLISECONDS),
            ("PUBLISH", probe, ""),
        ]

        async def work() -> list[Any]:
            answers = await self.link().run(commands)
            # Whoever may listen to the one channel of the store may publish there, too; this is another one.
            return [None if is_channel_refused(answer) else answer for answer in answers]

        number = (await self.guard.call(work))[0]
        try:
            return int(number or 0)
        except ValueError:
            return 0

    def _replace_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._closing.spawn(_close(link))


async def _close(link: Link) -> None:
    try:
        await link.aclose()
    except Exception as error:  # noqa: BLE001 - it was to go anyway
        _log.debug("closing a connection to Redis failed: %s", type(error).__name__)
