"""Keys for every purpose out of the shop's secrets, and texts that only their holders can read.

One secret serves several purposes, tenants and platforms; none of them can be played off against another, because each
has keys of its own (HKDF, RFC 5869).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets as randomness
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from .errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = [
    "Keyring",
    "Sealer",
    "base64_length",
    "can_encrypt",
    "fingerprint",
    "hkdf",
    "require_encryption",
    "tenant_tag",
]

LABEL: Final = "session_ctx_middleware"
FORMAT: Final = b"\x01"
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 4
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
HEAD_BYTES: Final = len(FORMAT) + KEY_ID_BYTES
TENANT_TAG_LENGTH: Final = 8
HASH_BYTES: Final = sha256().digest_size
MOST_BLOCKS: Final = 255


class Keyring:
    """The secrets of one middleware, and the keys that are derived from them.

    Args:
        secrets: 32 bytes or more each, newest first.
        tenant: the tenant.
        base_url: where Emporix is; a slash at its end makes no difference.
    """

    def __init__(self, secrets: Sequence[bytes], tenant: str, base_url: str) -> None:
        self._secrets = tuple(secrets)
        self._place = (tenant, base_url.rstrip("/"))

    def signing_keys(self, purpose: str) -> list[bytes]:
        """Return the keys of a purpose for HS256, 32 bytes each, newest first: the first signs, all of them verify."""
        return self._derived("sign", purpose, KEY_BYTES)

    def sealer(self, purpose: str) -> Sealer:
        """Return what seals and opens texts of a purpose.

        Raises:
            ConfigurationError: there is no secret, or the package ``cryptography`` is missing.
        """
        if not self._secrets:
            raise ConfigurationError(
                "What browsers or stores keep sealed (StorefrontSessions, continuity=...) needs secret_key=..., such "
                "as secrets.token_urlsafe(32) makes, the same on every worker."
            )
        keys = self._derived("seal", purpose, KEY_BYTES)
        return Sealer(keys, self._derived("key id", purpose, KEY_ID_BYTES), _unambiguous("seal", purpose, *self._place))

    def _derived(self, use: str, purpose: str, length: int) -> list[bytes]:
        info = _unambiguous(use, purpose, *self._place)
        return [hkdf(secret, salt=LABEL.encode(), info=info, length=length) for secret in self._secrets]


class Sealer:
    """Encrypts and authenticates short texts: AES-256-GCM with random nonces (NIST SP 800-38D, section 8.2.2).

    A sealed text names its key by four bytes, so that the right one is found at once while keys are rotated. One key is
    good for 2**32 texts (section 8.3): a thousand a second for seven weeks.

    Args:
        keys: 32 bytes each; the first one seals, all of them open.
        key_ids: the names of the keys.
        place: what the texts are for; a text opens nowhere else.
    """

    def __init__(self, keys: Sequence[bytes], key_ids: Sequence[bytes], place: bytes) -> None:
        require_encryption("Sealing")
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._bent = InvalidTag
        self._ciphers: list[tuple[bytes, AESGCM]] = [
            (FORMAT + key_id, AESGCM(key)) for key_id, key in zip(key_ids, keys, strict=True)
        ]
        self._place = place

    def seal(self, data: bytes, name: str) -> str:
        """Return `data` as text that is safe in URLs and cookies.

        Args:
            data: what nobody else is to read.
            name: of the cookie, or of whatever keeps the text; it opens under no other name.
        """
        head, cipher = self._ciphers[0]
        nonce = randomness.token_bytes(NONCE_BYTES)
        return _text(head + nonce + cipher.encrypt(nonce, data, self._about(head, name)))

    @staticmethod
    def length(size: int) -> int:
        """Return how many characters so many bytes take when they are sealed."""
        return base64_length(HEAD_BYTES + NONCE_BYTES + size + TAG_BYTES)

    def open(self, text: str, name: str) -> bytes | None:
        """Return what was sealed under this name, `None` for anything bent, foreign, cut short or of an unknown key."""
        raw = _bytes(text)
        if raw is None or len(raw) < HEAD_BYTES + NONCE_BYTES + TAG_BYTES:
            return None
        head, nonce = raw[:HEAD_BYTES], raw[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES]
        about = self._about(head, name)
        # Several, because two keys may have one name, though they hardly ever do.
        for cipher in [cipher for known, cipher in self._ciphers if known == head]:
            try:
                return cipher.decrypt(nonce, raw[HEAD_BYTES + NONCE_BYTES :], about)
            except self._bent:
                continue
        return None

    def _about(self, head: bytes, name: str) -> bytes:
        # The first two say themselves where they end.
        return head + self._place + name.encode("utf-8", "surrogatepass")


def require_encryption(what: str) -> None:
    """Raise a `ConfigurationError` where the package ``cryptography`` is missing.

    Args:
        what: needs it, for the text.
    """
    if not can_encrypt():
        raise ConfigurationError(
            f"{what} needs the package cryptography: pip install 'session-ctx-middleware[encryption]'."
        )


def can_encrypt() -> bool:
    """Tell whether the package ``cryptography`` is there."""
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401 - whether it is there
    except ImportError:
        return False
    return True


def tenant_tag(tenant: str, base_url: str) -> str:
    """Return 8 characters for the names of a tenant's cookies: no secret is in it, so that new keys rename nothing.

    Args:
        tenant: the tenant.
        base_url: where Emporix is; a slash at its end makes no difference.
    """
    return fingerprint("tenant tag", tenant, base_url.rstrip("/"))[:TENANT_TAG_LENGTH]


def fingerprint(*parts: str) -> str:
    """Return 64 characters that stand for texts, and tell nothing about one among them that nobody can guess."""
    return sha256(_unambiguous(*parts)).hexdigest()


def hkdf(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """Return a key derived from a secret: HKDF with SHA-256 (RFC 5869, section 2).

    Args:
        secret: the input keying material.
        salt: need not be secret, and may be empty.
        info: what the key is for.
        length: bytes to return, at most 8160.
    """
    if not 0 < length <= MOST_BLOCKS * HASH_BYTES:
        raise ValueError("HKDF gives 1 to 8160 bytes")
    extracted = hmac.digest(salt or bytes(HASH_BYTES), secret, "sha256")
    block, expanded = b"", b""
    for number in range(1, -(-length // HASH_BYTES) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        expanded += block
    return expanded[:length]


def base64_length(size: int) -> int:
    """Return how many characters so many bytes take in base64 without padding (RFC 4648, section 3.2)."""
    return (4 * size + 2) // 3


def _unambiguous(*parts: str) -> bytes:
    """Return texts as one, which shows where each of them ends."""
    return json.dumps([LABEL, *parts]).encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    """Return the bytes of a text, `None` unless it is the one way to write them."""
    try:
        # Not `base64.urlsafe_b64decode`, which passes over what is none of its characters.
        standard = text.encode("ascii").translate(_STANDARD) + b"=" * (-len(text) % 4)
        raw = binascii.a2b_base64(standard, strict_mode=True)
    except ValueError:
        return None
    # Bits that are left over at the end may be anything in other ways to write it.
    return raw if text.endswith(_text(raw[len(raw) // 3 * 3 :])) else None


_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
"""From the alphabet that is safe in URLs (RFC 4648, section 5) to that of `binascii`, which knows no other."""
