"""One page for all guests who see the same site, currency, language and country: how caches tell such pages apart.

A cookie holds the variant that its browser sees, in clear; a cache copies it into a request header and into the key of
what it keeps. The response says that it depends on that header alone, and only where header, cookie and what the
shopper does see are one: whoever makes the header up gets a page for himself, and puts none into the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from .cookies import SECURE, cookie_attributes, cookie_headers, cookies
from .http_cache import Headers, forbids_keeping, without_targeted
from .model.fields import SWITCHES

__all__ = [
    "COOKIE",
    "HEADER",
    "Sharing",
    "brought_cookie",
    "brought_header",
    "made_shared",
    "variant_cookie",
    "variant_of",
]

COOKIE: Final = "session_variant"
HEADER: Final = "Session-Variant"
SEVERAL: Final = "?"
"""No variant: what it stands for has to be replaced."""
MONTH: Final = 30 * 86_400
WANTED: Final = HEADER.lower().encode()
NAME: Final = COOKIE.encode()
PERSONAL: Final = frozenset({"authorization", "cookie"})
"""What a response of which everybody's is the same does not vary on."""


class Sharing:
    """Whether a shop shares pages: only then browsers have variants to be kept right."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = False

    def begin(self) -> None:
        """Note that a page was to be shared."""
        self.begun = True


def variant_of(tenant: str, values: Mapping[str, str | None]) -> str:
    """Return what stands for the values that a page shows, always the same for the same.

    Args:
        tenant: whose shop.
        values: of the four switches.
    """
    return "~".join([tenant, *(_quoted(values.get(field)) for field in SWITCHES)])


def _quoted(value: str | None) -> str:
    return quote(value or "", safe="").replace("~", "%7E")


def brought_header(scope: Scope) -> str:
    """Return the variant that a cache in front has asked for; empty where there is none, or several."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == WANTED]
    return found[0] if len(found) == 1 else ""


def brought_cookie(scope: Scope) -> str:
    """Return the variant that the browser is said to see; empty where there is none, `SEVERAL` where it says two."""
    if not any(NAME in header for header in cookie_headers(scope)):
        return ""
    found = [value for name, value in cookies(scope) if name == COOKIE]
    return SEVERAL if len(found) > 1 else "".join(found)


def variant_cookie(scope: Scope, variant: str | None, *, https_only: bool) -> tuple[bytes, bytes]:
    """Return the field that has the browser keep a variant, or forget it where that is `None`.

    Args:
        scope: of the request.
        variant: what the browser sees from now on.
        https_only: whether every request counts as https.
    """
    kept = f"{COOKIE}={variant or ''}; Path=/; Max-Age={0 if variant is None else MONTH}"
    secure = https_only or scope.get("scheme") in SECURE
    return b"set-cookie", kept.encode() + cookie_attributes(secure=secure)


def made_shared(headers: Iterable[tuple[bytes, bytes]], max_age: int) -> Headers | None:
    """Return the headers of a response that caches may keep for everybody of a variant.

    Browsers ask each time: one whose shopper switches has to show that at once.

    Args:
        headers: the application's, which stay as they are.
        max_age: seconds for which shared caches may keep it.

    Returns:
        New headers, in which nothing has any cache keep it for longer; `None` where the application forbids keeping it,
        in whatever cache or for whatever part, or has the browser keep a cookie.
    """
    fields = MutableHeaders(raw=[(name.lower(), value) for name, value in headers])
    if "set-cookie" in fields or forbids_keeping(fields):
        return None
    names = [part.strip() for value in fields.getlist("vary") for part in value.split(",") if part.strip()]
    kept = [name for name in names if name.lower() not in PERSONAL]
    if "*" in kept:
        return None
    fields["vary"] = ", ".join([*kept, HEADER])
    fields["cache-control"] = f"public, max-age=0, s-maxage={max_age}"
    return without_targeted(fields)
