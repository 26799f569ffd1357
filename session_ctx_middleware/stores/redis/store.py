"""Documents and parked changes in Redis or Valkey, for shops that run on several processes or hosts (extra ``redis``).

    SessionContextMiddleware(app, tenant="acme", secret_key=SECRET, store=RedisStore("redis://redis:6379/0"))

Redis makes pages faster and changes visible at once; when it is slow or gone, pages go on as they would without it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from ...checks import matching, number, whole
from ...clock import Clock, SystemClock
from ...model.changes import NO_CHANGES, ContextChanges
from ...model.document import ContextDocument
from ..memory import PARKED_TTL
from ..protocol import Attachment, Listener, Notice, Stored
from .codec import Codec, EncryptionKey, notice_text, text_of
from .recovery import Repair, Repairs
from .scripts import DROP_PARKED, FLOOR, FORGET, GET, LOOK, PARK, PUT, UNPARK, Command, Looked

try:
    from .connection import Borrowed, Here, Keys
    from .fork import after_fork
    from .link import Client, link_to, opener
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
REPAIRS_AT_ONCE: Final = 20
REPAIR_PAUSE: Final = 1.0


class RedisStore:
    """Shares documents and parked changes between processes, and tells each what the others changed.

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
        self._budget = number(budget, "budget", above=0, at_most=10, unit="seconds")
        self._room = whole(max_connections, "max_connections")
        self._clock = clock or SystemClock()
        self._codec = Codec(encryption_key, self._clock)
        self._keys = Keys(namespace)
        self._repairs = Repairs(self._clock)
        if isinstance(redis, str):
            # One connection more than calls at once: the subscription has its own.
            self._open_link = opener(redis, self._budget, self._room + 1)
            self._clustered = "+cluster://" in redis
        else:
            link = link_to(redis)
            self._open_link, self._clustered = Borrowed(link).open, link.clustered
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Here] = WeakKeyDictionary()
        self._lock = threading.Lock()
        after_fork(self)

    def __repr__(self) -> str:
        return f"<RedisStore {self._namespace}>"

    def attach(self, listener: Listener) -> Attachment:
        """Begin to tell the running event loop what others change."""
        return self._here().backplane.attach(listener)

    async def load(self, name: str) -> Stored | None:
        """Return what is kept under the name of a token; nothing where Redis has not been told of a change yet."""
        here = self._here()
        if self._repairs.hides_document(name):
            self._repair(here)
            return None
        key, epoch = self._keys.document(name), here.backplane.attachment.epoch
        unparked: tuple[str, ...] = ()
        if self._clustered:
            # The counter and what is parked may live on other nodes than the document.
            (found,) = await here.run([GET.on(key)])
        else:
            (answer,) = await here.run([self._look_at(name)])
            looked = Looked.read(answer)
            found = looked.found
            here.backplane.counted(looked.number, epoch)
            if not here.backplane.is_past(looked.number):
                unparked = _unparked(name, looked)
        self._repair(here, now=True)
        return None if self._repairs.hides_document(name) else self._stored(key, found, unparked)

    async def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str = ""
    ) -> None:
        """Keep a document unless what is kept shows that it is out of date."""
        here = self._here()
        if self._repairs.hides_document(name):
            self._repair(here)
            return
        key = self._keys.document(name)
        payload = self._codec.document_text(key, document)
        await here.run([PUT(key, identity, document.version, payload, _ms(age), _ms(lifetime), session)])

    async def invalidate(self, names: Sequence[str], identity: str, floor: int, *, lifetime: float) -> None:
        """Let nobody believe less than `floor` any more; if Redis cannot be told now, it is told later."""
        floors = [FLOOR(self._keys.document(name), identity, floor, _ms(lifetime)) for name in names]
        await self._change(
            Notice("written", tuple(names), identity, floor),
            floors,
            lambda: self._repairs.floor(names, identity, floor, lifetime),
        )

    async def forget(self, names: Sequence[str]) -> None:
        """Forget documents and parked changes; if Redis cannot be told now, it is told later."""
        gone: list[Command] = []
        for name in names:
            gone += [("HDEL", self._keys.document(name), *FORGET), ("DEL", self._keys.parked(name))]
        await self._change(Notice("forgotten", tuple(names)), gone, lambda: self._repairs.forget(names))

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what was parked under any of `names` in the last 24 hours, the latest change of each field."""
        here = self._here()
        found = NO_CHANGES
        keys = [self._keys.parked(name) for name in names]
        for name, key, fields in zip(names, keys, await here.run([("HGETALL", key) for key in keys]), strict=True):
            found = self._repairs.left(name, self._codec.changes(key, fields)).newest(found)
        return found.since(self._clock.time() - PARKED_TTL)

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        if changes:
            key = self._keys.parked(name)
            fields = [part for field in self._codec.fields(key, changes) for part in field]
            await self._change(Notice("parked", (name,)), [PARK(key, _ms(PARKED_TTL), *fields)])

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields; if Redis cannot be told now, it is told later."""
        if not changes:
            return
        here = self._here()
        try:
            gone = await here.run([_unpark(self._keys.parked(name), changes) for name in names])
        except BaseException:
            self._repairs.unpark(names, changes)
            self._repair(here)
            raise
        self._repair(here, now=True)
        if any(gone):
            await self._change(Notice("parked", tuple(names)), [])

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a client that was passed in stays open."""
        here = self._loops.get(asyncio.get_running_loop())
        if here is not None:
            await here.aclose()

    def disown(self) -> object:
        """Begin anew in a forked process, and return what belongs to the parent; called by itself."""
        loops, self._loops = self._loops, WeakKeyDictionary()
        # Another thread of the parent may have held them.
        self._lock = threading.Lock()
        self._repairs.renew()
        for here in loops.values():
            here.backplane.attachment.connected = False
            here.backplane.attachment.epoch += 1
        return list(loops.items())

    async def _change(
        self, notice: Notice, commands: Sequence[Command], remember: Callable[[], None] | None = None
    ) -> None:
        """Write and tell the others; what cannot be written is remembered, if that can be done."""
        here = self._here()
        announcement = here.announcement(notice_text(notice, here.source))
        try:
            await here.run(commands, [announcement])
        except BaseException:
            # A request that goes away does not know either whether it was written.
            if remember is not None:
                remember()
                self._repair(here)
            raise
        self._repair(here, now=True)

    def _look_at(self, name: str) -> Command:
        keys = self._keys
        return LOOK.on(keys.document(name), keys.sequence, keys.parked(name), with_=(keys.parked(""),))

    def _stored(self, key: str, found: Sequence[Any], unparked: tuple[str, ...]) -> Stored | None:
        identity, floor, total, version, payload, age, lifetime, left = found[:8]
        if identity is None or total is None or left < 0:
            return None
        lowest = -1 if floor is None else int(floor)
        since = max(0, int(total) - left)
        if payload is not None and version is not None and since < int(lifetime):
            document = self._codec.document(key, payload)
            if document is not None and document.version == int(version) >= lowest:
                return Stored(document, (int(age) + since) / 1000, text_of(identity), lowest, unparked)
        return Stored(identity=text_of(identity), floor=lowest, unparked=unparked) if lowest >= 0 else None

    def _repair(self, here: Here, *, now: bool = False) -> None:
        """See to it that Redis will be told what it could not be told.

        Args:
            here: of the running event loop.
            now: it has just answered.
        """
        if not len(self._repairs):
            return
        if here.repairing is None or here.repairing.done():
            loop = asyncio.get_running_loop()
            here.repairing = loop.create_task(self._catch_up(here), name="session_ctx_middleware redis repair")
        elif now:
            here.nudge()

    async def _catch_up(self, here: Here) -> None:
        while due := self._repairs.some(REPAIRS_AT_ONCE):
            try:
                for name, repair in due:
                    await self._mend(here, name, repair)
                    self._repairs.done(name, repair)
            except Exception:  # noqa: BLE001 - it was reported where it failed first
                await here.pause(REPAIR_PAUSE * (0.5 + self._clock.random()))

    async def _mend(self, here: Here, name: str, repair: Repair) -> None:
        document, parked = self._keys.document(name), self._keys.parked(name)
        commands: list[Command] = []
        notices: list[Notice] = []
        if repair.forgotten_at is not None:
            commands += [("HDEL", document, *FORGET), DROP_PARKED(parked, repair.forgotten_at)]
            # Not as a logout, which would take what has been wanted since.
            notices += [Notice("written", (name,), floor=0), Notice("parked", (name,))]
        if repair.floor >= 0:
            lifetime = max(0.001, repair.until - self._clock.monotonic())
            commands.append(FLOOR(document, repair.identity, repair.floor, _ms(lifetime)))
            notices.append(Notice("written", (name,), repair.identity, repair.floor))
        if repair.unparked:
            commands.append(_unpark(parked, repair.unparked))
            notices.append(Notice("parked", (name,)))
        await here.run(commands, [here.announcement(notice_text(notice, here.source)) for notice in notices])

    def _here(self) -> Here:
        """Return what belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            with self._lock:
                # Open connections keep their loop alive, so a closed loop does not go by itself.
                for closed in [each for each in self._loops if each.is_closed()]:
                    del self._loops[closed]
                here = self._loops[loop] = self._new_here()
        return here

    def _new_here(self) -> Here:
        options = (self._open_link, self._keys, self._budget, self._room, self._clock, self._on_up)
        return Here(*options, clustered=self._clustered)

    def _on_up(self) -> None:
        self._repair(self._here(), now=True)


def _unpark(key: str, changes: ContextChanges) -> Command:
    parts = ((path, change.at, change.op_id) for path, change in changes.operations.items())
    return UNPARK(key, *(part for each in parts for part in each))


def _unparked(name: str, looked: Looked) -> tuple[str, ...]:
    """Return under which of a token's and its session's name nothing is parked."""
    token = () if looked.on_token else (name,)
    return token if looked.on_session else (*token, looked.session)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000)) if seconds > 0 else 0
