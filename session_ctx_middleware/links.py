"""Links for search engines: which address of a page is meant, and where it is in other languages."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from .addresses import ARRIVED, Host, Page, UrlPrefix, Values, page_at, spelt_path, spelt_query
from .errors import ConfigurationError
from .same_origin import checked_origin

__all__ = ["Links", "PageLinks"]

X_DEFAULT: Final = "x-default"
OF_SEGMENTS: Final = ":@!$&'()*+,;=-._~"
"""What stands for itself in a segment of a path (RFC 3986, section 3.3)."""
SCRIPT: Final = re.compile("[A-Za-z]{4}")
LONGEST_QUERY: Final = 2048
"""Characters of what is asked of a page, as it is told: a longer one makes no page that is worth finding."""
REGION: Final = re.compile("[A-Za-z]{2}|[0-9]{3}")


class Links(NamedTuple):
    """What search engines are told of a page.

    Attributes:
        canonical: the address that is meant, however the page was asked for.
        alternates: where it is for readers of each language (BCP 47), itself included, and for all others: `x-default`.
    """

    canonical: str
    alternates: Mapping[str, str]


class PageLinks:
    """Tells where a page is in other languages, as its addresses say them; from each of these it tells the same.

    Args:
        addresses: the `resolution.UrlPrefix` or `resolution.Host` of the middleware. Those of its addresses that name a
            language are told, with the country where they name that, too (``target_location``).
        origin: of a shop with prefixes: ``"https://shop.example"``. A request's own word of its host is not taken:
            caches would show it to everybody. A shop with hosts has these, on https.
        query: names of parameters that make another page of it, such as ``["page"]``; all others are left out, and
            so are these where they take more than 2,048 characters.
        default: prefix or host for readers of all other languages; the first one with a language where that is left
            out, ``""`` for the page without a prefix.

    Raises:
        ConfigurationError: a value cannot work, no address names a language, or two name the same.
    """

    def __init__(
        self,
        addresses: UrlPrefix | Host,
        *,
        origin: str | None = None,
        query: Collection[str] = (),
        default: str | None = None,
    ) -> None:
        self._addresses = addresses
        self._origin = _checked_origin(addresses, origin)
        self._query = _checked_query(query)
        versions: dict[str, str | None] = {**_by_tag(addresses.versions)}
        versions[X_DEFAULT] = next(iter(versions.values())) if default is None else _checked_default(addresses, default)
        self._versions = versions

    def of(self, connection: HTTPConnection) -> Links | None:
        """Return the links of the page that a request is for.

        Args:
            connection: the request.

        Returns:
            `None` for a page whose address names no language, and for one that shows an error: one that no route
            leads to, or that is made while an `HTTPException` is handled (by an async function: threads see none).
        """
        if _shows_an_error(connection.scope):
            return None
        scope = {**connection.scope, **connection.scope.get(ARRIVED, {})}
        host = connection.headers.get("host", "")
        page = page_at(spelt_path(scope), root=scope.get("root_path", ""), host=host)
        version = self._addresses.version_of(page)
        if version not in self._versions.values():
            return None
        asked = self._asked(spelt_query(scope))
        return Links(self._url(page, version, asked), self._all(page, asked))

    def alternates(self, page: str, *, root: str = "") -> Mapping[str, str]:
        """Return where a page is for readers of each language, for site maps.

        Args:
            page: its path, with or without a prefix, and its query: ``"/products?page=2"``.
            root: where the application is mounted.

        Returns:
            Absolute URLs by language tag and under ``x-default``.

        Raises:
            ValueError: that is no path.
        """
        path, _, query = page.partition("#")[0].partition("?")
        if not path.startswith("/"):
            raise ValueError("alternates(page) takes a path, such as '/products'.")
        return self._all(page_at(root + path, root=root), self._asked(query))

    def _asked(self, query: str) -> str:
        """Return what makes another page of it, in one spelling."""
        pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
        kept = [pair for name in self._query for pair in pairs if pair[0] == name]
        asked = urlencode(kept, quote_via=quote, errors="surrogateescape")
        return f"?{asked}" if 0 < len(asked) <= LONGEST_QUERY else ""

    def _all(self, page: Page, asked: str) -> dict[str, str]:
        return {tag: self._url(page, version, asked) for tag, version in self._versions.items()}

    def _url(self, page: Page, version: str | None, asked: str) -> str:
        if self._versions[X_DEFAULT] is None:
            page = self._addresses.at(page, None)  # "/" stands for "/de" and "/de/" there: it can lead to one of them
        there = self._addresses.at(page, version)
        path = _normalized(there.root + there.path) or "/"
        return (self._origin or f"https://{version}") + path + asked


def _shows_an_error(scope: Scope) -> bool:
    # A router notes what it has found; what handles an error is given the request, and nothing of its status.
    return "endpoint" not in scope or isinstance(sys.exception(), HTTPException)


def _normalized(path: str) -> str:
    """Return the one spelling of a path that stands for all (RFC 3986, section 6.2.2)."""
    return "/".join(quote(unquote_to_bytes(segment), safe=OF_SEGMENTS) for segment in path.split("/"))


def _by_tag(versions: Mapping[str, Values]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, values in versions.items():
        if "language" in values:
            tag = _tag(values["language"], values.get("target_location"))
            if tag in found:
                raise ConfigurationError(
                    f"PageLinks(...): {found[tag]!r} and {name!r} are both for {tag}. Name a target_location that "
                    "tells them apart, or leave one of them out."
                )
            found[tag] = name
    if found:
        return found
    raise ConfigurationError(
        "PageLinks(...) wants addresses that name a language: UrlPrefix({'de': {'language': 'de'}})."
    )


def _tag(language: str, country: str | None) -> str:
    """Return a tag in its usual case (RFC 5646, section 2.1.1), with a country where it has none."""
    first, *rest = language.split("-")
    parts = [first.lower()]
    if rest and SCRIPT.fullmatch(rest[0]):
        parts.append(rest.pop(0).title())
    if rest and ((len(rest[0]) == 2 and rest[0].isalpha()) or (len(rest[0]) == 3 and rest[0].isdigit())):
        parts.append(rest.pop(0).upper())
    elif country is not None:
        parts.append(country)
    return "-".join([*parts, *(each.lower() for each in rest)])


def _checked_origin(addresses: object, origin: object) -> str | None:
    if isinstance(addresses, UrlPrefix):
        return checked_origin(origin, "PageLinks(UrlPrefix(...), origin=...)")
    if not isinstance(addresses, Host):
        raise ConfigurationError("PageLinks(...) wants the UrlPrefix(...) or Host(...) of the middleware.")
    if origin is not None:
        raise ConfigurationError("PageLinks(Host(...)) takes no origin=...: the hosts are those of the pages.")
    for name in addresses.versions:
        checked_origin(f"https://{name}", "Each host of PageLinks(Host(...)), with https:// before it,")
    return None


def _checked_query(query: object) -> tuple[str, ...]:
    if isinstance(query, str) or not isinstance(query, Collection) or not all(isinstance(each, str) for each in query):
        raise ConfigurationError("PageLinks(query=...) must be names of parameters: ['page'].")
    return tuple(dict.fromkeys(query))


def _checked_default(addresses: UrlPrefix | Host, default: object) -> str | None:
    if default == "" and isinstance(addresses, UrlPrefix):
        return None
    if isinstance(default, str) and default in addresses.versions:
        return default
    raise ConfigurationError("PageLinks(default=...) must be one of the addresses, or '' for pages without a prefix.")
