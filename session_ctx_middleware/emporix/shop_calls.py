"""The calls that a shop makes to Emporix itself: which of them get what of a shopper, and which have created a cart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from ..checks import is_visible
from ..errors import TokenRejected
from ..model.personal import Personal
from .answers import READING, Answer, error_of

__all__ = ["SAAS_TOKEN", "SESSION_ID", "Given", "ShopCall", "ShopCalls", "is_refusal"]

SESSION_ID: Final = "session-id"
SAAS_TOKEN: Final = "saas-token"  # noqa: S105 - the name of a header

# Carts of guests are bound to a session; a social login may go by the header alone. Carts are made, and orders placed,
# with the customer's saas token.
_RULES: Final = (
    (SESSION_ID, "", r"/cart/{tenant}/carts(?:/.*)?"),
    (SESSION_ID, "POST", r"/customer/{tenant}/socialLogin"),
    (SAAS_TOKEN, "GET", r"/cart/{tenant}/carts"),
    (SAAS_TOKEN, "POST", r"/cart/{tenant}/carts"),
    (SAAS_TOKEN, "", r"/(?:checkout|order-v2|returns?)/{tenant}/.+"),
)
_CARTS: Final = r"/cart/{tenant}/carts"
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_WISHLIST: Final = "wishlist"
_MOST_BODY: Final = 64 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class ShopCall:
    """One call to the base address.

    Args:
        method: the HTTP method, in capitals.
        path: what follows the base address, percent-encoded.
        query: without the question mark.
    """

    method: str
    path: str
    query: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Given(Personal):
    """What a call goes out with.

    Args:
        token: goes behind ``Bearer``.
        more: further headers, that no other host may get.
    """

    token: str
    more: Mapping[str, str]


class ShopCalls:
    """Knows the calls to one base address, for one tenant.

    Args:
        base_url: a checked base address.
        tenant: the name of the tenant.
    """

    __slots__ = ("_carts", "_origin", "_prefix", "_rules")

    def __init__(self, base_url: str, tenant: str) -> None:
        parts = urlsplit(base_url)
        self._origin = (parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme])
        self._prefix = parts.path
        self._rules = [(header, method, _pattern(path, tenant)) for header, method, path in _RULES]
        self._carts = _pattern(_CARTS, tenant)

    def find(self, method: str, origin: tuple[str, str, int | None], path: str, query: str = "") -> ShopCall | None:
        """Return a call as it is seen from the base address, `None` where it goes anywhere else.

        Args:
            method: the HTTP method.
            origin: scheme, host (ASCII, without brackets) and port (`None` for that of the scheme), as the HTTP client
                understands the address: two parsers may disagree about a host (RFC 3986, section 7).
            path: percent-encoded.
            query: without the question mark.
        """
        scheme, host, port = origin
        if (scheme, host.lower(), port or _DEFAULT_PORTS.get(scheme)) != self._origin:
            return None
        if ".." in unquote(path).split("/"):  # leads out of the prefix, for whoever resolves it
            return None
        if not f"{path}/".startswith(f"{self._prefix}/"):
            return None
        return ShopCall(method.upper(), path.removeprefix(self._prefix) or "/", query)

    def find_url(self, method: str, url: object) -> ShopCall | None:
        """Do the same for an address in writing; one that parsers may disagree about goes nowhere.

        Args:
            method: the HTTP method.
            url: absolute.
        """
        if not is_visible(url) or "\\" in url:
            return None
        try:
            parts = urlsplit(url)
            origin = (parts.scheme, parts.hostname or "", parts.port)
        except ValueError:
            return None
        return None if "@" in parts.netloc else self.find(method, origin, parts.path, parts.query)

    def wanted(self, call: ShopCall) -> frozenset[str]:
        """Return the headers besides ``Authorization`` that a service wants with a call."""
        return frozenset(
            header
            for header, method, path in self._rules
            if method in {"", call.method} and path.fullmatch(call.path) is not None
        )

    def created_cart(
        self, call: ShopCall, status: int, location: str | None, body: bytes | None
    ) -> tuple[bool, str | None]:
        """Tell whether a call has created a cart of the session, or may have, and which one where the answer says so.

        A wishlist is none: it is kept beside the session's cart.

        Args:
            call: the call.
            status: of the answer.
            location: its header ``Location``.
            body: what was sent; `None` where nobody can know.
        """
        if self._carts.fullmatch(call.path) is None:
            return False, None
        query = parse_qs(call.query)
        if call.method == "GET":
            wanted = query.get("create") == ["true"] and query.get("type") != [_WISHLIST]
            return status == 200 and wanted, None
        created = call.method == "POST" and status == 201 and _type_of(body) != _WISHLIST
        return created, _name_in(location) if created and body is not None else None


def is_refusal(body: bytes) -> bool:
    """Tell whether an answer with status 401 is Emporix' own word about the token."""
    return isinstance(error_of("call", Answer(401, body), READING), TokenRejected)


def _pattern(path: str, tenant: str) -> re.Pattern[str]:
    return re.compile(path.replace("{tenant}", re.escape(tenant)))


def _type_of(body: bytes | None) -> object:
    if body is None or len(body) > _MOST_BODY:
        return None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data.get("type") if isinstance(data, dict) else None


def _name_in(location: str | None) -> str | None:
    """Return the last segment of the path that a location names."""
    if location is None:
        return None
    path = location.partition("?")[0].partition("#")[0]
    return unquote(path.rpartition("/")[2]) or None
