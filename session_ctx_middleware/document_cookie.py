"""The travelling document as a cookie: sealed for one token, opened only where a worker knows nothing fresh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.types import Scope

from .checks import cookie_name
from .clock import Clock
from .cookies import SECURE, cookie_attributes, cookie_headers, cookies_in
from .document_codec import Sealed, decoded, digest, encoded
from .engine import Travelled
from .events import ContextEvent, Events
from .model.document import ContextDocument
from .sealing import Keyring, Sealer, tenant_tag

__all__ = [
    "DOCUMENT",
    "MAX_CARRIED",
    "MAX_SET",
    "NOT_LOOKED_FOR",
    "PASSED_OVER",
    "BroughtDocument",
    "DocumentCookies",
    "held_after",
]

DOCUMENT: Final = b"doc"
"""How its name goes on after the tag of the tenant, where those of notes have 16 hexadecimal digits."""
PURPOSE: Final = "travelling document"
AHEAD: Final = 2.0
"""Seconds by which another host's clock may be ahead: its document counts as asked for just now, later ones as bent."""
NEWER: Final = 1.0
"""Seconds between two moments that are told apart: clocks are set now and then."""
MAX_READ: Final = 4096
MAX_VALUES: Final = 4
BEFORE: Final = b"; \t"
MAX_SET: Final = 3 * 1024
"""Bytes of ``Set-Cookie`` in one response: proxies take 4 KiB of response header for everything."""
MAX_CARRIED: Final = 6 * 1024
"""Bytes of cookies that a browser is to bring: proxies take 8 KiB of request header for everything."""
REMEMBERED: Final = 1024
ATTRIBUTES: Final = 80
TAIL: Final = 24
"""Characters at the end of a sealed text that tell it from others: they are of the tag that authenticates it."""

PASSED_OVER: Final = frozenset({"of another token", "from before a logout", "too old"})
"""Reasons for which a document counts for nothing though nothing is wrong with it."""

V = TypeVar("V")


@dataclass(slots=True, repr=False)
class BroughtDocument:
    """The document cookie of one request.

    Args:
        values: all values of its name, as the browser sent them.
        opened: whether somebody has wanted to know what is in it.
        ignored: why that counts for nothing; empty where it does count, or was not opened.
    """

    values: tuple[bytes, ...] = ()
    opened: bool = False
    ignored: str = ""

    def was_opened(self, ignored: str) -> None:
        """Note that it was opened, and why it is not believed."""
        self.opened, self.ignored = True, ignored


NOT_LOOKED_FOR: Final = BroughtDocument()


