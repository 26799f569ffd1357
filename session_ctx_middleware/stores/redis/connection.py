"""What a `RedisStore` has per event loop: connections, a guard in front of them, and a subscription."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError

from ...clock import Clock, wait
from ..protocol import ContextStoreUnavailable
from .backplane import Backplane
from .guard import Guard
from .link import Link
from .scripts import ANNOUNCE, Command, in_full, loading

__all__ = ["Borrowed", "Here", "Keys"]

_log = logging.getLogger("session_ctx_middleware")

FIRST_NUMBER: Final = 2**48


class Keys:
    """Where things are in Redis.

    Args:
        namespace: what all keys begin with.
    """

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{namespace}:v1:"
        self.sequence = f"{self._prefix}seq"
        self.channel = f"{self._prefix}notices"

    def document(self, name: str) -> str:
        """Return the key of a document and its floor."""
        return f"{self._prefix}{name}"

    def parked(self, name: str) -> str:
        """Return the key of parked changes."""
        return f"{self._prefix}parked:{name}"


class Borrowed:
    """A client that was passed in: its connections belong to the event loop that used it first.

    Args:
        link: to that client.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop: asyncio.AbstractEventLoop | None = None
        self._complained = False

    def open(self) -> Link:
        """Return the link, or raise `ContextStoreUnavailable` in another event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            if not self._complained:
                self._complained = True
                _log.error("the Redis client belongs to another event loop or process: give RedisStore a URL instead")
            raise ContextStoreUnavailable("the Redis client belongs to another event loop")
        return self._link


class Here:
    """Everything of one event loop.

    Args:
        open_link: opens connections.
        keys: where things are.
        budget: seconds that a call may take.
        room: calls at once.
        clock: where time comes from.
        on_up: is called when Redis can be heard again.
        clustered: whether there are several servers, of which one may be gone.
    """

    def __init__(
        self,
        open_link: Callable[[], Link],
        keys: Keys,
        budget: float,
        room: int,
        clock: Clock,
        on_up: Callable[[], None],
        *,
        clustered: bool,
    ) -> None:
        self._open_link = open_link
        self._keys = keys
        self._link: Link | None = None
        self._primed: Link | None = None
        self._clock = clock
        self._nudge: asyncio.Future[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.source = secrets.token_hex(8)
        self.guard = Guard(budget, room, clock, self._replace_link, self._probe, clustered=clustered)
        self.backplane = Backplane(self.link, keys.channel, self._count, on_up, clock, self.source)
        self.repairing: asyncio.Task[None] | None = None

    def link(self) -> Link:
        """Return the connections, new ones for the first call and after they were closed."""
        if self._link is None:
            self._link = self._open_link()
        return self._link

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Return the answers to commands.

        Raises:
            ContextStoreUnavailable: there is no good answer to all of them in time.
        """
        self.backplane.ensure()
        return await self.guard.call(lambda: self._send(commands, then))

    async def _probe(self) -> list[Any]:
        return await self._send([("GET", self._keys.sequence)], ())

    def read_count(self, answer: Any) -> int:
        """Return the number of the last notice, from the answer to reading its key."""
        try:
            return int(answer or 0)
        except ValueError:
            return 0

    def announcement(self, message: str) -> Command:
        """Return the command that publishes a notice."""
        return ANNOUNCE(self._keys.sequence, self._keys.channel, secrets.randbelow(FIRST_NUMBER), message)

    async def pause(self, seconds: float) -> None:
        """Return after a time, or with the next `nudge`."""
        self._nudge = asyncio.get_running_loop().create_future()
        await wait(self._nudge, seconds, self._clock)

    def nudge(self) -> None:
        """End a `pause`."""
        if self._nudge is not None and not self._nudge.done():
            self._nudge.set_result(None)

    async def aclose(self) -> None:
        """Close everything; what is on its way gets a moment."""
        await self.backplane.aclose()
        if self.repairing is not None:
            self.repairing.cancel()
            await asyncio.wait({self.repairing})
        await self.guard.drain()
        link, self._link = self._link, None
        if link is not None:
            await _closed(link)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _send(self, commands: Sequence[Command], then: Sequence[Command]) -> list[Any]:
        link = self.link()
        if link is not self._primed and not link.clustered:
            # Otherwise the first change could be told, by a script that is known, before one that is not has made it.
            await link.run(loading())
            self._primed = link
        answers = await link.run(commands, then)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # Every script may run twice with the same result.
            answers = await link.run([in_full(each) for each in commands], [in_full(each) for each in then])
        return answers

    async def _count(self) -> int:
        (answer,) = await self.run([("GET", self._keys.sequence)])
        return self.read_count(answer)

    def _replace_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            task = asyncio.get_running_loop().create_task(_closed(link), name="session_ctx_middleware redis closing")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _closed(link: Link) -> None:
    try:
        await link.aclose()
    except Exception as error:  # noqa: BLE001 - it was to go anyway
        _log.debug("closing a connection to Redis failed: %s", type(error).__name__)
