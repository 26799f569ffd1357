"""Where the tokens of shoppers are kept: in their browsers, or in a store of which browsers have an id."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Final, Protocol

from cachetools import TTLCache
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..clock import Clock
from .cookie import Brought, SessionCookie
from .kept import KeptSession
from .sealed_tokens import SealedTokens, TokensUnavailable

__all__ = ["Keeping", "KeepsInBrowser", "KeepsInStore"]

SESSION: Final = "session"
ENDED: Final = "ended"
ENDED_SECONDS: Final = 60.0
"""Seconds for which a session that another one has followed is known as such: requests that were sent before."""
HIDDEN_SECONDS: Final = 2 * ENDED_SECONDS
NEVER: Final = float("-inf")
ID_BYTES: Final = 16
MOST: Final = 10_000


class Keeping(Protocol):
    """Keeps the sessions of browsers."""

    needs_answer: bool
    """Whether other tokens of a session can be kept only while the browser can be given something."""

    @property
    def refusal(self) -> str:
        """Why no session can be kept at the moment; empty where one can."""
        ...

    def at_once(self, scope: Scope, era: int, /) -> Brought:
        """Return the session that a request brings whole; nothing where it has to be looked up."""
        ...

    async def read(self, scope: Scope, era: int) -> Brought:
        """Return the session that a request brings; as for `SessionCookie.read`."""
        ...

    def is_out_of_place(self, kept: KeptSession, /) -> bool:
        """Tell whether a session is kept elsewhere than the shop wants it to be by now."""
        ...

    async def place(self, kept: KeptSession, connection: HTTPConnection, /) -> KeptSession:
        """Return a session that is new to its browser with a place to be kept at; those that it brought are over.

        Raises:
            TokensUnavailable: there is none.
        """
        ...

    async def renewed(self, kept: KeptSession, /) -> None:
        """Keep other tokens of a session, whatever becomes of the request that needed them."""
        ...

    async def end(self, connection: HTTPConnection, /) -> None:
        """Have the sessions that a request brings end: nobody gets their tokens from here any more."""
        ...

    def write(self, connection: HTTPConnection, kept: KeptSession) -> tuple[bytes, ...] | None:
        """Return what the browser is to keep; as for `SessionCookie.write`."""
        ...

    def clear(self, names: Iterable[str]) -> tuple[bytes, ...]:
        """Return what removes cookies; as for `SessionCookie.clear`."""
        ...

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return what a request has brought; as for `SessionCookie.carried`."""
        ...

    async def aclose(self, seconds: float, /) -> None:
        """End what was begun on the running event loop, within that time."""
        ...


class KeepsInBrowser:
    """Keeps sessions in a sealed cookie of the browser's own.

    Args:
        cookie: that cookie.
    """

    needs_answer = True
    refusal = ""

    def __init__(self, cookie: SessionCookie) -> None:
        self.write, self.clear, self.carried = cookie.write, cookie.clear, cookie.carried
        self.at_once = cookie.read
        self._cookie = cookie

    async def read(self, scope: Scope, era: int) -> Brought:
        """Return the session in the cookie."""
        return self._cookie.read(scope, era)

    def is_out_of_place(self, _kept: KeptSession) -> bool:
        """Return that it is not."""
        return False

    async def place(self, kept: KeptSession, _connection: HTTPConnection) -> KeptSession:
        """Return the session as it is: the cookie itself is the place."""
        return kept

    async def renewed(self, _kept: KeptSession) -> None:
        """Do nothing: the response brings the tokens to the browser."""

    async def end(self, _connection: HTTPConnection) -> None:
        """Do nothing: nobody but the browser has the tokens."""

    async def aclose(self, _seconds: float) -> None:
        """Do nothing: nothing is open."""