class DocumentCookies:
    """Seals documents for browsers, and opens what they bring.

    Args:
        keyring: the shop's secrets.
        tenant: whose documents.
        base_url: of which platform.
        name: what all names begin with; on https that gets the prefix ``__Host-`` (RFC 6265bis, section 4.1.3.2).
        https_only: treat every request as https.
        max_bytes: of the cookie, name and value.
        longest: seconds after which nobody uses a document any more.
        clock: where time comes from.
        events: who is told of a document that is too large.

    Raises:
        ConfigurationError: there is no secret, or the package ``cryptography`` is missing.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        tenant: str,
        base_url: str,
        name: str,
        https_only: bool,
        max_bytes: int,
        longest: float,
        clock: Clock,
        events: Events,
    ) -> None:
        bare = f"{cookie_name(name, 'cookie_name=...', bare=True)}.{tenant_tag(tenant, base_url)}".encode() + DOCUMENT
        self._names = (bare, b"__Host-" + bare)
        self._sealer = keyring.sealer(PURPOSE)
        self._https_only = https_only
        self._max_bytes = max_bytes
        self._longest = longest
        self._clock = clock
        self._events = events
        self._known: dict[bytes, Sealed] = {}
        """What is known of cookies that were sealed or opened here, by the end of their values."""
        self._last: dict[bytes, tuple[Sealed, bytes]] = {}
        """The last one sealed for each token, empty if it was too large: who keeps no cookies gets the same again."""

    # In

    def find(self, scope: Scope) -> BroughtDocument:
        """Return the cookie of a request, unopened."""
        name = self._name(scope)
        values: list[bytes] = []
        for header in cookie_headers(scope):
            if name in header:
                values += values_of(name, header)
        return BroughtDocument(tuple(values[:MAX_VALUES]))

    def open(self, scope: Scope, brought: BroughtDocument, token: str, era: int) -> Travelled | None:
        """Return what a browser brought for a token; `None`, and a note why, where it counts for nothing.

        Args:
            scope: of the request.
            brought: its cookie.
            token: of the request.
            era: how often its shopper has logged out.
        """
        name = self._name(scope)
        every = [sealed for value in brought.values if (sealed := self._opened(name, value)) is not None]
        believed = [sealed for sealed in every if not self._why_not(sealed, token, era)]
        if not believed:
            brought.was_opened(self._why_not(every[0], token, era) if every else "unreadable")
            return None
        brought.was_opened("")
        latest = max(believed, key=lambda sealed: sealed.order)
        return Travelled(latest.document, max(0.0, self._clock.time() - latest.asked_at), latest.asked_on)

    def _why_not(self, sealed: Sealed, token: str, era: int) -> str:
        """Return why a document counts for nothing; empty where it does count."""
        if sealed.token != digest(token):
            return "of another token"
        if sealed.era < era:
            return "from before a logout"
        age = self._clock.time() - sealed.asked_at
        if age < -AHEAD:
            return "from the future"
        return "too old" if age >= self._longest else ""

    def _opened(self, name: bytes, value: bytes) -> Sealed | None:
        if len(name) + len(value) > MAX_READ:
            return None
        payload = self._sealer.open(value.decode("latin-1"), name.decode("latin-1"))
        sealed = None if payload is None else decoded(payload)
        if sealed is not None:
            remember(self._known, value[-TAIL:], sealed)
        return sealed

    # Out

    def is_current(self, brought: BroughtDocument, document: ContextDocument | None, era: int) -> bool:
        """Tell, at the price of a look-up, whether a browser has the very document that is shown here.

        Args:
            brought: the cookie of the request.
            document: what is shown.
            era: how often the shopper has logged out.
        """
        if len(brought.values) != 1:
            return False
        known = self._known.get(brought.values[0][-TAIL:])
        return known is not None and known.document is document and known.era >= era

    def is_later(self, brought: BroughtDocument, travelled: Travelled, token: str, era: int) -> bool:
        """Tell whether a document is of more use to a browser than what it brought, as far as that is known unopened.

        Args:
            brought: the cookie of the request.
            travelled: what the browser may take along.
            token: of the request.
            era: how often its shopper has logged out.
        """
        if not brought.values or brought.ignored:
            return True
        known = self._known.get(brought.values[0][-TAIL:])
        if known is None:
            return False
        if self._why_not(known, token, era):
            return True
        return (travelled.document.version, self._moment(travelled) - NEWER) > known.order

    def set(self, scope: Scope, travelled: Travelled, token: str, era: int) -> bytes | None:
        """Return the value of ``Set-Cookie`` that has a browser take a document along; `None` where it is too large.

        Args:
            scope: of the request.
            travelled: the document.
            token: that it is of.
            era: how often the shopper has logged out.
        """
        name = self._name(scope)
        key = name + digest(token).encode()
        sealed, value = self._last.get(key) or (None, b"")
        if sealed is None or sealed.document is not travelled.document or sealed.era != era:
            sealed = Sealed(travelled.document, self._moment(travelled), digest(token), era, travelled.asked_on)
            value = self._sealed(name, sealed)
            remember(self._last, key, (sealed, value))
        if not value:
            return None
        seconds = max(1, round(self._longest - travelled.age))
        return name + b"=" + value + b"; Path=/; Max-Age=%d" % seconds + self._attributes(name)

    def clear(self, scope: Scope) -> bytes:
        """Return the value of ``Set-Cookie`` that has a browser forget what it has."""
        name = self._name(scope)
        return name + b"=; Path=/; Max-Age=0" + self._attributes(name)

    def size(self, scope: Scope, brought: BroughtDocument, header: bytes | None) -> int:
        """Return the bytes that a browser is to send for its document from now on.

        Args:
            scope: of the request.
            brought: what it has.
            header: what the response sets, if anything.
        """
        if header is not None:
            return len(header.partition(b";")[0])
        return sum(len(self._name(scope)) + 1 + len(value) for value in brought.values)

    def _sealed(self, name: bytes, sealed: Sealed) -> bytes:
        """Return the value of a cookie, nothing where it would be too large."""
        payload = encoded(sealed)
        if len(name) + 1 + Sealer.length(len(payload)) > min(self._max_bytes, MAX_SET - ATTRIBUTES):
            self._events.emit(ContextEvent(name="document.left_out", operation="respond", outcome="too large"))
            return b""
        value = self._sealer.seal(payload, name.decode("latin-1")).encode()
        remember(self._known, value[-TAIL:], sealed)
        return value

    def _moment(self, travelled: Travelled) -> float:
        return self._clock.time() - travelled.age

    def _name(self, scope: Scope) -> bytes:
        return self._names[self._https_only or scope.get("scheme") in SECURE]

    def _attributes(self, name: bytes) -> bytes:
        return cookie_attributes(secure=name == self._names[1])


def held_after(brought: Mapping[bytes, int], headers: Iterable[bytes]) -> int:
    """Return the bytes of cookies that a browser has after a response.

    Args:
        brought: those that it had, and their bytes.
        headers: the values of ``Set-Cookie``.
    """
    sizes = dict(brought)
    for header in headers:
        pair = header.partition(b";")[0]
        name, _, value = pair.partition(b"=")
        sizes[name] = len(pair) if value else 0
    return sum(sizes.values())


def values_of(name: bytes, header: bytes) -> list[bytes]:
    """Return the values of the cookies of one name: there is one mostly, and nothing to take apart."""
    start = header.find(name + b"=")
    end = start + len(name) + 1
    if header.count(name) == 1 and start >= 0 and (start == 0 or header[start - 1] in BEFORE):
        value = header[end:].partition(b";")[0].strip()
        if not value.startswith(b'"'):
            return [value]
    text = name.decode("latin-1")
    return [value.encode("latin-1", "replace") for key, value in cookies_in(header) if key == text]


def remember(known: dict[bytes, V], key: bytes, value: V) -> None:
    """Keep a value, and not too many of them."""
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value
