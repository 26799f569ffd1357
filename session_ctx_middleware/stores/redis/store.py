"""Documents and parked changes in Redis or Valkey, for shops that run on several processes or hosts (extra ``redis``).

    SessionContextMiddleware(app, tenant="acme", secret_key=SECRET, store=RedisStore("redis://redis:6379/0"))

Redis makes pages faster and changes visible at once; when it is slow or gone, pages go on as they would without it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from ...checks import matching, number, whole
from ...clock import Clock, SystemClock
from ...frames import without_locals
from ...model.changes import NO_CHANGES, ContextChanges
from ...model.document import ContextDocument
from ..protocol import PARKED_TTL, Attachment, Listener, Notice, Parked, Stored
from .codec import Codec, EncryptionKey, number_of, text_of
from .commands import milliseconds, raise_floor, unpark
from .keys import Keys
from .recovery import RecoveryQueue
from .scripts import FORGET, GET, PARK, PUT, READ, Command, ReadAnswer
from .tokens import RedisTokens

try:
    from .connection import LoopConnection, Settings
    from .fork import after_fork
    from .link import Client, InjectedClient, link_to
    from .urls import opener
except ImportError as error:
    if (error.name or "").partition(".")[0] != "redis":
        raise
    raise ImportError(
        "RedisStore needs the package redis, version 8 or newer: pip install 'session-ctx-middleware[redis]'.",
        name="redis",
    ) from None

__all__ = ["RedisStore"]

NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
NAMESPACE_RULE: Final = "namespace must be 1 to 64 letters, digits and _ . : - with a letter or digit first."
MAX_CONNECTIONS: Final = 32
AHEAD: Final = 2.0
"""Seconds that a document may come from the future: more than that is nobody's clock."""


