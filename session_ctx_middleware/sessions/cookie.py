"""The session cookie: the tokens of a shopper, sealed, so that neither the browser nor anybody else can read them.

Browsers keep the last cookie of a name, and answers arrive in any order. So a session that follows another one (after a
login, for another company, of a guest after a logout) has a name of its own, and what a slow answer of the earlier one
sets does not replace it: of several the last one counts, and the others are cleared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..clock import Clock
from ..cookies import SECURE, cookie_attributes, cookies
from ..sealing import Sealer
from .kept import KeptSession

__all__ = ["Brought", "Persist", "SessionCookie"]

Persist = Callable[[HTTPConnection], bool]

MAX_READ: Final = 4096
"""Bytes of name and value together: browsers drop what is larger (RFC 6265bis, section 5.7)."""
MAX_BYTES: Final = 2400
"""Bytes of the whole ``Set-Cookie``: of the 3 KiB of one response, so much is left that a note has room for choices."""
MOST_VALUES: Final = 6
MOST_TRIED: Final = 64
REMEMBERED: Final = 2048
CLEARING: Final = 130
"""Bytes that it takes to clear one."""
LINE: Final = r"(?:\.\d{1,7}\.\d{1,7})?"


@dataclass(frozen=True, slots=True, repr=False)
class Brought:
    """What a request brought.

    Args:
        kept: the session, `None` where there is none.
        void: the names of the cookies of others that it has followed, or that have been logged out of.
        refusal: why no other session may take the place of one that is not there; empty where one may.
        is_lost: whether the store should have a session, and has none.
    """

    kept: KeptSession | None = None
    void: tuple[str, ...] = ()
    refusal: str = ""
    is_lost: bool = False


NOTHING: Final = Brought()


class SessionCookie:
    """Reads and writes the cookie.

    Args:
        sealer: of the shop's secrets, for this purpose, tenant and platform.
        name: what its name begins with; on https that gets the prefix ``__Host-`` (RFC 6265bis, section 4.1.3.2).
        https_only: treat every request as https, for a TLS proxy that does not say so.
        persist: tells whether the cookie outlives the browser's session.
        clock: where time comes from.
    """

    def __init__(self, sealer: Sealer, name: str, *, https_only: bool, persist: Persist, clock: Clock) -> None:
        self._sealer = sealer
        self._names = (name, f"__Host-{name}")
        self._forms = tuple(re.compile(re.escape(each) + LINE) for each in self._names)
        self._https_only = https_only
        self._persist = persist
        self._clock = clock
        # One browser sends the same cookie with every request.
        self._opened: dict[tuple[str, str], tuple[KeptSession | None]] = {}

    def read(self, scope: Scope, era: int = 0) -> Brought:
        """Return the session that a request brings: of several the last one, of equal ones that which lives longest.

        Args:
            scope: of the request.
            era: how often its browser has seen a logout; what was kept before counts for nothing.
        """
        opened = self._all(scope)
        if not opened:
            return NOTHING
        best = max((kept for _, kept in opened), key=lambda kept: (kept.line, kept.access_ends))
        kept = best if best.era >= era else None
        staying = "" if kept is None else self._name_of(scope, kept)
        return Brought(kept, tuple({name: None for name, _ in opened if name != staying}))

    def opened(self, scope: Scope) -> list[KeptSession]:
        """Return every session that a request brings, in the order of the browser."""
        return [kept for _, kept in self._all(scope)]

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the names of such cookies that a request has brought, and how many bytes each takes."""
        sizes: dict[bytes, int] = {}
        for name, value in self._values(scope):
            sizes[name.encode()] = sizes.get(name.encode(), 0) + len(name) + 1 + len(value)
        return sizes

    def write(self, connection: HTTPConnection, kept: KeptSession) -> tuple[bytes, ...] | None:
        """Return the values of ``Set-Cookie`` that keep a session, and clear those that it follows.

        `None` where it is too large for a cookie.
        """
        name = self._name_of(connection.scope, kept)
        value = self._sealer.seal(kept.encode(), name)
        life = round(max(kept.access_ends, kept.refresh_ends) - self._clock.time())
        lasting = f"; Max-Age={max(1, life)}" if self._persist(connection) else ""
        header = f"{name}={value}; Path=/{lasting}".encode() + _attributes(name)
        if len(header) > MAX_BYTES:
            return None
        self._remember((name, value), kept)
        brought = self.read(connection.scope)
        others = {*brought.void, *([] if brought.kept is None else [self._name_of(connection.scope, brought.kept)])}
        room = max(1, (MAX_BYTES - len(header)) // CLEARING)  # what has to wait is cleared by the next response
        return (header, *self.clear(sorted(others - {name})[:room]))

    def clear(self, names: Iterable[str]) -> tuple[bytes, ...]:
        """Return the values of ``Set-Cookie`` that remove cookies.

        Args:
            names: as `read` has told them.
        """
        return tuple(f"{name}=; Path=/; Max-Age=0".encode() + _attributes(name) for name in names)

    def _all(self, scope: Scope) -> list[tuple[str, KeptSession]]:
        # What cannot be opened does not count: a neighbour host could push the shopper's own aside.
        values = self._values(scope)[:MOST_TRIED]
        opened = ((name, kept) for name, value in values if (kept := self._open(name, value)) is not None)
        return list(islice(opened, MOST_VALUES))

    def _values(self, scope: Scope) -> list[tuple[str, str]]:
        secure = self._is_secure(scope)
        name, form = self._names[secure].encode(), self._forms[secure]
        if not any(key == b"cookie" and name in value for key, value in scope["headers"]):
            return []
        return [(known, value) for known, value in cookies(scope) if form.fullmatch(known)]

    def _name_of(self, scope: Scope, kept: KeptSession) -> str:
        name = self._names[self._is_secure(scope)]
        return name if kept.line == (0, 0) else f"{name}.{kept.era}.{kept.generation}"

    def _is_secure(self, scope: Scope) -> bool:
        return self._https_only or scope.get("scheme") in SECURE

    def _open(self, name: str, value: str) -> KeptSession | None:
        key = (name, value)
        known = self._opened.get(key)  # another thread may forget everything meanwhile
        if known is not None:
            return known[0]
        opened = self._sealer.open(value, name) if len(value) <= MAX_READ else None
        kept = None if opened is None else KeptSession.decode(opened)
        self._remember(key, kept)
        return kept

    def _remember(self, key: tuple[str, str], kept: KeptSession | None) -> None:
        if len(self._opened) >= REMEMBERED:
            self._opened.clear()
        self._opened[key] = (kept,)


def _attributes(name: str) -> bytes:
    return cookie_attributes(secure=name.startswith("__Host-"))
