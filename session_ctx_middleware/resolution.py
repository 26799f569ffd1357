"""Where values come from besides the session: the address, a cookie, what browsers and CDNs say.

A value of the address counts more than what the shopper has chosen elsewhere, as the page says so; a cookie or a header
counts where neither the shopper nor Emporix has said anything. `SessionContext.source` names the winner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, runtime_checkable

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .addresses import ARRIVED, Host, Place, UrlPrefix, Values, at_its_address, field_name, good, is_good, page_at
from .checks import cookie_name, function, header_names
from .cookies import cookies
from .errors import ConfigurationError
from .model.fields import SWITCHES
from .model.view import NOTHING_RESOLVED, Resolved
from .navigation import is_navigation

__all__ = [
    "AcceptLanguage",
    "CookieValue",
    "CountryHeader",
    "Host",
    "Resolver",
    "Resolvers",
    "UrlPrefix",
    "arriving",
]

PLACES: Final = ("url", "cookie", "header")
LONGEST_HEADER: Final = 1024
"""Bytes of ``Accept-Language`` that are read: browsers send some hundred at most."""
MOST_RANGES: Final = 50
UNKNOWN_COUNTRIES: Final = frozenset({"XX", "T1", "A1", "A2", "AP", "EU", "ZZ"})
"""What CDNs write instead of a country: unknown, Tor, anonymous proxies, and regions."""


@runtime_checkable
class Resolver(Protocol):
    """Tells values of the session from a request.

    Attributes:
        place: where it looks, which says how much that counts: ``"url"``, ``"cookie"`` or ``"header"``.
        vary: the request headers that it reads: caches have to tell responses apart by them.
        persists: whether what it finds becomes the shopper's choice once he has opened a page.
    """

    place: Place
    vary: tuple[str, ...]
    persists: bool

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return values by field; nothing where there are none. It must not wait."""
        ...


class CookieValue:
    """One value from a cookie that the shop or another application has set.

    Args:
        name: of the cookie.
        field: ``"language"``, say.

    Raises:
        ConfigurationError: that is no name of a cookie, or no field.
    """

    place: Place = "cookie"
    vary: tuple[str, ...] = ("Cookie",)
    persists = False

    def __init__(self, name: str, field: str) -> None:
        self._name = cookie_name(name, "CookieValue(name)")
        self._field = field_name(field, "CookieValue(field=...)")

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the value of the first cookie of that name that can be one."""
        for name, value in cookies(connection.scope):
            if name == self._name and is_good(self._field, value):
                return {self._field: value}
        return {}


class AcceptLanguage:
    """The language that the browser prefers of those that the shop speaks (RFC 4647, section 3.4: lookup).

    Args:
        languages: tags, such as ``["de", "fr", "en-GB"]``.

    Raises:
        ConfigurationError: one of them is no tag.
    """

    place: Place = "header"
    vary: tuple[str, ...] = ("Accept-Language",)
    persists = False

    def __init__(self, languages: Sequence[str]) -> None:
        if isinstance(languages, str) or not isinstance(languages, Sequence) or not languages:  # type: ignore[redundant-expr]
            raise ConfigurationError("AcceptLanguage(...) wants the tags of the shop's languages: ['de', 'fr'].")
        self._languages = {tag.lower(): tag for tag in (good("language", each, "AcceptLanguage") for each in languages)}

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the best language of the header."""
        header = connection.headers.get("accept-language", "")[:LONGEST_HEADER]
        for wanted in _by_preference(header):
            parts = wanted.split("-")
            while parts:
                found = self._languages.get("-".join(parts))
                if found is not None:
                    return {"language": found}
                parts.pop()
                if parts and len(parts[-1]) == 1:  # what a singleton begins goes with it
                    parts.pop()
        return {}


