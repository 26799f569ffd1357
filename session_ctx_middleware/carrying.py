"""What a request brings along, its token and its notes, and what its response lets the browser carry.

Private to `lifecycle` and `context`.
"""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection

from .continuity import NOTHING, Found
from .engine import Engine, Noted, Notes
from .model.changes import NO_CHANGES, ContextChanges
from .privacy import Privacy
from .tokens import StorefrontToken

__all__ = ["Carrying"]


class Carrying(Privacy):
    """The part of a request that deals with the shopper's browser."""

    _found: str | StorefrontToken | None = None
    """The token, once it was sought."""
    _token_sought = False
    _seeking: asyncio.Task[StorefrontToken | None] | None = None
    """The search for the token, where it has to be awaited."""
    _brought: Found = NOTHING
    """What the continuity cookies say, once they were read."""
    _cookies_read = False
    _ended: Notes | None = None
    """The end mark, once the shopper has logged out in this request: what he brought counts no more."""
    _told: ContextChanges = NO_CHANGES
    """What the shopper's browser should know of: changes that Emporix has taken, or that are parked."""
    _receipts = False
    """Whether a change of the shopper has been parked."""

    @property
    def _engine(self) -> Engine:
        return self._deps.engine(self._loop)

    @property
    def _token(self) -> StorefrontToken | None:
        return StorefrontToken(self._found) if isinstance(self._found, str) else self._found

    async def _credentials(self) -> StorefrontToken | None:
        if not self._token_sought:
            if self._seeking is None:
                self._seeking = self._loop.create_task(self._deps.tokens.find(HTTPConnection(self._scope)))
            await asyncio.wait({self._seeking})  # unlike awaiting the task, this does not cancel it with the waiter
            self._found = self._seeking.result()
            self._token_sought = True
        return self._token

    def _notes(self) -> Notes | None:
        """Return what the shopper's browser brought along from other workers."""
        cookies = self._deps.cookies
        if cookies is not None and not self._cookies_read:
            self._cookies_read = True
            self._brought = cookies.read(self._scope)
            if self._brought.ignored:
                self._emit("continuity.ignored", "load", self._brought.ignored)
        return self._brought.notes if self._ended is None else self._ended

    @property
    def _era(self) -> int:
        notes = self._notes()
        return 0 if notes is None else notes.era

    def _newest_at(self) -> float:
        """Return the latest timestamp of a change that this request knows of, in seconds since the epoch."""
        notes, known = self._notes(), self._known
        parked = 0.0 if known is None else known.parked.newest_at
        return parked if notes is None else max(notes.newest_at, parked)

    def _tell(self, told: ContextChanges, *, receipts: bool) -> None:
        """Have the response tell the browser; where that has gone, or there is none, the next response of the token."""
        self._told = told.newest(self._told)
        self._receipts = self._receipts or receipts
        if self._cannot_answer:
            self._tell_later(told)

    def _tell_later(self, told: ContextChanges) -> None:
        if told.operations and self._token is not None and self._deps.cookies is not None:
            self._engine.tell_later(self._token, told)

    def _leaves(self, *, answered: bool = True) -> None:
        """Keep what there was to tell where somebody outside answers, or nobody."""
        unanswered = self._scope["type"] == "http" and (self._response is None or not answered)
        if unanswered:
            self._tell_later(self._told)
        super()._leaves(answered=answered)

    @property
    def _cannot_answer(self) -> bool:
        return self._response is not None or self._scope["type"] == "websocket"

    def _owes_cookies(self) -> bool:
        """Tell whether the browser should carry something else than what it brought along."""
        if self._deps.cookies is None:
            return False
        if self._told.operations or self._ended is not None:
            return True
        return self._used and (not self._brought.is_tidy or self._has_news())

    def _has_news(self) -> bool:
        """Tell whether earlier requests have left something to tell, and take it over."""
        if self._engine.has_untold and self._token is not None:
            self._told, self._receipts = self._engine.tells_now(self._token), True
        return bool(self._told.operations)

    async def _cookies_out(self) -> tuple[bytes, ...]:
        """Return the values of ``Set-Cookie``."""
        cookies, token = self._deps.cookies, await self._credentials()
        if cookies is None:
            return ()
        ends = self._ended is not None
        written = cookies.write(self._scope, self._brought, self._own_note(token), ends=ends)
        if written.left_out:
            lost = "switches of a visitor without a token were dropped"
            became = lost if token is None else await self._engine.keep(token, written.left_out)
            self._emit("continuity.overflow", "respond", became)
        return written.headers

    def _own_note(self, token: StorefrontToken | None) -> Notes | None:
        """Return what this response itself has to tell."""
        if not self._told.operations:
            return self._ended
        brought = self._notes() or Notes()
        if token is not None:
            return self._engine.to_note(token, self._told, brought, receipts=self._receipts)
        operations = tuple(Noted(path, operation) for path, operation in self._told.operations.items())
        return Notes(operations, (), brought.era, brought.ended, self._receipts)
