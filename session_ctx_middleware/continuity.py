"""The continuity cookie: what the shopper's browser carries from one worker to the next, signed."""

from __future__ import annotations

import hmac
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import jwt
from starlette.types import Scope

from .checks import cookie_name
from .clock import Clock
from .engine import ForeignPending, Note
from .model.changes import ContextChanges
from .model.frozen_json import dumps, loads, version_of
from .model.packing import moment_of, pack, unpack

__all__ = ["NOTHING", "ContinuityCookie", "Found", "Written"]

FORMAT: Final = 1
ALGORITHM: Final = "HS256"
MAX_BYTES: Final = 3 * 1024
MAX_AGE: Final = 24 * 3600
MAX_FINGERPRINT: Final = 64
REMEMBERED: Final = 2048
LONGEST_REMEMBERED: Final = 8 * 1024
SECURE: Final = frozenset({"https", "wss"})
PURPOSE: Final = b"session_ctx_middleware continuity cookie"

_jws: Final = jwt.PyJWS()


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What was in the request.

    Args:
        note: what the cookie says, `None` where there is none that can be believed.
        ignored: why a cookie that is there is not believed; empty where it is, or where there is none.
    """

    note: Note | None = None
    ignored: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """A cookie on its way to the browser.

    Args:
        header: the value of ``Set-Cookie``; `None` where the browser has a cookie that says the same.
        note: what it says, which may be less than it was to say.
    """

    header: bytes | None
    note: Note


NOTHING: Final = Found()


class ContinuityCookie:
    """Reads and writes the cookie: a compact JWS (RFC 7515) with HS256, at most 3 KiB.

    Args:
        secrets: 32 bytes or more each; the first one signs, all of them verify.
        name: of the cookie; on https it gets the prefix ``__Host-`` (RFC 6265bis, section 4.1.3.2).
        https_only: treat every request as https, for a TLS proxy that does not say so.
        clock: where time comes from.
    """

    def __init__(self, secrets: Sequence[bytes], *, name: str, https_only: bool, clock: Clock) -> None:
        name = cookie_name(name, "cookie_name=...", bare=True)
        self._keys = [hmac.digest(secret, PURPOSE, "sha256") for secret in secrets]
        self._names = (name.encode(), b"__Host-" + name.encode())
        self._https_only = https_only
        self._clock = clock
        # One browser sends the same cookies with every request.
        self._known: dict[bytes | tuple[bytes, bytes], Found] = {}

    def read(self, scope: Scope) -> Found:
        """Return what the cookie of a request says."""
        name = self._names[self._https_only or scope.get("scheme") in SECURE]
        for header, value in scope["headers"]:
            if header == b"cookie" and name in value:
                found = self._known.get((name, value)) or self._learnt(name, value)
                if found is not NOTHING:
                    note = found.note
                    if note is not None and abs(self._clock.time() - note.issued) > MAX_AGE:
                        return Found(ignored="expired")
                    return found
        return NOTHING

    def _learnt(self, name: bytes, header: bytes) -> Found:
        value = _cookie(header, name + b"=")
        found = NOTHING
        if value is not None:
            # Other cookies come and go next to one value; a signature is checked once for all of them.
            found = self._known.get(value) or self._parsed(value)
            self._remember(value, found)
        if len(header) <= LONGEST_REMEMBERED:
            self._remember((name, header), found)
        return found

    def _remember(self, key: bytes | tuple[bytes, bytes], found: Found) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = found

    def write(self, scope: Scope, note: Note) -> Written:
        """Return the cookie that says all this, or as much as there is room for: attributes go first."""
        value = self._signed(note)
        # Of what waits, the request's own gives way first: the store can keep that for it.
        for lighter in (
            Note.without_taken_attributes,
            Note.without_own_attributes,
            Note.without_parked_attributes,
        ):
            if len(value) <= MAX_BYTES:
                break
            note = lighter(note)
            value = self._signed(note)
        return Written(self._header(scope, value, MAX_AGE), note)

    def renewed(self, scope: Scope, wanted: Note, brought: Note | None) -> Written | None:
        """Return the cookie that says what the browser should carry from now on.

        Args:
            scope: of the request.
            wanted: what it is to say.
            brought: what the browser has brought along.

        Returns:
            `None` where the browser has brought just that; a cookie without a header where it has brought as much of
            it as there is room for.
        """
        if brought is None:
            return self.write(scope, wanted)
        if wanted.says() == brought.says():
            return None
        written = self.write(scope, wanted)
        return Written(None, written.note) if written.note.says() == brought.says() else written

    def cleared(self, scope: Scope) -> bytes:
        """Return the ``Set-Cookie`` that takes the cookie away."""
        return self._header(scope, b"", 0)

    def _secure(self, scope: Scope) -> bool:
        return self._https_only or scope.get("scheme") in SECURE

    def _header(self, scope: Scope, value: bytes, seconds: int) -> bytes:
        secure = self._secure(scope)
        end = b"; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % seconds
        return self._names[secure] + b"=" + value + end + (b"; Secure" if secure else b"")

    def _signed(self, note: Note) -> bytes:
        payload = {
            "v": FORMAT,
            "i": round(note.issued, 3),
            "t": note.token,
            "s": note.session,
            "c": note.incarnation,
            "f": note.floor,
            "d": pack(note.taken),
            "n": note.complete_from,
            "p": pack(note.parked),
            "a": [[each.token, each.session, pack(each.changes)] for each in note.foreign],
        }
        return _jws.encode(dumps(payload).encode(), self._keys[0], ALGORITHM).encode()

    def _parsed(self, value: bytes) -> Found:
        if len(value) > MAX_BYTES:
            return Found(ignored="too large")
        for key in self._keys:
            try:
                payload = _jws.decode(value, key, [ALGORITHM])
            except Exception:  # noqa: BLE001, S112 - anybody can send anything; the next key may be the one
                continue
            try:
                return Found(self._read_note(loads(payload)))
            except (ValueError, TypeError, KeyError):
                return Found(ignored="unknown format")
        return Found(ignored="bad signature")

    def _read_note(self, data: object) -> Note:
        if not isinstance(data, dict) or data.get("v") != FORMAT:
            raise ValueError("another format")
        floor = data["f"]
        complete_from = data["n"]
        return Note(
            token=_text(data["t"]),
            session=_text(data["s"]),
            incarnation=_text(data["c"]),
            floor=-1 if floor == -1 else version_of(floor),
            taken=self._unpacked(data["d"]),
            complete_from=complete_from if isinstance(complete_from, int) else sys.maxsize,
            parked=self._parked(data["p"]),
            foreign=self._foreign(data["a"]),
            issued=moment_of(data["i"]),
        )

    def _foreign(self, data: object) -> tuple[ForeignPending, ...]:
        if not isinstance(data, list | tuple):
            raise ValueError("not foreign changes")
        every = (ForeignPending(_text(token), _text(session), self._parked(packed)) for token, session, packed in data)
        return tuple(each for each in every if each.changes.attributes())

    def _parked(self, packed: object) -> ContextChanges:
        return self._unpacked(packed).since(self._clock.time() - MAX_AGE)

    def _unpacked(self, packed: object) -> ContextChanges:
        return unpack(packed, now=self._clock.monotonic(), wall=self._clock.time())


def _cookie(header: bytes, start: bytes) -> bytes | None:
    """Return the value of a cookie: the first one of that name, as browsers send the more specific one first."""
    for pair in header.split(b";"):
        stripped = pair.strip()
        if stripped.startswith(start):
            return stripped[len(start) :]
    return None


def _text(value: object) -> str:
    if isinstance(value, str) and len(value) <= MAX_FINGERPRINT:
        return value
    raise ValueError("not a fingerprint")
