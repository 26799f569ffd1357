"""The continuity cookies: notes that the shopper's browser carries from one worker to the next, signed or sealed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import sha256
from typing import Final, TypeVar

import jwt
from starlette.types import Scope

from . import cbor
from .brought_notes import NOTHING, Found, Written
from .checks import cookie_name
from .clock import Clock
from .compaction import MAX_HELD, Compacted, Held, Room, beside, compact, is_compact, needed
from .cookies import SECURE, cookie_attributes, cookies_in
from .engine import NOTE_SECONDS, Notes, join
from .note_codec import decode, encode
from .on_their_way import OnTheirWay
from .policies import SMALLEST_COOKIE
from .sealing import Keyring, Sealer, base64_length, can_encrypt, tenant_tag

__all__ = ["ContinuityCookies"]

ALGORITHM: Final = "HS256"
SHORT_HEADER: Final = {"typ": None}  # which is not written then: every byte goes along with every request
PURPOSE: Final = "continuity note"
MAX_NOTES: Final = 32
MAX_CANDIDATES: Final = 64
MAX_READ: Final = 8 * 1024
MAX_SET: Final = 3 * 1024
"""Bytes of ``Set-Cookie`` in one response: proxies take 4 KiB of response header for everything."""
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
        beside: how the name of a cookie goes on that begins as theirs do and is no note; nothing where there is none.
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
        beside: bytes = b"",
    ) -> None:
        prefix = f"{cookie_name(name, 'cookie_name=...', bare=True)}.{tenant_tag(tenant, base_url)}".encode()
        self._prefixes = (prefix, b"__Host-" + prefix)
        self._keys = keyring.signing_keys(PURPOSE)
        self._seals = encrypted
        self._beside = beside
        # Who only signs opens what others have sealed: workers are told one by one to encrypt, or not to any more.
        self._sealer = keyring.sealer(PURPOSE) if encrypted or (self._keys and can_encrypt()) else None
        self._https_only = https_only
        self._max_bytes = max_bytes
        self._clock = clock
        self._on_their_way = OnTheirWay(clock)
        # One browser sends the same cookies with every request.
        self._known: dict[tuple[bytes, bytes], Found] = {}
        self._parsed: dict[tuple[bytes, bytes], Notes | str] = {}

    # In

    def read(self, scope: Scope) -> Found:
        """Return what the notes of a request say."""
        prefix = self._prefixes[self._https_only or scope.get("scheme") in SECURE]
        header = b""
        for name, value in scope["headers"]:
            if name == b"cookie":
                header = header + b"; " + value if header else value
        if not header:
            return NOTHING
        # Looked up before it is looked through: that takes three times as long.
        found = self._known.get((prefix, header))
        if found is None or self._clock.time() >= found.until:
            found = self._joined(prefix, header) if self._has_notes(prefix, header) else NOTHING
            if len(header) <= LONGEST_REMEMBERED:
                _remember(self._known, (prefix, header), found)
        return found

    def _has_notes(self, prefix: bytes, header: bytes) -> bool:
        """Tell whether the cookies whose names begin alike are more than the travelling document."""
        return header.count(prefix) > (header.count(prefix + self._beside) if self._beside else 0)

    def _joined(self, prefix: bytes, header: bytes) -> Found:
        oldest = self._clock.time() - NOTE_SECONDS
        readable: list[tuple[bytes, Notes, int]] = []
        unreadable: dict[bytes, str] = {}
        size = 0
        for name, value in _candidates(prefix, header):
            if size + len(value) > MAX_READ or len(readable) >= MAX_NOTES:
                break
            note = self._note(name, value)
            if isinstance(note, Notes) and note.ends_at <= oldest + NOTE_SECONDS:
                note = "expired"
            if isinstance(note, str):
                unreadable[name] = note
                continue
            size += len(value)
            readable.append((name, note, len(name) + len(value)))
        good = {name for name, *_ in readable}
        bad = {name: why for name, why in unreadable.items() if name not in good}
        found = Found(useless=tuple(bad), ignored=next(iter(bad.values()), ""), is_tidy=not bad)
        return self._compacted(prefix, found, readable, oldest) if readable else found

    def _compacted(
        self, prefix: bytes, found: Found, readable: Sequence[tuple[bytes, Notes, int]], oldest: float
    ) -> Found:
        """Add what was read, as far as it counts."""
        notes = join((note for _, note, _ in readable), oldest)
        ids = {noted.operation.op_id for noted in notes.operations}
        held = [Held(name, join((note,), oldest), size) for name, note, size in readable]
        if len(held) > 1:
            held = [replace(each, weight=self._weight(prefix, each, ids)) for each in held]
        brought = needed(held)
        staying = {each.name for each in brought}
        useless = (*found.useless, *dict.fromkeys(each.name for each in held if each.name not in staying))
        tidy = not useless and is_compact(brought)
        until = min(each.whole_until for each in (notes, *(note for _, note, _ in readable)))
        return replace(found, notes=notes, brought=brought, useless=useless, until=until, is_tidy=tidy)

    def _weight(self, prefix: bytes, held: Held, ids: Collection[str]) -> int:
        counts = held.notes.only(ids)
        return held.size if len(counts.operations) == len(held.notes.operations) else self._size(prefix, counts)

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

    def write(self, scope: Scope, found: Found, own: Notes | None, *, ends: bool, taken: int = 0) -> Written:
        """Return the cookies for what a response has to tell.

        What several notes have said goes into one whose name follows from what it says, so that overlapping answers
        write one and the same; what the response itself has to tell goes into a note of its own. What has no room waits
        for a later response.

        Args:
            scope: of the request.
            found: what it brought.
            own: what the response has to tell, `None` where that is nothing.
            ends: whether the shopper logs out, so that nothing that was brought stays.
            taken: bytes of the response that the session cookie takes.
        """
        most = MAX_SET - taken
        prefix = self._prefixes[self._https_only or scope.get("scheme") in SECURE]
        name = prefix + secrets.token_hex(8).encode()
        whole = own
        earlier: tuple[bytes, ...] = ()
        if own is not None and not ends:
            whole, earlier = self._on_their_way.gathered(_token(own), own, found.names, partial(self._size, prefix))
        held = Found() if ends else found
        brought, done = _to_hold(name, held, whole, self._room(prefix, found, whole, most, earlier))
        if earlier and not (whole is not None and done.tells_all_of(whole)):
            earlier = ()  # nothing of the response itself gives way for the sake of what others tell
            brought, done = _to_hold(name, held, own, self._room(prefix, found, own, most, earlier))
        headers: list[bytes] = []
        if done.own is not None and (done.own.operations or done.own.floors or done.own.left_out_at or ends):
            headers.append(self._header(prefix, name, done.own))
            self._on_their_way.sends(_token(own), name, done.own, self._size(prefix, done.own), earlier)
        staying = {each.name for each in brought} - {*done.gone}
        if done.joined is not None:
            name = prefix + _name_of_join(done.joined)
            header = self._header(prefix, name, done.joined)
            if sum(map(len, headers)) + len(header) > most or self._waits(name, done, found):
                staying |= {*done.gone}
            elif name not in done.gone:
                headers.append(header)
            staying.add(name)
        gone = [each for each in (*found.names, *earlier) if each not in staying]
        headers += self._clearings(prefix, gone, most - sum(map(len, headers)))
        return Written(tuple(headers), done.left_out)

    def _waits(self, name: bytes, done: Compacted, found: Found) -> bool:
        """Tell whether what was brought is joined later: each of several joined notes would say most of it again."""
        if done.joined is None or sum(found.sizes.values()) > MAX_HELD:
            return False
        return not self._on_their_way.joins(_token(done.joined), name, found.sizes)

    def _room(self, prefix: bytes, found: Found, own: Notes | None, most: int, earlier: tuple[bytes, ...]) -> Room:
        # So much room that the clearings of what was brought go along: else notes would pile up. Choices come first.
        cleared = CLEARING * min(len(found.brought), AT_ONCE)
        most = min(self._max_bytes, max(most - ATTRIBUTES - cleared, SMALLEST_COOKIE))
        on_its_way = self._on_their_way.size(_token(own), found.names, earlier)
        return Room(partial(self._size, prefix), most, on_its_way)

    def _clearings(self, prefix: bytes, names: Iterable[bytes], room: int) -> Iterable[bytes]:
        for name in names:
            cleared = name + b"=; Path=/; Max-Age=0" + self._attributes(prefix)
            room -= len(cleared)
            if room >= 0:
                yield cleared

    def _size(self, prefix: bytes, notes: Notes | None) -> int:
        if notes is None:
            return 0
        # A key is good for so many sealed texts only, and signing takes longer than this.
        size = len(_payload(notes))
        return len(prefix) + 16 + (Sealer.length(size) if self._seals else SIGNED + base64_length(size))

    def _header(self, prefix: bytes, name: bytes, notes: Notes) -> bytes:
        seconds = max(1, round(notes.ends_at - self._clock.time()))
        return name + b"=" + self._value(name, notes) + b"; Path=/; Max-Age=%d" % seconds + self._attributes(prefix)

    def _attributes(self, prefix: bytes) -> bytes:
        return cookie_attributes(secure=prefix == self._prefixes[1])

    def _value(self, name: bytes, notes: Notes) -> bytes:
        payload = _payload(notes)
        if self._seals and self._sealer is not None:
            return self._sealer.seal(payload, name.decode("latin-1")).encode()
        return _jws.encode(payload, self._keys[0], ALGORITHM, headers=SHORT_HEADER).encode()


# A note is measured several times before it is written; two that are equal are not taken for one.
@lru_cache(maxsize=16)
def _payload(notes: Notes) -> bytes:
    return cbor.dumps(encode(notes))


def _to_hold(name: bytes, found: Found, own: Notes | None, room: Room) -> tuple[tuple[Held, ...], Compacted]:
    """Return what is needed of the notes that a request brought, and what its response does to them."""
    brought = found.brought
    if own is not None and brought:
        brought, own = beside(brought, Held(name, own, room.size(own)))
    return brought, compact(brought, own, room)


def _candidates(prefix: bytes, header: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Yield the names and values of what may be notes, the latest first.

    Browsers send those before that were set before (RFC 6265, section 5.4), and what they say has been joined since.
    """
    start = prefix.decode("latin-1")
    found = [pair for pair in cookies_in(header) if pair[0].startswith(start)]
    for name, value in found[: -MAX_CANDIDATES - 1 : -1]:
        if _ID.fullmatch(name, len(start)):
            yield name.encode("latin-1"), value.encode("latin-1", "replace")


def _token(notes: Notes | None) -> str:
    """Return the fingerprint of the token whose changes these are; empty where there is none."""
    return "" if notes is None else next((each.token for each in notes.operations if each.token), "")


def _name_of_join(notes: Notes) -> bytes:
    return sha256(_payload(notes)).hexdigest()[:16].encode()


def _remember(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value
