"""Emporix as the simulation believes it to be: sessions, their contexts, and who changed what when."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

from .history import ATTRIBUTES, PATHS

__all__ = ["ODDITIES", "Platform", "ServerSession", "Witness"]

WIRE: Final = {"currency": "currency", "language": "language", "site_code": "siteCode"}
PATCHABLE: Final = (*WIRE.values(), "targetLocation")
KEYS: Final = tuple(path.removeprefix("attributes.") for path in ATTRIBUTES)
RECEIPTS: Final = "_session_ctx"
REMEMBERED_STATES: Final = 30

Document = dict[str, Any]


class Witness(Protocol):
    """Whoever is told what becomes of contexts."""

    def began_anew(self, session: ServerSession) -> None:
        """Note that a context is another one now, with nothing of ours taken in it."""
        ...

    def sent_in_vain(self, session: ServerSession, changes: Mapping[str, str | None]) -> None:
        """Note what somebody was told, all at once, that was taken, and it was not."""
        ...

    def swallowed(self, session: ServerSession, path: str, value: str | None, version: int) -> None:
        """Note that somebody was told that a value was taken, with this version, and it was not."""
        ...

    def unanswered(self, session: ServerSession, path: str, value: str | None, *, told: bool) -> None:
        """Note that nobody was told that a value was taken, or only those who are still waiting for it."""
        ...

    def changed(self, session: ServerSession, path: str, value: str | None, *, foreign: bool) -> None:
        """Note that a value is another one from now on."""
        ...


class State:
    """A context as it was at some moment.

    Args:
        version: of it.
        document: nobody changes it afterwards.
        odd: see `ServerSession`.
    """

    def __init__(self, version: int, document: Document, odd: Callable[[Document], Document] | None) -> None:
        self.version = version
        self._document = document
        self._odd = odd

    @cached_property
    def encoded(self) -> bytes:
        """The document as it goes over the wire; most are never asked for."""
        if self._odd is None:
            return json.dumps(self._document).encode()
        return json.dumps(self._odd(self._document)).replace("Infinity", "1e400").encode()


@dataclass(eq=False)
class ServerSession:
    """A session at the server.

    Args:
        name: its id.
        tenant: whose it is.
        version: 0 while there is no context.
        dated: whether its context tells since when it is there.
        visitors: numbers of the persons whose session it was.
        bare: fields whose receipts somebody else has wiped since they were last changed.
        is_ambiguous: whether the worker that patches it has last read an earlier context, or this version before a
            backup was put back: the version is the same.
        odd: what makes of its document, for a while, something that no API description allows.
    """

    name: str
    tenant: str
    version: int = 0
    incarnation: int = 0
    restored: int = 0
    dated: bool = True
    fields: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    odd: Callable[[Document], Document] | None = None
    states: deque[tuple[float, State | None]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_STATES))
    visitors: set[int] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    is_ambiguous: bool = False
    log: dict[str, list[tuple[float, str | None]]] = field(default_factory=lambda: {path: [] for path in PATHS})

    def value(self, path: str) -> str | None:
        """Return what the context has, `None` where it has nothing."""
        held = self.fields.get(WIRE[path]) if path in WIRE else self.context.get(path.removeprefix("attributes."))
        return held if isinstance(held, str) else None

    def values(self) -> dict[str, str | None]:
        """Return all of it."""
        return {path: self.value(path) for path in PATHS}

    def state(self) -> State | None:
        """Return the context as it is now."""
        if not self.version:
            return None
        metadata: Document = {"version": self.version, "modifiedAt": "2026-02-04T17:06:00.134Z"}
        if self.dated:
            metadata["createdAt"] = f"2026-02-04T17:{self.incarnation:02}:00.134Z"
        document: Document = {"sessionId": self.name, "customerId": "ANONYMOUS", **self.fields, "metadata": metadata}
        if self.context:
            document["context"] = dict(self.context)
        return State(self.version, document, self.odd)

    def seen_at(self, moment: float) -> State | None:
        """Return the context as a replica has it that knows what was at a moment."""
        seen: State | None = None
        for time, state in self.states:
            if time <= moment:
                seen = state
        return seen


class Platform:
    """All sessions, and what can happen to them.

    Args:
        now: seconds.
        witness: is told what becomes of contexts.
    """

    def __init__(self, now: Callable[[], float], witness: Witness) -> None:
        self._now = now
        self._witness = witness
        self.sessions: dict[str, ServerSession] = {}
        self.tokens: dict[str, ServerSession] = {}
        self.revoked: set[str] = set()

    def new_session(self, tenant: str, *, dated: bool = True) -> ServerSession:
        """Begin a session without a context."""
        session = ServerSession(f"session-{len(self.sessions)}", tenant, dated=dated)
        self.sessions[session.name] = session
        return session

    def new_token(self, session: ServerSession) -> str:
        """Hand out another token."""
        token = f"token-{len(self.tokens)}-of-{session.name}"
        self.tokens[token] = session
        return token

    # What the API does

    def patch(self, session: ServerSession, body: Mapping[str, Any]) -> bool:
        """Change a context, if the version is the current one; tell whether it was."""
        if not session.version or body["metadata"]["version"] != session.version:
            return False
        before, receipts = session.values(), _received(session)
        wiped = receipts if session.is_ambiguous else set[str]()  # with the attributes of an earlier context
        session.fields.update({name: body[name] for name in PATCHABLE if name in body})
        if "context" in body:
            session.context = dict(body["context"])
        session.bare |= wiped
        session.version += 1
        self._noted(session, before, foreign=False)
        changed = {path for path in PATHS if session.value(path) != before[path]}
        session.bare -= (changed - wiped) | _received(session)
        return True

    def swallow(self, session: ServerSession, body: Mapping[str, Any]) -> None:
        """Do nothing of what a PATCH asks for."""
        changes = {path: value for path, value in _wanted(body).items() if value != session.value(path)}
        self._witness.sent_in_vain(session, changes)
        version = body.get("metadata", {}).get("version", session.version) + 1
        for path, value in changes.items():
            self._witness.swallowed(session, path, value, version)

    def leave_in_doubt(self, session: ServerSession, body: Mapping[str, Any], *, told: bool = False) -> None:
        """Let nobody hear that a PATCH was taken; or the worker alone, and not those who could not wait for it."""
        for path, value in _wanted(body).items():
            self._witness.unanswered(session, path, value, told=told)

    # What others do

    def create(self, session: ServerSession) -> None:
        """Let a context appear, with nothing chosen."""
        if not session.version:
            session.version = 1
            self._noted(session, session.values(), foreign=True)

    def edit(self, session: ServerSession, path: str, value: str | None) -> None:
        """Change one value, as a back office would."""
        before = session.values()
        self._put(session, path, value)
        session.version += 1
        self._noted(session, before, foreign=True)

    def recreate(self, session: ServerSession, *, empty: bool) -> None:
        """Begin anew at version 1: with the values that were there, or with none."""
        before = session.values()
        session.version, session.incarnation = 1, session.incarnation + 1
        self._witness.began_anew(session)
        if empty:
            session.fields, session.context = {}, {}
        self._noted(session, before, foreign=True)

    def restore(self, session: ServerSession, state: State) -> None:
        """Put a backup back: values and version of some time ago."""
        document, before = json.loads(state.encoded), session.values()
        session.fields = {name: document[name] for name in PATCHABLE if isinstance(document.get(name), str)}
        session.context = dict(document.get("context", {}))
        session.version, session.restored = int(document["metadata"]["version"]), session.restored + 1
        self._noted(session, before, foreign=True)

    def wipe(self, session: ServerSession) -> None:
        """Replace the map of attributes by those of it that a writer knows who knows nothing of ours."""
        session.bare |= _received(session)
        session.context = {key: value for key, value in session.context.items() if key in KEYS}
        session.version += 1
        self._noted(session, session.values(), foreign=True)

    def distort(self, session: ServerSession, how: Callable[[Document], Document] | None) -> None:
        """Let a document look odd from now on, or as it should again."""
        session.odd = how
        self._noted(session, session.values(), foreign=True)

    def _put(self, session: ServerSession, path: str, value: str | None) -> None:
        where, key = (session.fields, WIRE[path]) if path in WIRE else (session.context, path.split(".")[1])
        if value is None:
            where.pop(key, None)
        else:
            where[key] = value

    def _noted(self, session: ServerSession, before: Mapping[str, str | None], *, foreign: bool) -> None:
        now = self._now()
        session.states.append((now, session.state()))
        for path, value in session.values().items():
            if value != before[path]:
                session.log[path].append((now, value))
                self._witness.changed(session, path, value, foreign=foreign)


def _wanted(body: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what a PATCH asks for."""
    wanted: dict[str, str | None] = {path: body[name] for path, name in WIRE.items() if name in body}
    if "context" in body:
        wanted |= {path: body["context"].get(key) for path, key in zip(ATTRIBUTES, KEYS, strict=True)}
    return wanted


