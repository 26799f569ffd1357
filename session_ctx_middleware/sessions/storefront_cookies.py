"""The cookies in which known Emporix storefronts keep their tokens: for what stands beside such a storefront.

Whoever has the browser can write what he likes into them; nothing is believed but what Emporix confirms. Moments in
them only ever shorten for how long something is served from the cache, and session ids in them are not used at all.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..checks import cookie_name
from ..cookies import cookies
from ..credentials import StorefrontToken, usable
from ..tokens import OwnSource

__all__ = ["EmporixSdkCookies", "ShowcaseCookie"]

CUSTOMER: Final = "emporix.customerToken"
CUSTOMER_ENDS: Final = "emporix.customerTokenExpiresAt"
GUEST: Final = "emporix.anonymousSession"
SEALED: Final = ("v1.", "enc.v1:")
LONGEST: Final = 16 * 1024
MILLISECONDS: Final = 1000.0


class EmporixSdkCookies(OwnSource):
    """Reads the cookies that the server-first mode of ``@viu/emporix-sdk-next`` sets, where it does not encrypt them.

    The customer's token counts, else that of the anonymous session. The name with ``__Host-`` counts before the one
    without, so that a cookie of another sub-domain stands for nobody.
    """

    vary = ("Cookie",)

    def __call__(self, connection: HTTPConnection) -> StorefrontToken | None:
        """Return the token, `None` where there is none that can be read."""
        found = _first_of_each(connection.scope)
        customer = _prefixed(found, CUSTOMER)
        if customer is not None:  # one that cannot be read is nobody's: not the guest's of before the login
            return _token(customer, _number(_prefixed(found, CUSTOMER_ENDS)))
        guest = _object(_prefixed(found, GUEST) or "")
        return _token(guest.get("accessToken"), _seconds(guest.get("expiresAt")))

    def __repr__(self) -> str:
        return "EmporixSdkCookies()"


class ShowcaseCookie(OwnSource):
    """Reads the cookie of Emporix' showcase storefront, where it is not encrypted: a customer's token, else a guest's.

    Args:
        tenant: the name of the tenant, which is part of the cookie's name.

    Raises:
        ConfigurationError: not part of a cookie's name.
    """

    vary = ("Cookie",)

    def __init__(self, tenant: str) -> None:
        self._name = cookie_name(f"emporix-token_{tenant}", "ShowcaseCookie(tenant)")

    def __call__(self, connection: HTTPConnection) -> StorefrontToken | None:
        """Return the token, `None` where there is none that can be read."""
        value = unquote(_first_of_each(connection.scope).get(self._name, ""))
        stored = {} if value.startswith(SEALED) else _object(_decoded(value))
        for kind in ("customerToken", "anonymousToken"):
            held = stored.get(kind)
            if isinstance(held, Mapping):
                grant = held.get("token")
                value_ = grant.get("access_token") if isinstance(grant, Mapping) else grant
                return _token(value_, _seconds(held.get("expiryAt")))
        return None

    def __repr__(self) -> str:
        return f"ShowcaseCookie({self._name.removeprefix('emporix-token_')!r})"


def _first_of_each(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in cookies(scope):
        if len(value) <= LONGEST:
            found.setdefault(name, value)
    return found


def _prefixed(found: Mapping[str, str], name: str) -> str | None:
    return found.get(f"__Host-{name}", found.get(name))


def _token(value: object, ends_at: float | None) -> StorefrontToken | None:
    if not isinstance(value, str) or not usable(value) or value.startswith(SEALED):
        return None
    return StorefrontToken(value, expires_at=ends_at)


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_" if "-" in value else None).decode()
    except ValueError:
        return ""


def _object(text: str) -> Mapping[str, object]:
    try:
        data = json.loads(unquote(text) if text.startswith("%") else text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _seconds(moment: object) -> float | None:
    """Return milliseconds since the epoch, as JavaScript counts, as seconds; what is too small for that is seconds."""
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        return None
    try:
        return moment / MILLISECONDS if moment > 1e11 else float(moment)
    except OverflowError:
        return None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() and len(text) < 20 else None
