"""The shopper's token, and what is known about it without asking Emporix."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import jwt

from .checks import VISIBLE
from .model.personal import Personal

__all__ = ["USABLE", "StorefrontToken", "usable"]

# RFC 6750, section 2.1, allows less, but Emporix promises nothing about its tokens; what a header cannot carry is out.
USABLE: Final = VISIBLE + "{1,8192}"

_USABLE: Final = re.compile(USABLE)

LEEWAY: Final = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class StorefrontToken(Personal):
    """A shopper's access token, and what the application knows about it.

    Args:
        value: the token, as it goes behind ``Bearer``.
        session_id: the Emporix session it belongs to, where the application knows it for sure (from a login answer).
        expires_at: when it ends, in seconds since the epoch; nothing is served from the cache after that.
    """

    value: str
    session_id: str | None = None
    expires_at: float | None = None

    def _outline(self) -> str:
        return f"expires_at={self.expires_at}"

    def ends_at(self) -> float | None:
        """Return when to stop serving from the cache, in seconds since the epoch; `None` where nothing says so.

        The ``exp`` of a token that happens to be a JWT is read without checking its signature, so it can only make
        this earlier.
        """
        ends = [moment for moment in (_moment(self.expires_at), _unverified_exp(self.value)) if moment is not None]
        return min(ends) - LEEWAY if ends else None


def usable(token: str) -> bool:
    """Tell whether a string can be sent as a token: 1 to 8192 visible ASCII characters."""
    return _USABLE.fullmatch(token) is not None


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        moment = float(value)
    except OverflowError:
        return None
    return moment if math.isfinite(moment) and moment > 0 else None


def _unverified_exp(token: str) -> float | None:
    if token.count(".") != 2:
        return None
    try:
        claims = jwt.decode(token, options={"verify_signature": False, "verify_exp": False})
    except Exception:  # noqa: BLE001 - the token is not ours to judge, and only Emporix' answer counts
        return None
    return _moment(claims.get("exp"))
