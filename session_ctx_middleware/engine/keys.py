"""Cache keys, and names for tokens, sessions and contexts that cannot be turned back into them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Final

__all__ = ["PROCESS_SECRET", "Keys"]

FINGERPRINT: Final = 16
NAME_BYTES: Final = 16  # half of SHA-256: what RFC 2104, section 5, asks for at least
BLOCK_BYTES: Final = sha256().block_size
PROCESS_SECRET: Final = secrets.token_bytes(32)
"""For names that never leave this process."""
REMEMBERED: Final = 4096
"""Keys of the tokens that came last: some megabytes at most, with tokens of the usual length."""


class Keys:
    """Derives names by HMAC-SHA256, so that neither a cache key nor a stored name gives a token away.

    Only the whole token counts: a claim inside it, even a verified one, never takes part, because then a forged
    token could reach somebody else's entry.

    Args:
        tenant: the tenant.
        base_url: where Emporix is.
        secret: what keys the hash; random where nobody else has to find the same names.

    Attributes:
        key: returns the cache key of a token, and remembers it: deriving it would be the largest part of a hit.
    """

    __slots__ = ("_place", "_session", "_token", "key")

    def __init__(self, tenant: str, base_url: str, secret: bytes | None = None) -> None:
        secret = secrets.token_bytes(32) if secret is None else secret
        self._place = f"{base_url}\x1f{tenant}\x1f".encode()
        self._token = _Hmac(secret, b"token\x1f" + self._place)
        self._session = _Hmac(secret, b"session\x1f" + self._place)
        self.key: Callable[[str], bytes] = lru_cache(REMEMBERED)(self._key)

    def _key(self, token: str) -> bytes:
        return self._token(token.encode())[:NAME_BYTES]

    def session(self, session_id: str) -> str:
        """Return the name of a session, under which its tokens find each other and its changes are parked."""
        return f"session-{self._session(_encoded(session_id))[:NAME_BYTES].hex()}"

    def fingerprint(self, kind: str, value: str) -> str:
        """Return what tells one value from others, the same in every process and under every secret."""
        return sha256(kind.encode() + b"\x1f" + self._place + _encoded(value)).hexdigest()[:FINGERPRINT]

    def incarnation(self, incarnation: tuple[str | None, str | None]) -> str:
        """Return what tells a context from one that was created anew (`ContextDocument.identity`)."""
        session_id, created_at = incarnation
        return self.fingerprint("context", f"{session_id}\x1f{created_at}")


class _Hmac:
    """HMAC-SHA256 of texts that begin alike, with what depends on the key worked out before (RFC 2104, section 4).

    `hmac.digest` does that work again for every text, which takes longer than all the rest of it.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes, prefix: bytes) -> None:
        block = (key if len(key) <= BLOCK_BYTES else sha256(key).digest()).ljust(BLOCK_BYTES, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block) + prefix)
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, text: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.digest()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
