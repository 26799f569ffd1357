"""The session cookie: the tokens of a shopper, sealed, so that neither the browser nor anybody else can read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..clock import Clock
from ..cookies import cookies
from ..sealing import Sealer
from .kept import KeptSession

__all__ = ["Persist", "SessionCookie"]

Persist = Callable[[HTTPConnection], bool]

MAX_READ: Final = 4096
"""Bytes of name and value together: browsers drop what is larger (RFC 6265bis, section 5.7)."""
MAX_BYTES: Final = 2400
"""Bytes of the whole ``Set-Cookie``: of the 3 KiB of one response, so much is left that a note has room for choices."""
MOST_VALUES: Final = 4
REMEMBERED: Final = 2048
SECURE: Final = frozenset({"https", "wss"})


class SessionCookie:
    """Reads and writes the cookie.

    Args:
        sealer: of the shop's secrets, for this purpose, tenant and platform.
        name: of the cookie; on https it gets the prefix ``__Host-`` (RFC 6265bis, section 4.1.3.2).
        https_only: treat every request as https, for a TLS proxy that does not say so.
        persist: tells whether the cookie outlives the browser's session.
        clock: where time comes from.
    """

    def __init__(self, sealer: Sealer, name: str, *, https_only: bool, persist: Persist, clock: Clock) -> None:
        self._sealer = sealer
        self._names = (name, f"__Host-{name}")
        self._https_only = https_only
        self._persist = persist
        self._clock = clock
        # One browser sends the same cookie with every request.
        self._opened: dict[tuple[str, str], tuple[KeptSession | None]] = {}

    def read(self, scope: Scope) -> KeptSession | None:
        """Return the session that a request brings; of several that can be opened, the one that lives longest."""
        name = self._name(scope)
        if not any(key == b"cookie" and name.encode() in value for key, value in scope["headers"]):
            return None
        values = [value for known, value in cookies(scope) if known == name][:MOST_VALUES]
        found = [kept for value in values if (kept := self._open(name, value)) is not None]
        return max(found, key=lambda kept: kept.access_ends, default=None)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return its name, and how many bytes of it a request has brought; nothing where it has brought none."""
        name = self._name(scope)
        sizes = [len(name) + 1 + len(value) for known, value in cookies(scope) if known == name]
        return {name.encode(): sum(sizes)} if sizes else {}

    def write(self, connection: HTTPConnection, kept: KeptSession) -> bytes | None:
        """Return the value of ``Set-Cookie`` that keeps a session, `None` where it is too large for a cookie."""
        name = self._name(connection.scope)
        value = self._sealer.seal(kept.encode(), name)
        life = round(max(kept.access_ends, kept.refresh_ends) - self._clock.time())
        lasting = f"; Max-Age={max(1, life)}" if self._persist(connection) else ""
        header = f"{name}={value}; Path=/{lasting}{self._attributes(name)}".encode()
        if len(header) > MAX_BYTES:
            return None
        self._remember((name, value), kept)
        return header

    def clear(self, scope: Scope) -> bytes:
        """Return the value of ``Set-Cookie`` that removes it."""
        name = self._name(scope)
        return f"{name}=; Path=/; Max-Age=0{self._attributes(name)}".encode()

    def _name(self, scope: Scope) -> str:
        return self._names[self._https_only or scope.get("scheme") in SECURE]

    def _attributes(self, name: str) -> str:
        return "; HttpOnly; SameSite=Lax" + ("; Secure" if name == self._names[1] else "")

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
