"""Emporix as the simulation believes it to be, and everything that can go wrong on the way to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from session_ctx_middleware import (
    ContextDocument,
    ContextNotFound,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)
from session_ctx_middleware.model.fields import SWITCHES

FIELD_OF = {wire: name for name, wire in SWITCHES.items()}


@dataclass
class Applied:
    """One change of one path, in the order in which the server made them."""

    time: float
    path: str
    value: object
    foreign: bool


@dataclass
class ServerSession:
    """A session at the server.

    Args:
        name: its id.
        values: path to value, `None` where there is nothing; the whole of the context.
        version: 0 while there is no context.
    """

    name: str
    values: dict[str, object] = field(default_factory=dict)
    version: int = 0
    incarnation: int = 0
    log: list[Applied] = field(default_factory=list)
    states: list[tuple[float, ContextDocument | None]] = field(default_factory=list)

    def document(self) -> ContextDocument | None:
        if not self.version:
            return None
        attributes = {
            path.removeprefix("attributes."): value
            for path, value in self.values.items()
            if path.startswith("attributes.") and value is not None
        }
        return ContextDocument(
            version=self.version,
            session_id=self.name,
            created_at=f"2026-02-04T17:06:{self.incarnation:02}.134Z",
            attributes=attributes,  # type: ignore[arg-type]
            **{name: self.values.get(name) for name in SWITCHES},  # type: ignore[arg-type]
        )

    def write(self, changes: Mapping[str, object], *, foreign: bool) -> None:
        now = asyncio.get_running_loop().time()
        self.version += 1
        for path, value in changes.items():
            if self.values.get(path) != value:
                self.values[path] = value
                self.log.append(Applied(now, path, value, foreign))
        self._remember(now)

    def create(self) -> None:
        """Appear, with nothing chosen."""
        if not self.version:
            self.version = 1
            self._remember(asyncio.get_running_loop().time())

    def recreate(self) -> None:
        """Begin again at version 1, with the same values: another incarnation of the same session."""
        if self.version:
            self.version = 1
            self.incarnation += 1
            self._remember(asyncio.get_running_loop().time())

    def seen_at(self, moment: float) -> ContextDocument | None:
        seen: ContextDocument | None = None
        for time, state in self.states:
            if time <= moment:
                seen = state
        return seen

    def _remember(self, now: float) -> None:
        self.states.append((now, self.document()))


@dataclass
class Weather:
    """What the way to Emporix is like at the moment."""

    latency: float = 0.05
    fail_before: float = 0.0
    fail_after: float = 0.0
    server_error: float = 0.0
    garbage: float = 0.0
    hang: float = 0.0
    throttled: float = 0.0
    duplicate: float = 0.0
    lag: float = 0.0


CLEAR = Weather()

HANGS = 6.0
"""Seconds: twice the timeout of `UpstreamPolicy`."""


class ModelEmporix:
    """A `ContextSource` with chaos.

    Args:
        rng: decides everything.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.sessions: dict[str, ServerSession] = {}
        self.tokens: dict[str, ServerSession] = {}
        self.revoked: set[str] = set()
        self.weather = CLEAR
        self.calls = 0
        self.faults = 0
        self.in_flight: dict[str, list[float]] = {}
        self.most_patches_at_once = 0
        self.foul_play: list[str] = []
        self.wishes: dict[str, dict[str, set[object]]] = {}

    async def get(self, token: str, /) -> ContextDocument:
        await self._arrive("context.get", token)
        session = self.tokens[token]
        seen = session.document()
        if self.weather.lag and self._rng.random() < 0.5:
            seen = session.seen_at(asyncio.get_running_loop().time() - self.weather.lag) or seen
        await self._leave("context.get")
        if seen is None:
            raise ContextNotFound("context.get", session_id=session.name)
        return seen

    async def patch(self, token: str, body: Mapping[str, Any], /) -> None:
        session = self.tokens.get(token)
        name = session.name if session is not None else ""
        began = asyncio.get_running_loop().time()
        calls = self.in_flight.setdefault(name, [])
        calls.append(began)
        # A call that hangs for twice the timeout is left behind.
        waited_for = [each for each in calls if began - each < HANGS]
        self.most_patches_at_once = max(self.most_patches_at_once, len(waited_for))
        try:
            await self._arrive("context.patch", token)
            self._apply(self.tokens[token], body)
            if self._strikes(self.weather.duplicate):
                # Something on the way sent it twice, and the second answer is the one that arrives.
                await asyncio.sleep(self._rng.uniform(0, self.weather.latency))
                self._apply(self.tokens[token], body)
            await self._leave("context.patch")
        finally:
            calls.remove(began)

    def _apply(self, session: ServerSession, body: Mapping[str, Any]) -> None:
        if not session.version or body["metadata"]["version"] != session.version:
            raise ContextNotFound("context.patch")
        changes: dict[str, object] = {FIELD_OF[wire]: body[wire] for wire in FIELD_OF if wire in body}
        if "context" in body:
            there = {path for path, value in session.values.items() if path.startswith("attributes.") and value}
            sent = {f"attributes.{key}": value for key, value in body["context"].items()}
            changes |= dict.fromkeys(there - set(sent)) | sent
        self._watch(session, changes)
        session.write(changes, foreign=False)

    def _watch(self, session: ServerSession, changes: Mapping[str, object]) -> None:
        """Notice a PATCH that changes what no request of this session ever wanted changed so."""
        for path, value in changes.items():
            if session.values.get(path) != value and value not in self.wishes.get(session.name, {}).get(path, ()):
                self.foul_play.append(f"PATCH made {path} {value!r} in {session.name}, which nobody wanted")

    async def _arrive(self, operation: str, token: str) -> None:
        self.calls += 1
        weather = self.weather
        await asyncio.sleep(self._rng.uniform(0, weather.latency))
        if self._strikes(weather.hang):
            await asyncio.sleep(self._rng.uniform(2, 6))
            raise EmporixUnreachable(operation, None, "timed out")
        if self._strikes(weather.fail_before):
            raise EmporixUnreachable(operation, None, "the connection failed")
        if self._strikes(weather.throttled):
            raise TooManyRequests(operation, 429, retry_after=self._rng.uniform(0, 3))
        if self._strikes(weather.server_error):
            raise EmporixFailed(operation, 503)
        if token in self.revoked or token not in self.tokens:
            raise TokenRejected(operation, 401)

    async def _leave(self, operation: str) -> None:
        weather = self.weather
        await asyncio.sleep(self._rng.uniform(0, weather.latency))
        if self._strikes(weather.fail_after):
            raise EmporixUnreachable(operation, None, "the connection broke")
        if self._strikes(weather.server_error / 2):
            raise EmporixFailed(operation, 502)
        if operation == "context.get" and self._strikes(weather.garbage):
            raise MalformedAnswer(operation, 200, "not JSON")

    def _strikes(self, probability: float) -> bool:
        struck = self._rng.random() < probability
        self.faults += struck
        return struck
