"""Names for tokens, sessions and contexts that cannot be turned back into them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Final

__all__ = ["Naming"]

FINGERPRINT: Final = 24
NAME_BYTES: Final = 16  # half of SHA-256: what RFC 2104, section 5, asks for at least
REMEMBERED: Final = 1024


class Naming:
    """Derives names by HMAC-SHA256, so that neither a cache key nor a stored name gives a token away.

    Only the whole token counts: a claim inside it, even a verified one, never takes part, because then a forged
    token could reach somebody else's entry.

    Args:
        tenant: the tenant.
        base_url: where Emporix is.
        secret: what keys the hash; random per process where nothing is shared with other processes.
    """

    __slots__ = ("_place", "_secret", "_token", "key")

    def __init__(self, tenant: str, base_url: str, secret: bytes | None = None) -> None:
        self._secret = secrets.token_bytes(32) if secret is None else secret
        self._place = f"{base_url}\x1f{tenant}\x1f".encode()
        self._token = b"token\x1f" + self._place
        self.key: Callable[[str], bytes] = lru_cache(REMEMBERED)(self._key)
        """Return the cache key of a token; deriving it would be the largest part of a cache hit."""

    def _key(self, token: str) -> bytes:
        return hmac.digest(self._secret, self._token + token.encode(), "sha256")[:NAME_BYTES]

    def session(self, session_id: str) -> str:
        """Return the name of a session, under which its tokens find each other and its changes are parked."""
        name = hmac.digest(self._secret, b"session\x1f" + self._place + _encoded(session_id), "sha256")
        return f"session-{name[:NAME_BYTES].hex()}"

    def fingerprint(self, kind: str, value: str) -> str:
        """Return what tells one value from others, the same in every process and under every secret."""
        return hashlib.sha256(kind.encode() + b"\x1f" + self._place + _encoded(value)).hexdigest()[:FINGERPRINT]

    def identity(self, identity: tuple[str | None, str | None]) -> str:
        """Return what tells a context from one that was created anew (`ContextDocument.identity`)."""
        session_id, created_at = identity
        return self.fingerprint("context", f"{session_id}\x1f{created_at}")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