class CountryHeader:
    """The country that a CDN has told from the address of the browser.

    Whoever reaches the application past the CDN can write that header, too: it is good for a proposal.

    Args:
        name: of the header: ``"CF-IPCountry"``, ``"CloudFront-Viewer-Country"``.
        countries: those that the shop delivers to; all of them where that is left out.

    Raises:
        ConfigurationError: that is no header, or one of the countries is none.
    """

    place: Place = "header"
    persists = False

    def __init__(self, name: str, countries: Sequence[str] | None = None) -> None:
        self.vary: tuple[str, ...] = tuple(header_names((name,), "CountryHeader(name)"))
        self._countries = (
            None if countries is None else {good("target_location", each, "CountryHeader") for each in countries}
        )

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the country."""
        country = connection.headers.get(self.vary[0], "").upper()
        if country in UNKNOWN_COUNTRIES or not is_good("target_location", country):
            return {}
        return {"target_location": country} if self._countries is None or country in self._countries else {}


class Resolvers:
    """All resolvers of a shop.

    Args:
        resolvers: one or several; of those that look in one place, the first one that finds a value.
        failed: is told the name of the class when one of them raises.

    Raises:
        ConfigurationError: one of them is none.
    """

    def __init__(self, resolvers: object, failed: Callable[[str], None]) -> None:
        every = resolvers if isinstance(resolvers, Iterable) else (resolvers,)
        self._resolvers = [_checked(each) for each in every]
        self._failed = failed
        self.vary = tuple(dict.fromkeys(name for each in self._resolvers for name in each.vary))
        self.persists = any(each.persists for each in self._resolvers)

    def __bool__(self) -> bool:
        return bool(self._resolvers)

    def resolve(self, connection: HTTPConnection) -> Resolved:
        """Return what all of them find for a request, wherever in the application that is asked."""
        connection = HTTPConnection({**connection.scope, **connection.scope.get(ARRIVED, {})})
        found: dict[str, dict[str, str]] = {place: {} for place in PLACES}
        persisted: dict[str, str] = {}
        for each in self._resolvers:
            values = self._values(each, connection)
            new = {field: value for field, value in values.items() if field not in found[each.place]}
            found[each.place].update(new)
            persisted.update(new if each.persists else {})
        if not any(found.values()):
            return NOTHING_RESOLVED
        rest = {field: (place, value) for place in ("header", "cookie") for field, value in found[place].items()}
        goes_on = persisted if persisted and is_navigation(connection.scope) else {}
        return Resolved(url=found["url"], rest=rest, persisted=goes_on)

    def at_its_address(self, connection: HTTPConnection, target: str, changes: Values) -> str:
        """Return where a page is whose address says what the shopper has changed.

        Args:
            connection: the request that has changed it.
            target: a page of this host, with its query and fragment.
            changes: the new values by field.

        Returns:
            The same target where its address says nothing of that. Where another host says it, that follows ``//``:
            browsers go on with the scheme that they came with, whatever a proxy has told us of it.
        """
        path, query = _split(target)
        root = connection.scope.get(ARRIVED, connection.scope).get("root_path", "")
        page = asked = page_at(path, root=root, host=connection.headers.get("host", ""))
        for each in self._resolvers:
            if isinstance(each, UrlPrefix | Host):
                said = each.versions.get(each.version_of(page) or "", {})
                page = at_its_address(each, page, changes)
                changes = {field: value for field, value in changes.items() if field not in said}
        if page == asked:
            return target
        return ("" if page.host == asked.host else f"//{page.host}") + page.root + page.path + query

    def _values(self, resolver: Resolver, connection: HTTPConnection) -> dict[str, str]:
        try:
            values = resolver.resolve(connection)
            return {field: value for field, value in values.items() if field in SWITCHES and is_good(field, value)}
        except Exception as error:  # noqa: BLE001 - a resolver of the shop breaks no page
            self._failed(type(error).__name__)
            return {}


def arriving(scope: Scope) -> Scope:
    """Return a scope that remembers its path: routers inside count what they are mounted under as no part of it."""
    scope[ARRIVED] = {"path": scope["path"], "root_path": scope.get("root_path", "")}
    return scope


def _split(target: str) -> tuple[str, str]:
    """Return the path of a target, and what follows it."""
    path = target.partition("#")[0].partition("?")[0]
    return path, target[len(path) :]


def _checked(resolver: object) -> Resolver:
    if isinstance(resolver, type) or not isinstance(resolver, Resolver) or resolver.place not in PLACES:
        raise ConfigurationError(
            "resolve=... must be resolvers such as UrlPrefix({...}), Host({...}), CookieValue('lang', 'language'), "
            "AcceptLanguage(['de']) or CountryHeader('CF-IPCountry')."
        )
    header_names(resolver.vary, "The attribute vary of a resolver")
    function(resolver.resolve, "The method resolve of a resolver")
    return resolver


def _by_preference(header: str) -> list[str]:
    """Return the language ranges of a header, the preferred ones first (RFC 9110, section 12.5.4)."""
    ranges: list[tuple[float, str]] = []
    for part in header.lower().split(",", MOST_RANGES)[:MOST_RANGES]:
        tag, _, parameters = part.strip().partition(";")
        weight = _weight(parameters)
        if weight > 0 and tag.strip() not in {"", "*"}:
            ranges.append((weight, tag.strip()))
    return [tag for _, tag in sorted(ranges, key=lambda each: -each[0])]


def _weight(parameters: str) -> float:
    name, equals, value = parameters.strip().partition("=")
    if name.strip() != "q" or not equals:
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
