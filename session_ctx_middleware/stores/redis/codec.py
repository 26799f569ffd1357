"""The stored form of documents and changes: JSON with a format version, encrypted on request."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ...clock import Clock
from ...errors import ConfigurationError
from ...model.changes import NO_CHANGES, ContextChanges
from ...model.document import ContextDocument
from ...model.fields import MAX_ATTRIBUTES, SWITCHES
from ...model.frozen_json import dumps, loads
from ...model.operation import SOMEHOW, Operation, Taken
from ...model.packing import AHEAD, moment_of, pack, tenths_of, took_of, unpack
from ..protocol import Notice

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Codec", "EncryptionKey", "number_of", "text_of"]

EncryptionKey: TypeAlias = "bytes | str | Sequence[bytes | str]"

FORMAT: Final = 1
KEY_BYTES: Final = 32
MAX_DIGITS: Final = 20
NONCE_BYTES: Final = 12
MAX_FIELDS: Final = 4 * (MAX_ATTRIBUTES + len(SWITCHES))
"""Parked changes that are read of one session: far more than anybody could have parked."""
MAX_TAKEN: Final = 128 * 1024
"""Characters of the changes of a notice: several times what fits into the attributes of a context."""
MAX_DOCUMENT: Final = 1024 * 1024
"""Characters of a stored document: four times what Emporix may answer."""
TOOK: Final = 8
"""Where a change of a notice says how many tenths of a second its answer took; one that was packed has no more."""
LINK: Final = "session"
"""The field, beside those of parked changes, that names the session of a token."""
SESSION_NAME: Final = re.compile(r"session-[0-9a-f]{32}")


def text_of(raw: object) -> str:
    """Return what Redis sent as text; a client may decode by itself, or not."""
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def number_of(raw: object) -> int:
    """Return a whole number that Redis sent.

    Raises:
        ValueError: it is none, or none that one could have counted to.
    """
    number = int(text_of(raw)[:MAX_DIGITS])
    if abs(number) >= 2**53:
        raise ValueError("not a number of ours")
    return number


class Cipher(Protocol):
    """Encrypts and decrypts texts."""

    def encrypt(self, key: str, text: str) -> str:
        """Return the stored form of a text."""
        ...

    def decrypt(self, key: str, raw: str) -> str:
        """Return the text, or raise `ValueError`."""
        ...


class _NoCipher:
    def encrypt(self, key: str, text: str) -> str:
        del key
        return text

    def decrypt(self, key: str, raw: str) -> str:
        del key
        return raw


class _AesGcm:
    """AES-256-GCM with random nonces of 96 bits (NIST SP 800-38D, section 8.2.2).

    The name of the Redis key is authenticated too, so that a value that was copied elsewhere does not decrypt there.

    Args:
        keys: 32 bytes each; the first one encrypts, all of them decrypt.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers: list[AESGCM] = [_cipher(key) for key in keys]

    def encrypt(self, key: str, text: str) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + self._ciphers[0].encrypt(nonce, text.encode(), key.encode())).decode()

    def decrypt(self, key: str, raw: str) -> str:
        from cryptography.exceptions import InvalidTag

        try:
            encrypted = base64.b64decode(raw, validate=True)
        except binascii.Error:
            raise ValueError("not encrypted") from None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], key.encode()).decode()
            except InvalidTag:
                continue
        raise ValueError("encrypted with another key, or for another place")


