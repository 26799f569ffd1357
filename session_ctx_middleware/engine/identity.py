"""Names for tokens and sessions that cannot be turned back into them."""

from __future__ import annotations

import hmac
import secrets

__all__ = ["Naming"]


class Naming:
    """Derives cache keys by HMAC-SHA256, so that neither a key nor a stored name gives a token away.

    Only the whole token counts: a claim inside it, even a verified one, never takes part, because then a forged
    token could reach somebody else's entry.

    Args:
        tenant: the tenant.
        base_url: where Emporix is.
        secret: what keys the hash; random per process where nothing is shared with other processes.
    """

    __slots__ = ("_secret", "_session", "_token")

    def __init__(self, tenant: str, base_url: str, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._token = f"token\x1f{base_url}\x1f{tenant}\x1f".encode()
        self._session = f"session\x1f{base_url}\x1f{tenant}\x1f".encode()

    def key(self, token: str) -> bytes:
        """Return the cache key of a token."""
        return hmac.digest(self._secret, self._token + token.encode(), "sha256")

    def session(self, session_id: str) -> str:
        """Return the name under which changes of a session are parked."""
        return hmac.digest(self._secret, self._session + session_id.encode("utf-8", "replace"), "sha256").hex()
