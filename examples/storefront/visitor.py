"""Gives every visitor an anonymous Emporix session: the token source of this shop.

The library is to bring anonymous sessions of its own (encrypted cookie, one refresh for parallel requests, crawlers
left out); they will replace this module. Until then, this is the least that works.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

from session_ctx_middleware import StorefrontToken

from .models import Grant
from .platform import Platform, PlatformError
from .visit import Visit, get_visit

__all__ = ["AnonymousVisitor", "Credentials"]

RENEW_BEFORE_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """A visitor's tokens, as they are kept in a cookie.

    The cookie is HttpOnly and belongs to the visitor, who may read and change it: nothing in it is believed but what
    Emporix confirms.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    session_id: str = field(repr=False)
    expires_at: int

    @classmethod
    def granted(cls, grant: Grant, now: float) -> Credentials:
        """Return what the platform has just granted."""
        return cls(grant.access_token, grant.refresh_token, grant.session_id, int(now + grant.expires_in))

    @classmethod
    def from_cookie(cls, cookie: str | None) -> Credentials | None:
        """Read a cookie; one that somebody has bent counts as none."""
        try:
            access, refresh, session_id, expires_at = json.loads(base64.urlsafe_b64decode(f"{cookie or ''}=="))
            return cls(str(access), str(refresh), str(session_id), int(expires_at))
        except (binascii.Error, TypeError, ValueError, OverflowError, RecursionError):
            return None

    def to_cookie(self) -> str:
        """Return compact JSON, in Base64 without padding, which cookies would have to quote."""
        text = json.dumps(astuple(self), separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class AnonymousVisitor:
    """Finds the visitor's token in the cookie, renews it shortly before its end, or begins a new session.

    The middleware calls this only when a request touches its session context, so static files, health checks and
    pages that are the same for everybody begin no session. When Emporix is away there is no token, and the page shows
    the shop's defaults.

    Args:
        platform: where sessions begin.
        now: seconds since the epoch.
    """

    vary = ("Cookie",)

    def __init__(self, platform: Platform, now: Callable[[], float] = time.time) -> None:
        self._platform = platform
        self._now = now
        self._ask_at = 0.0

    async def __call__(self, connection: HTTPConnection) -> StorefrontToken | None:
        """Return the token of a request; asking twice is one search."""
        visit = get_visit(connection)
        if not visit.sought:
            visit.sought = True
            known = Credentials.from_cookie(visit.cookie)
            self._introduce(visit, known, await self._current(visit, known))
        known = visit.credentials
        # The session id stays out of this: a visitor could have written another one into the cookie. The library
        # learns it from Emporix' answers.
        return None if known is None else StorefrontToken(known.access_token, expires_at=known.expires_at)

    def _introduce(self, visit: Visit, before: Credentials | None, after: Credentials | None) -> None:
        visit.credentials = after
        if after is not None:
            visit.bill.tokens.add(after.access_token)
            visit.new_cookie = after.to_cookie() if after != before else None

    async def _current(self, visit: Visit, known: Credentials | None) -> Credentials | None:
        now = self._now()
        if known is None:
            return await self._begin(visit)
        if now < known.expires_at - RENEW_BEFORE_SECONDS:
            return known
        return await self._renew(visit, known)

    async def _renew(self, visit: Visit, known: Credentials) -> Credentials | None:
        try:
            return Credentials.granted(await self._platform.renew_session(known.refresh_token), self._now())
        except PlatformError as error:
            if error.is_refusal:
                return await self._begin(visit)
            # Emporix is away: a session is not given up for that, and the token may still have two minutes.
            visit.is_offline = True
            return known if self._now() < known.expires_at else None

    async def _begin(self, visit: Visit) -> Credentials | None:
        now = self._now()
        if now >= self._ask_at:
            try:
                return Credentials.granted(await self._platform.begin_session(), now)
            except PlatformError:
                self._ask_at = now + PAUSE_SECONDS  # the next visitors do not wait for another timeout
        visit.is_offline = True
        return None
