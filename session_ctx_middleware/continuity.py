"""The continuity cookies: notes that the shopper's browser carries from one worker to the next, signed or sealed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeVar

import jwt
from starlette.types import Scope

from . import cbor
from .checks import cookie_name
from .clock import Clock
from .cookies import SECURE, cookie_attributes, cookies_in
from .engine import NOTE_SECONDS, Noted, Notes, join
from .model.document import ATTRIBUTE_PREFIX, Removed
from .model.frozen_json import dumps
from .note_codec import decode, encode
from .sealing import Keyring, Sealer, base64_length, can_encrypt, tenant_tag

__all__ = ["NOTHING", "ContinuityCookies", "Found", "Written"]

ALGORITHM: Final = "HS256"
SHORT_HEADER: Final = {"typ": None}  # which is not written then: every byte goes along with every request
PURPOSE: Final = "continuity note"
MAX_NOTES: Final = 32
MAX_CANDIDATES: Final = 64
MAX_READ: Final = 8 * 1024
MAX_HELD: Final = 4 * 1024
"""Bytes that the notes of one browser are to take: proxies take 8 KiB of request header for all cookies."""
MAX_SET: Final = 3 * 1024
"""Bytes of ``Set-Cookie`` in one response: proxies take 4 KiB of response header for everything."""
TAKEN_ATTRIBUTES: Final = 512
"""Bytes of attributes that Emporix has taken in a note that joins others."""
ATTRIBUTES: Final = 80
CLEARING: Final = 130
AT_ONCE: Final = 8
REMEMBERED: Final = 2048
LONGEST_REMEMBERED: Final = 8 * 1024

K = TypeVar("K")
V = TypeVar("V")

_ID: Final = re.compile("[0-9a-f]{16}")
_jws: Final = jwt.PyJWS()
SIGNED: Final = len(_jws.encode(b"", bytes(32), ALGORITHM, headers=SHORT_HEADER))
"""Characters of a signed note besides what it says: the header, two dots and the signature."""


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What was in the request.

    Args:
        notes: what all notes say together, `None` where there is none that can be believed.
        brought: the cookies that they came in, and how many bytes each takes.
        unreadable: the cookies that are not believed.
        ignored: why one of those is not believed; empty where there is none.
        until: until when this may be used again for the same header, in seconds since the epoch.
    """

    notes: Notes | None = None
    brought: Mapping[bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    unreadable: tuple[bytes, ...] = ()
    ignored: str = ""
    until: float = float("inf")

    @property
    def is_tidy(self) -> bool:
        """Whether the browser may keep what it brought as it is."""
        return len(self.brought) < 2 and not self.unreadable


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """Cookies on their way to the browser.

    Args:
        headers: the values of ``Set-Cookie``.
        left_out: parked changes for which there was no room.
    """

    headers: tuple[bytes, ...]
    left_out: tuple[Noted, ...] = ()


NOTHING: Final = Found()


class ContinuityCookies:
    """Reads and writes notes: compact JWS (RFC 7515) with HS256, or sealed ones.

    Args:
        keyring: the shop's secrets.
        tenant: whose notes.
        base_url: of which platform; two tenants on one host neither read nor clear each other's notes.
        name: what all names begin with; on https that gets the prefix ``__Host-`` (RFC 6265bis, section 4.1.3.2).
        https_only: treat every request as https, for a TLS proxy that does not say so.
        encrypted: whether notes are sealed instead of signed.
        max_bytes: of one cookie, name and value.
        clock: where time comes from.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        tenant: str,
        base_url: str,
        name: str,
        https_only: bool,
        encrypted: bool,
        max_bytes: int,
        clock: Clock,
    ) -> None:
        prefix = f"{cookie_name(name, 'cookie_name=...', bare=True)}.{tenant_tag(tenant, base_url)}".encode()
        self._prefixes = (prefix, b"__Host-" + prefix)
        self._keys = keyring.signing_keys(PURPOSE)
        self._seals = encrypted
        # Who only signs opens what others have sealed: workers are told one by one to encrypt, or not to any more.
        self._sealer = keyring.sealer(PURPOSE) if encrypted or (self._keys and can_encrypt()) else None
        self._https_only = https_only
        self._max_bytes = max_bytes
        self._clock = clock
        # One browser sends the same cookies with every request.
        self._known: dict[tuple[bytes, bytes], Found] = {}
        self._parsed: dict[tuple[bytes, bytes], Notes | str] = {}

    # In

    def read(self, scope: Scope) -> Found:
        """Return what the notes of a request say."""
        prefix = self._prefixes[self._https_only or scope.get("scheme") in SECURE]
        header = b""
        for name, value in scope["headers"]:
            if name == b"cookie" and prefix in value:
                header = header + b"; " + value if header else value
        if not header:
            return NOTHING
        found = self._known.get((prefix, header))
        if found is None or self._clock.time() >= found.until:
            found = self._joined(prefix, header)
            if len(header) <= LONGEST_REMEMBERED:
                _remember(self._known, (prefix, header), found)
        return found

    def _joined(self, prefix: bytes, header: bytes) -> Found:
        now = self._clock.time()
        readable: list[Notes] = []
        brought: dict[bytes, int] = {}
        unreadable: dict[bytes, str] = {}
        size = 0
        for name, value in _candidates(prefix, header):
            if size + len(value) > MAX_READ or len(readable) >= MAX_NOTES:
                break
            note = self._note(name, value)
            if isinstance(note, Notes) and note.ends_at <= now:
                note = "expired"
            if isinstance(note, str):
                unreadable[name] = note
                continue
            size += len(value)
            readable.append(note)
            brought[name] = brought.get(name, 0) + len(name) + len(value)
        bad = {name: why for name, why in unreadable.items() if name not in brought}
        why = next(iter(bad.values()), "")
        if not readable:
            return Found(unreadable=tuple(bad), ignored=why)
        notes = join(readable, now - NOTE_SECONDS)
        return Found(notes, brought, tuple(bad), why, min(each.whole_until for each in (notes, *readable)))

    def _note(self, name: bytes, value: bytes) -> Notes | str:
        """Return a note, or why it is not believed."""
        key = (name, value)
        known = self._parsed.get(key)
        if known is None:
            # A signature is checked once, whatever other cookies come and go beside it.
            known = self._checked(name, value)
            _remember(self._parsed, key, known)
        return known

    def _checked(self, name: bytes, value: bytes) -> Notes | str:
        if len(name) + len(value) > max(self._max_bytes, MAX_SET):
            return "too large"
        payload = self._payload(name, value)
        if payload is None:
            return "bad signature"
        try:
            return decode(cbor.loads(payload), now=self._clock.monotonic(), wall=self._clock.time())
        except (ValueError, TypeError, LookupError):
            return "unknown format"

    def _payload(self, name: bytes, value: bytes) -> bytes | None:
        if b"." not in value:
            return None if self._sealer is None else self._sealer.open(value.decode("latin-1"), name.decode("latin-1"))
        for key in self._keys:
            try:
                payload: bytes = _jws.decode(value, key, [ALGORITHM])
            except Exception:  # noqa: BLE001, S112 - anybody can send anything; the next key may be the one
                continue
            return payload
        return None

    # Out

    def write(self, scope: Scope, found: Found, own: Notes | None, *, ends: bool) -> Written:
        """Return the cookies for what a response has to tell.

        What several notes have said goes into one whose name follows from theirs, so that overlapping answers write
        one and the same; what the response itself has to tell goes into a note of its own. What has no room waits for
        a later response.

        Args:
            scope: of the request.
            found: what it brought.
            own: what the response has to tell, `None` where that is nothing.
            ends: whether the shopper logs out, so that nothing that was brought stays.
        """
        prefix = self._prefixes[self._https_only or scope.get("scheme") in SECURE]
        held = sum(found.brought.values())
        joins = len(found.brought) > 1 or held + self._size(prefix, own) > MAX_HELD
        joined = _lightened(found.notes) if joins and not ends and found.notes is not None else None
        # So much room that the clearings of what was brought go along: else notes would pile up.
        most = min(self._max_bytes, MAX_SET - ATTRIBUTES - CLEARING * min(len(found.brought), AT_ONCE))
        joined, own, left_out = self._fitting(prefix, joined, own, most=most, held=0 if joins or ends else held)
        if joined is not None and own is not None and not joined.operations:
            own = own.taking_over(joined)
            joined, ends = None, True
        headers: list[bytes] = []
        if own is not None and (own.operations or own.floors or ends):
            headers.append(self._header(prefix, secrets.token_hex(8).encode(), own))
        gone = [*found.unreadable]
        if joined is not None:
            header = self._header(prefix, _name_of_join(found.brought), joined)
            if sum(map(len, headers)) + len(header) <= MAX_SET:
                headers.append(header)
                gone = [*found.brought, *gone]
        elif ends:
            gone = [*found.brought, *gone]
        for name in gone:
            cleared = name + b"=; Path=/; Max-Age=0" + self._attributes(prefix)
            if sum(map(len, headers)) + len(cleared) <= MAX_SET:
                headers.append(cleared)
        return Written(tuple(headers), left_out)

    def _fitting(
        self, prefix: bytes, joined: Notes | None, own: Notes | None, *, most: int, held: int
    ) -> tuple[Notes | None, Notes | None, tuple[Noted, ...]]:
        """Return both notes with as much as there is room for, and the parked changes that go without."""
        left_out: list[Noted] = []
        while True:
            sizes = self._size(prefix, joined), self._size(prefix, own)
            if max(sizes) <= most and sum(sizes) + held <= MAX_HELD:
                break
            mine = () if own is None else own.operations
            brought = () if joined is None else joined.operations
            if not (mine or brought):
                break
            first = min((*mine, *brought), key=lambda noted: _dispensability(noted, mine=noted in mine))
            joined = None if joined is None else joined.without([first])
            own = None if own is None else own.without([first])
            if first.operation.taken is None:
                left_out.append(first)
        return joined, own, tuple(left_out)

    def _size(self, prefix: bytes, notes: Notes | None) -> int:
        if notes is None:
            return 0
        # A key is good for so many sealed texts only, and signing takes longer than this.
        size = len(_payload(notes))
        return len(prefix) + 16 + (Sealer.length(size) if self._seals else SIGNED + base64_length(size))

    def _header(self, prefix: bytes, name: bytes, notes: Notes) -> bytes:
        name = name if name.startswith(prefix) else prefix + name
        seconds = max(1, round(notes.ends_at - self._clock.time()))
        return name + b"=" + self._value(name, notes) + b"; Path=/; Max-Age=%d" % seconds + self._attributes(prefix)

    def _attributes(self, prefix: bytes) -> bytes:
        return cookie_attributes(secure=prefix == self._prefixes[1])

    def _value(self, name: bytes, notes: Notes) -> bytes:
        payload = _payload(notes)
        if self._seals and self._sealer is not None:
            return self._sealer.seal(payload, name.decode("latin-1")).encode()
        return _jws.encode(payload, self._keys[0], ALGORITHM, headers=SHORT_HEADER).encode()


def _payload(notes: Notes) -> bytes:
    return cbor.dumps(encode(notes))


def _candidates(prefix: bytes, header: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Yield the names and values of what may be notes, the latest first.

    Browsers send those before that were set before (RFC 6265, section 5.4), and what they say has been joined since.
    """
    start = prefix.decode("latin-1")
    found = [pair for pair in cookies_in(header) if pair[0].startswith(start)]
    for name, value in found[: -MAX_CANDIDATES - 1 : -1]:
        if _ID.fullmatch(name, len(start)):
            yield name.encode("latin-1"), value.encode("latin-1", "replace")


def _name_of_join(brought: Iterable[bytes]) -> bytes:
    return sha256(b" ".join(sorted(brought))).hexdigest()[:16].encode()


def _lightened(notes: Notes) -> Notes:
    """Return notes without what can be done without: several joins may be on their way at once.

    Those are attributes that Emporix has taken, but for small ones, and digests that are of no use any more.
    """
    room, heavy = TAKEN_ATTRIBUTES, []
    for noted in sorted(notes.operations, key=lambda noted: noted.operation.at, reverse=True):
        if noted.path.startswith(ATTRIBUTE_PREFIX) and noted.operation.taken is not None:
            value = noted.operation.value
            room -= len(noted.path) + (0 if isinstance(value, Removed) else len(dumps(value)))
            if room < 0:
                heavy.append(noted)
    return (notes.without(heavy) if heavy else notes).without_needless_digests()


def _dispensability(noted: Noted, *, mine: bool) -> tuple[bool, bool, bool, float]:
    """Order changes for want of room: what costs least goes first, and of that the oldest.

    The store has the attributes that the request itself has parked. Without one that Emporix has taken, documents from
    before it are not enough. One that was brought and is parked is in no other place.
    """
    attribute, parked = noted.path.startswith(ATTRIBUTE_PREFIX), noted.operation.taken is None
    return not attribute, not (parked and mine), parked, noted.operation.at


def _remember(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value