class Codec:
    """Encodes and decodes values.

    Args:
        encryption_key: 32 bytes, or their base64 text, or several of these; `None`: nothing is encrypted.
        clock: where time comes from.

    Raises:
        ConfigurationError: the key cannot work, or the package ``cryptography`` is missing.
    """

    def __init__(self, encryption_key: EncryptionKey | None, clock: Clock) -> None:
        self._clock = clock
        self.unreadable = 0
        """How often a stored change could not be read."""
        self._cipher: Cipher = _NoCipher() if encryption_key is None else _AesGcm(_keys(encryption_key))

    def document_text(self, key: str, document: ContextDocument) -> str:
        """Return what is stored for a document under a key."""
        return self._cipher.encrypt(key, f"{_head(key)}{dumps(document.to_wire())}}}")

    def document(self, key: str, raw: object) -> ContextDocument | None:
        """Return a stored document; `None` where it cannot be read, or was stored in another format or place."""
        head = _head(key)
        try:
            if not isinstance(raw, bytes | str) or len(raw) > MAX_DOCUMENT:
                return None
            text = self._cipher.decrypt(key, text_of(raw))
            if not (text.startswith(head) and text.endswith("}")):
                return None
            return ContextDocument.parse(text[len(head) : -1])
        except ValueError:
            return None

    def fields(self, key: str, changes: ContextChanges) -> Iterable[tuple[str, float, str, str]]:
        """Yield path, time, operation id and stored form of each change."""
        for path, value, op_id, at, _, *more in pack(changes):
            place = _place(key, str(path))
            field = [FORMAT, at, op_id, self._cipher.encrypt(place, dumps(value)), *more]
            yield str(path), changes.operations[str(path)].at, str(op_id), json.dumps(field, separators=(",", ":"))

    def changes(self, key: str, fields: Mapping[object, object]) -> ContextChanges:
        """Return stored changes without those that cannot be read."""
        found = ContextChanges()
        for name, raw in islice(fields.items(), MAX_FIELDS):
            path = text_of(name)
            try:
                found = found if path == LINK else self._change(key, path, text_of(raw)).over(found)
            except ValueError:
                self.unreadable += 1
        return found

    def taken_text(self, notice: Notice, taken: ContextChanges) -> str:
        """Return the form in which the changes of a notice are sent; all of them were taken with its floor."""
        packed = [
            [*change, *_how(operation)]
            for change, operation in zip(pack(taken), taken.operations.values(), strict=True)
        ]
        return self._cipher.encrypt(_of_notice(notice), dumps([FORMAT, packed]))

    def taken(self, notice: Notice, raw: object) -> ContextChanges:
        """Return the changes of a notice that says nothing of them yet; none where they cannot be read."""
        changes = NO_CHANGES
        try:
            for packed in self._sent(notice, raw):
                changes = self._taken(notice, packed).over(changes)
        except ValueError:
            return NO_CHANGES
        return changes

    def _sent(self, notice: Notice, raw: object) -> Sequence[object]:
        if not isinstance(raw, str) or len(raw) > MAX_TAKEN:
            raise ValueError("not changes of a notice")
        sent = loads(self._cipher.decrypt(_of_notice(notice), raw))
        if not isinstance(sent, list) or len(sent) != 2 or sent[0] != FORMAT or not isinstance(sent[1], list):
            raise ValueError("another format")
        return sent[1][:MAX_FIELDS]

    def _taken(self, notice: Notice, packed: object) -> ContextChanges:
        if not isinstance(packed, list) or len(packed) < 2 or not isinstance(packed[-1], str):
            raise ValueError("not a change that was taken")
        *change, at, replaced = packed
        took = took_of(change[TOOK]) if len(change) > TOOK else 0.0
        wall = self._clock.time()
        at, replaced = min(moment_of(at), wall + AHEAD), replaced[:MAX_DIGITS]
        taken = Taken(notice.floor, notice.identity, at, replaced, took, told=True)
        found = unpack([change], now=self._clock.monotonic(), wall=wall)
        return ContextChanges({path: replace(each, taken=taken) for path, each in found.operations.items()})

    def link(self, key: str, session: str) -> tuple[str, str]:
        """Return the field that names the session of a token, and its stored form."""
        return LINK, self._cipher.encrypt(_place(key, LINK), session)

    def linked(self, key: str, fields: Mapping[object, object]) -> str:
        """Return the name of the session of a token; empty where none is stored, or none that can be believed."""
        raw = next((raw for name, raw in islice(fields.items(), MAX_FIELDS) if text_of(name) == LINK), None)
        if raw is None:
            return ""
        try:
            name = self._cipher.decrypt(_place(key, LINK), text_of(raw))
        except ValueError:
            return ""
        return name if SESSION_NAME.fullmatch(name) else ""

    def _change(self, key: str, path: str, raw: str) -> ContextChanges:
        field = loads(raw)
        if not isinstance(field, list) or len(field) < 4 or field[0] != FORMAT or not isinstance(field[3], str):
            raise ValueError("another format")
        value, more = loads(self._cipher.decrypt(_place(key, path), field[3])), field[4:]
        packed = [path, value, field[2], field[1], -1, *more]
        return unpack([packed], now=self._clock.monotonic(), wall=self._clock.time())


def _how(operation: Operation) -> tuple[int, float, str]:
    taken = operation.taken or SOMEHOW
    return tenths_of(taken.took), taken.at, taken.replaced


def _of_notice(notice: Notice) -> str:
    """Return what the changes of a notice are encrypted for: they count for nobody else."""
    return "\x1f".join(("notice", notice.identity, str(notice.floor), *notice.names))


def _head(key: str) -> str:
    """Return how a document's JSON begins: with its key, so that one that was copied elsewhere is not taken there."""
    return f'{{"format":{FORMAT},"key":{dumps(key)},"document":'


def _place(key: str, path: str) -> str:
    """Return the name that a parked change is encrypted for."""
    return f"{key}\x1f{path}"


def _keys(given: object) -> list[bytes]:
    several = [given] if isinstance(given, bytes | str) else list(given) if isinstance(given, list | tuple) else []
    if not several:
        raise ConfigurationError("encryption_key must be 32 bytes, their base64 text, or a sequence of these.")
    return [_key(each) for each in several]


def _key(given: object) -> bytes:
    key = given
    if isinstance(given, str):
        try:
            key = base64.b64decode(given.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = None
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise ConfigurationError(
            "encryption_key must be 32 random bytes or their base64 text, such as "
            "base64.b64encode(secrets.token_bytes(32)) gives."
        )
    return key


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise ConfigurationError(
            "encryption_key needs the package cryptography: pip install 'session-ctx-middleware[encryption]'."
        ) from None
    return AESGCM(key)
