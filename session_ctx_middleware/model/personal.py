"""What belongs to one shopper, and must never be taken for what belongs to another one."""

from __future__ import annotations

import secrets

__all__ = ["Personal"]

RANDOM_BYTES = 8


class Personal:
    """Has a `repr` that tells no value and is never the same twice, as cache decorators build their keys from it.

    The address that Python would put there is that of another shopper's object a moment later.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        outline = self._outline()
        return f"<{type(self).__name__} {outline}{' ' if outline else ''}{secrets.token_hex(RANDOM_BYTES)}>"

    def _outline(self) -> str:
        """Return what may be said to everybody."""
        return ""