class RedisStore:
    """Shares documents and parked changes between processes, and notifies each of what the others change.

    Args:
        redis: a URL, or a client that the app has made and closes itself. URLs: ``redis://user:password@host:6379/0``,
            ``rediss://...`` (TLS), ``unix:///path``, ``redis+sentinel://host:26379,host:26379/service/0`` and
            ``redis+cluster://host:6379``; the last two with ``rediss`` as well. A ``redis.asyncio.Redis`` or
            ``RedisCluster`` needs timeouts and must not retry; it serves the event loop that uses it first.
        namespace: what all keys begin with; shops that must not see each other's data use different ones.
        budget: seconds that a call may take in all. Connecting may take longer; the next call finds it done.
        encryption_key: 32 bytes, or their base64 text: documents and values of changes are encrypted (extra
            ``encryption``). Of several keys the first one encrypts and all of them decrypt.
        max_connections: connections at once, per event loop.
        clock: where time comes from.

    Raises:
        ConfigurationError: with values that cannot work.
    """

    shared = True

    @without_locals
    def __init__(
        self,
        redis: str | Client,
        *,
        namespace: str = "session-ctx",
        budget: float = 0.05,
        encryption_key: EncryptionKey | None = None,
        max_connections: int = MAX_CONNECTIONS,
        clock: Clock | None = None,
    ) -> None:
        self._namespace = matching(namespace, NAMESPACE, NAMESPACE_RULE)
        self._clock = clock or SystemClock()
        self._codec = Codec(encryption_key, self._clock)
        self._settings = _settings(
            redis,
            namespace,
            number(budget, "budget", above=0, at_most=10, unit="seconds"),
            whole(max_connections, "max_connections"),
            codec=self._codec,
            clock=self._clock,
        )
        self._keys = self._settings.keys
        self._recovery = RecoveryQueue(self._clock)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopConnection] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._tokens = RedisTokens(self._keys, self._run, self.aclose)
        after_fork(self)

    def __repr__(self) -> str:
        return f"<RedisStore {self._namespace}>"

    @property
    def losses(self) -> Mapping[str, int]:
        """How often something was given up, by the reason: what Redis was to be told, or could not be decrypted."""
        return {"no room": self._recovery.lost, "unreadable": self._codec.unreadable}

    @property
    def tokens(self) -> RedisTokens:
        """Keeps sealed sessions for all processes that use this Redis (`sessions.TokenStore`)."""
        return self._tokens

    def attach(self, listener: Listener) -> Attachment:
        """Begin to notify the running event loop of what others change."""
        return self._connection().backplane.attach(listener)

    async def load(self, name: str) -> Stored | None:
        """Return what is kept under the name of a token; nothing while a change of it could not be written."""
        connection = self._connection()
        if self._recovery.hides_document(name):
            connection.recovery.start()
            return None
        key, epoch = self._keys.document(name), connection.backplane.attachment.epoch
        unparked: tuple[str, ...] = ()
        if self._settings.clustered:
            # The counter and what is parked may live on other nodes than the document.
            (found,) = await connection.run([GET.on(key)])
        else:
            (answer,) = await connection.run([self._read_command(name)])
            try:
                read = ReadAnswer.parse(answer)
            except ValueError:
                return None  # somebody else has written there
            found = read.found
            connection.backplane.counted(read.number, epoch)
            if not connection.backplane.is_past(read.number):
                unparked = _unparked(name, read)
        connection.recovery.start_now()
        return None if self._recovery.hides_document(name) else self._stored(key, found, unparked)

    async def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str = ""
    ) -> None:
        """Keep a document unless what is kept shows that it is out of date."""
        connection = self._connection()
        if self._recovery.hides_document(name):
            connection.recovery.start()
            return
        key = self._keys.document(name)
        payload = self._codec.document_text(key, document)
        await connection.run(
            [PUT(key, identity, document.version, payload, milliseconds(age), milliseconds(lifetime), session)]
        )

    async def invalidate(
        self,
        names: Sequence[str],
        identity: str,
        floor: int,
        *,
        lifetime: float,
        taken: ContextChanges = NO_CHANGES,
    ) -> None:
        """Raise the floor of documents; if that cannot be written now, it is written later."""
        floors = [raise_floor(self._keys.document(name), identity, floor, lifetime) for name in names]
        await self._change(
            Notice("written", tuple(names), identity, floor, lambda: taken),
            floors,
            lambda: self._recovery.floor(names, identity, floor, lifetime),
        )

    async def forget(self, names: Sequence[str]) -> None:
        """Forget documents and parked changes; if that cannot be written now, it is written later."""
        gone: list[Command] = []
        for name in names:
            gone += [("HDEL", self._keys.document(name), *FORGET), ("DEL", self._keys.parked(name))]
        await self._change(Notice("forgotten", tuple(names)), gone, lambda: self._recovery.forget(names))

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what was parked under any of `names` in the last 24 hours, the latest change of each field."""
        found = NO_CHANGES
        for each in await self._fields(names):
            found = each.changes.newest(found)
        return found

    async def link(self, names: Sequence[str], session: str) -> None:
        """Note to which session tokens belong, beside what is parked for them."""
        commands: list[Command] = []
        for name in names:
            key = self._keys.parked(name)
            commands.append(("HSET", key, *self._codec.link(key, session)))
            commands.append(("PEXPIRE", key, milliseconds(PARKED_TTL)))
        await self._change(Notice("parked", tuple(names)), commands)

    async def look(self, name: str) -> Parked:
        """Return what is parked under the name of a token and under that of its session, where that is known."""
        (found,) = await self._fields([name])
        if not found.session:
            return found
        return replace(found, changes=found.changes.newest(await self.parked([found.session])))

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        if changes:
            key = self._keys.parked(name)
            fields = [part for field in self._codec.fields(key, changes) for part in field]
            await self._change(Notice("parked", (name,)), [PARK(key, milliseconds(PARKED_TTL), *fields)])

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these and earlier changes of their fields; if that cannot be written now, it is written later."""
        if not changes:
            return
        connection = self._connection()
        try:
            gone = await connection.run([unpark(self._keys.parked(name), changes) for name in names])
        except BaseException:
            self._recovery.unpark(names, changes)
            connection.recovery.start()
            raise
        connection.recovery.start_now()
        if any(gone):
            await self._change(Notice("parked", tuple(names)), [])

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a client that was passed in stays open."""
        connection = self._loops.get(asyncio.get_running_loop())
        if connection is not None:
            await connection.aclose()

    def reset_after_fork(self) -> object:
        """Begin anew in a forked process, and return what belongs to the parent; called by itself."""
        loops, self._loops = self._loops, WeakKeyDictionary()
        # Another thread of the parent may have held them.
        self._lock = threading.Lock()
        self._recovery.reset_after_fork()
        for connection in loops.values():
            connection.backplane.abandon()
        return list(loops.items())

    async def _change(
        self, notice: Notice, commands: Sequence[Command], remember: Callable[[], None] | None = None
    ) -> None:
        """Write, then notify the others; `remember` queues what could not be written, where that makes sense."""
        connection = self._connection()
        announcement = connection.announcement(notice)
        try:
            await connection.run(commands, [announcement])
        except BaseException:
            # A request that is cancelled does not know either whether it was written.
            if remember is not None:
                remember()
                connection.recovery.start()
            raise
        connection.recovery.start_now()

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        return await self._connection().run(commands)

    async def _fields(self, names: Sequence[str]) -> list[Parked]:
        """Return what is kept beside each other under each of `names`."""
        keys = [self._keys.parked(name) for name in names]
        answers = await self._connection().run([("HGETALL", key) for key in keys])
        oldest, kept = self._clock.time() - PARKED_TTL, zip(names, keys, answers, strict=True)
        return [
            Parked(
                self._recovery.still_parked(name, self._codec.changes(key, fields)).since(oldest),
                self._codec.linked(key, fields),
            )
            for name, key, fields in kept
        ]

    def _read_command(self, name: str) -> Command:
        keys = self._keys
        return READ.on(keys.document(name), keys.sequence, keys.parked(name), with_=(keys.parked(""),))

    def _stored(self, key: str, found: Sequence[Any], unparked: tuple[str, ...]) -> Stored | None:
        try:
            return self._read(key, found, unparked)
        except ValueError:
            return None  # somebody else has written there

    def _read(self, key: str, found: Sequence[Any], unparked: tuple[str, ...]) -> Stored | None:
        identity, floor, total, version, payload, age, lifetime, left = found[:8]
        if identity is None or total is None or left < 0:
            return None
        lowest = -1 if floor is None else number_of(floor)
        elapsed = max(0, number_of(total) - left)
        if payload is not None and version is not None and elapsed < number_of(lifetime):
            document, asked = self._codec.document(key, payload), number_of(age) / 1000
            if document is not None and document.version == number_of(version) >= lowest and asked >= -AHEAD:
                return Stored(document, max(0.0, asked) + elapsed / 1000, text_of(identity), lowest, unparked)
        return Stored(identity=text_of(identity), floor=lowest, unparked=unparked) if lowest >= 0 else None

    def _connection(self) -> LoopConnection:
        """Return what belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        connection = self._loops.get(loop)
        if connection is None:
            with self._lock:
                # Open connections keep their loop alive, so a closed loop does not go by itself.
                for closed in [each for each in self._loops if each.is_closed()]:
                    del self._loops[closed]
                connection = self._loops[loop] = LoopConnection(self._settings, self._recovery)
        return connection


def _settings(
    redis: str | Client, namespace: str, budget: float, max_calls: int, *, codec: Codec, clock: Clock
) -> Settings:
    if isinstance(redis, str):
        # One connection more than calls at once: the subscription has its own.
        open_link, clustered = opener(redis, budget, max_calls + 1), "+cluster://" in redis
    else:
        link = link_to(redis)
        open_link, clustered = InjectedClient(link).open, link.clustered
    return Settings(
        open_link=open_link,
        clustered=clustered,
        keys=Keys(namespace),
        codec=codec,
        budget=budget,
        max_calls=max_calls,
        clock=clock,
    )


def _unparked(name: str, read: ReadAnswer) -> tuple[str, ...]:
    """Return under which of a token's and its session's name nothing is parked."""
    token = () if read.on_token else (name,)
    return token if read.on_session else (*token, read.session)