def _received(session: ServerSession) -> set[str]:
    """Return the fields of which a context has receipts."""
    return {path for path in PATHS if path in session.context.get(RECEIPTS, ())}


def _deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"d": value}
    return value


def _with_attribute(document: Document, value: Any) -> Document:
    return {**document, "context": {**document.get("context", {}), "odd": value}}


def _with_version(document: Document, version: Any) -> Document:
    return {**document, "metadata": {**document["metadata"], "version": version}}


ODDITIES: Final[Mapping[str, Callable[[Document], Document]]] = {
    "the version is a string": lambda document: _with_version(document, str(document["metadata"]["version"])),
    "the version has a decimal point": lambda document: _with_version(document, float(document["metadata"]["version"])),
    "the customer is a number": lambda document: {**document, "customerId": 4711},
    "the customer is a list": lambda document: {**document, "customerId": ["C4711"]},
    "the country is an object": lambda document: {**document, "targetLocation": {"code": "DE"}},
    "half of a surrogate pair": lambda document: _with_attribute(document, "\ud83d"),
    "a number out of range": lambda document: _with_attribute(document, float("1e308") * 10),
    "70 levels": lambda document: _with_attribute(document, _deep(70)),
    "200 KiB": lambda document: _with_attribute(document, ["x" * 100] * 2000),
    "keys that nobody knows": lambda document: {**document, "new": {"of": ["Emporix"]}, "": None},
}