class KeepsInStore:
    """Keeps sessions in a store; the browser has an id, sealed, so that nobody else makes one up.

    Of each session that begins, and of each that follows another one, the id is new. Whoever knows an earlier id, or
    has planted one in somebody's browser, gets nothing for it (session fixation, OWASP Session Management).

    Args:
        cookie: holds the id.
        former: the cookie that holds all of a session, from before the shop had a store for it.
        tokens: the store.
        clock: where time comes from.
    """

    needs_answer = False

    def __init__(self, cookie: SessionCookie, former: SessionCookie, tokens: SealedTokens, clock: Clock) -> None:
        self.clear, self.carried = cookie.clear, cookie.carried
        self._cookie = cookie
        self._former = former
        self._tokens = tokens
        self._clock = clock
        self._ended: TTLCache[str, float] = TTLCache(MOST, HIDDEN_SECONDS, timer=clock.monotonic)
        """When sessions have ended here, by their ids: whatever the store still has of them is nobody's."""
        self._lock = Lock()  # event loops of several threads share them

    def at_once(self, _scope: Scope, _era: int) -> Brought:
        """Return nothing: the store has to be asked."""
        return Brought()

    @property
    def refusal(self) -> str:
        """Why no session can be kept at the moment: the store has failed too often."""
        return "store" if self._tokens.is_left_alone else ""

    async def read(self, scope: Scope, era: int) -> Brought:
        """Return the session whose id the browser brings; while nobody can tell, no other one takes its place."""
        found = self._cookie.read(scope, era)
        if found.kept is None:
            return self._former.read(scope, era) if not found.void else found
        try:
            kept = await self._load(found.kept)
            refusal = "" if kept is not None or not await self._is_over(found.kept.key) else "over"
        except TokensUnavailable:
            return Brought(refusal="store")
        lost = kept is None and not refusal and found.kept.should_live(self._clock.time())
        return replace(found, kept=kept, refusal=refusal, is_lost=lost)

    def is_out_of_place(self, kept: KeptSession) -> bool:
        """Tell whether the browser still has all of a session, from before the shop had a store for it."""
        return not kept.key and not self.refusal

    async def place(self, kept: KeptSession, connection: HTTPConnection) -> KeptSession:
        """Keep a session under an id of its own, and end those that the browser brought."""
        placed = replace(kept, key=secrets.token_hex(ID_BYTES))
        await self._save(placed)
        await self.end(connection)
        return placed

    async def renewed(self, kept: KeptSession) -> None:
        """Keep other tokens under the same id, later if not now; not where the session has ended meanwhile."""
        if not kept.key:
            return  # the browser still has it all
        try:
            await self._replace(kept)
        except TokensUnavailable:
            self._tokens.later(lambda: self._replace(kept))

    async def end(self, connection: HTTPConnection) -> None:
        """Forget the sessions whose ids a request brings, later if not now."""
        for ticket in self._cookie.opened(connection.scope):
            await self._end(ticket.key)

    def write(self, connection: HTTPConnection, kept: KeptSession) -> tuple[bytes, ...] | None:
        """Return what gives the browser the id, nothing where it has that already and may not keep it for longer."""
        if not kept.key:
            return self._former.write(connection, kept)
        headers = self._cookie.write(connection, kept.ticket)
        brought = any(ticket.key == kept.key for ticket in self._cookie.opened(connection.scope))
        return headers[1:] if brought and headers is not None and b"; Max-Age=" not in headers[0] else headers

    async def aclose(self, seconds: float) -> None:
        """Let calls of the store end."""
        await self._tokens.aclose(seconds)

    async def _load(self, ticket: KeptSession) -> KeptSession | None:
        if self._ended_at(ticket.key) > NEVER:
            return None
        found = await self._tokens.load(SESSION, ticket.key)
        kept = None if found is None else KeptSession.decode(found)
        return kept if kept is not None and (kept.key, kept.line) == (ticket.key, ticket.line) else None

    async def _is_over(self, key: str) -> bool:
        lately = self._clock.monotonic() - self._ended_at(key) < ENDED_SECONDS
        return lately or await self._tokens.load(ENDED, key) is not None

    def _ended_at(self, key: str) -> float:
        with self._lock:
            return self._ended.get(key, NEVER)

    async def _save(self, kept: KeptSession) -> None:
        await self._tokens.save(SESSION, kept.key, kept.encode(), kept.lives_for(self._clock.time()))

    async def _replace(self, kept: KeptSession) -> None:
        await self._save(kept)
        # In this order: whoever ends it meanwhile says so first, and forgets it then.
        if await self._is_over(kept.key):
            await self._tokens.save(SESSION, kept.key, b"", 0)

    async def _end(self, key: str) -> None:
        with self._lock:
            self._ended[key] = self._clock.monotonic()
        try:
            await self._forget(key)
        except TokensUnavailable:
            self._tokens.later(lambda: self._forget(key))

    async def _forget(self, key: str) -> None:
        await self._tokens.save(ENDED, key, b"", ENDED_SECONDS)
        await self._tokens.save(SESSION, key, b"", 0)
