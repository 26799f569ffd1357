"""Where the shopper's token is found in a request."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .checks import cookie_name, functions, header_names
from .cookies import cookies_in
from .credentials import USABLE, StorefrontToken, usable
from .errors import ConfigurationError
from .events import Events
from .sources import ANY_HEADER, Movable, OwnSource, SessionSetup, SessionSource, TokenSource, Visitor

__all__ = [
    "BearerToken",
    "CookieToken",
    "Movable",
    "OwnSource",
    "SessionSetup",
    "SessionSource",
    "StorefrontToken",
    "TokenChain",
    "TokenSource",
    "Visitor",
    "checked_token",
]

REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 8 * 1024
NEEDED: Final = (
    "token=... must be a token source such as BearerToken() or CookieToken('name'), a function of the connection, or a "
    "sequence of those."
)

_BEARER: Final = re.compile(rb"(?i:bearer) +(%b) *" % USABLE.encode())


class BearerToken:
    """Reads the token from ``Authorization: Bearer`` (RFC 6750, section 2.1)."""

    vary = ("Authorization",)

    def __call__(self, connection: HTTPConnection) -> str | None:
        """Return the token, `None` where the header is missing or of another scheme."""
        return self.from_scope(connection.scope)

    def from_scope(self, scope: Scope) -> str | None:
        """Do the same with less around it."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                return _bearer(value)
        return None

    def __repr__(self) -> str:
        return "BearerToken()"


class CookieToken:
    """Reads the token from a cookie (RFC 6265, section 5.4); of several with one name, the first that can be a token.

    Args:
        name: the cookie's name.
    """

    vary = ("Cookie",)

    def __init__(self, name: str) -> None:
        self._name = cookie_name(name, "CookieToken(name)")

    def __call__(self, connection: HTTPConnection) -> str | None:
        """Return the token, `None` where no cookie of this name can be one."""
        return self.from_scope(connection.scope)

    def from_scope(self, scope: Scope) -> str | None:
        """Do the same with less around it."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                found = _cookie(value, self._name)
                if found is not None:
                    return found
        return None

    def __repr__(self) -> str:
        return f"CookieToken({self._name!r})"


class TokenChain:
    """Asks token sources in turn; the first hit wins.

    Args:
        sources: one source or several.

    Raises:
        ConfigurationError: something in it cannot be called.
    """

    def __init__(self, sources: TokenSource | Sequence[TokenSource]) -> None:
        self._sources: tuple[TokenSource, ...] = functions(sources, NEEDED)
        if not self._sources:
            raise ConfigurationError(NEEDED)
        headers = [header for source in self._sources for header in _headers_of(source)]
        self.vary: tuple[str, ...] = tuple(dict.fromkeys(headers))
        """The request headers that tokens come from."""
        # Exactly these: a subclass may decide otherwise, and wait.
        self.instant = all(type(source) in {BearerToken, CookieToken} for source in self._sources)
        """Whether `now` finds the token: no source is a function of the application, which may have to wait."""
        self._sessions = [source for source in self._sources if isinstance(source, SessionSource)]
        self.begins_sessions = bool(self._sessions)
        """Whether a source begins sessions, and may have another token where one is refused."""
        self._ways = tuple(
            source.from_scope for source in self._sources if isinstance(source, BearerToken | CookieToken)
        )

    def now(self, scope: Scope) -> str | None:
        """Return the token of a request without waiting, when the chain is `instant`."""
        for from_scope in self._ways:
            found = from_scope(scope)
            if found is not None:
                return found
        return None

    def looked_in(self, scope: Scope) -> str:
        """Return where tokens are sought, and whether a request has such headers at all; never what is in them."""
        sources = ", ".join(_described(source) for source in self._sources)
        sent = {name for name, _ in scope["headers"]}
        authorization = "an" if b"authorization" in sent else "no"
        cookies = "cookies" if b"cookie" in sent else "no cookies"
        return f"Looked in: {sources}. The request had {authorization} Authorization header, and {cookies}."

    def tell(self, events: Events) -> None:
        """Have a middleware's operators told of what goes wrong in sources of this package."""
        for source in self._sources:
            if isinstance(source, OwnSource):
                source.tell(events)

    async def settle(self) -> None:
        """Let calls of sources of this package end while what they need is open."""
        for source in self._sources:
            if isinstance(source, OwnSource):
                await source.settle()

    async def aclose(self) -> None:
        """Close what sources of this package have opened on the running event loop."""
        for source in self._sources:
            if isinstance(source, OwnSource):
                await source.aclose()

    def bind(self, setup: SessionSetup) -> None:
        """Have the sources that begin sessions serve a middleware.

        Raises:
            ConfigurationError: one of them cannot: it has no secret, or another middleware has it.
        """
        for source in self._sessions:
            source.bind(setup)

    def at_once(self, scope: Scope, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a request where nobody has to be asked for it; `None` where `find` has to seek it."""
        for source in self._sources:
            if isinstance(source, SessionSource):
                return source.at_once(scope, visitor)
            if type(source) not in {BearerToken, CookieToken} or not isinstance(source, BearerToken | CookieToken):
                return None
            found = source.from_scope(scope)
            if found is not None:
                return StorefrontToken(found)
        return None

    async def end(self, connection: HTTPConnection) -> None:
        """Have the sessions that a request has brought be nobody's from now on."""
        for source in self._sessions:
            await source.end(connection)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the names of the cookies of sessions that a request has brought, and how many bytes each takes."""
        return {name: size for source in self._sessions for name, size in source.carried(scope).items()}

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        """Return another token in place of one that Emporix has refused, `None` where no source has one."""
        for source in self._sessions:
            token = await source.instead_of(refused, connection, visitor)
            if token is not None:
                return token
        return None

    def saas_token(self, token: StorefrontToken, visitor: Visitor) -> str | None:
        """Return the customer's saas token that goes with a token, `None` where no source has one that is good."""
        return next((found for source in self._sessions if (found := source.saas_token(token, visitor))), None)

    async def find(self, connection: HTTPConnection, visitor: Visitor | None = None) -> StorefrontToken | None:
        """Return the token of a request, `None` where no source finds a usable one.

        Args:
            connection: the request.
            visitor: who it is sought for; without one no session is begun.
        """
        for source in self._sources:
            if isinstance(source, SessionSource):
                found: Any = None if visitor is None else source.find(connection, visitor)
            else:
                found = source(connection)
            if inspect.isawaitable(found):
                found = await found
            token = _checked(found)
            if token is not None:
                return token
        return None


def _headers_of(source: TokenSource) -> list[str]:
    return header_names(getattr(source, "vary", ANY_HEADER), "The attribute vary of a token source")


def _described(source: TokenSource) -> str:
    """Return the name of a token source; what somebody's own object says of itself may be a secret."""
    if type(source) in {BearerToken, CookieToken} or type(source).__module__.startswith(f"{__package__}."):
        return repr(source)
    name = getattr(source, "__qualname__", type(source).__name__)
    return name if isinstance(name, str) else type(source).__name__


def _bearer(value: bytes) -> str | None:
    # Browsers send the same header with every request.
    return (_remembered_bearer if len(value) <= LONGEST_REMEMBERED else _in_bearer)(value)


def _in_bearer(value: bytes) -> str | None:
    found = _BEARER.fullmatch(value)
    return None if found is None else str(found[1], "ascii")


_remembered_bearer = lru_cache(REMEMBERED)(_in_bearer)


def _cookie(value: bytes, name: str) -> str | None:
    # Browsers send the same cookies with every request, and taking them apart is slow.
    return (_remembered if len(value) <= LONGEST_REMEMBERED else _in_cookies)(value, name)


def _in_cookies(value: bytes, name: str) -> str | None:
    return next((each for known, each in cookies_in(value) if known == name and usable(each)), None)


_remembered = lru_cache(REMEMBERED)(_in_cookies)


def checked_token(token: object) -> StorefrontToken:
    """Return a token that an application gives.

    Raises:
        ConfigurationError: it is none that can be sent.
    """
    found = _checked(token) if isinstance(token, StorefrontToken) else None
    if found is None:
        raise ConfigurationError("This must be StorefrontToken(value), of 1 to 8192 visible ASCII characters.")
    return found


def _checked(found: object) -> StorefrontToken | None:
    if found is None:
        return None
    if isinstance(found, str):
        return _plain(found, None, None)
    if isinstance(found, StorefrontToken) and isinstance(found.value, str):
        return _plain(found.value, found.session_id, found.expires_at)
    raise ConfigurationError(
        f"A token source returned {type(found).__name__}; it must return str, StorefrontToken or None."
    )


def _plain(value: str, session_id: object, expires_at: float | None) -> StorefrontToken | None:
    """Return a token of plain values: a subclass of `str` may show itself, and compare, as something else."""
    if not isinstance(session_id, str | None):
        raise ConfigurationError("StorefrontToken(session_id=...) must be a string or None.")
    token, session = str.__str__(value), None if session_id is None else str.__str__(session_id)
    return StorefrontToken(token, session, expires_at) if usable(token) else None
