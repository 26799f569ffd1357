"""Values that the address of a page says, by its first segment or its host, and where else that page is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .checks import flag
from .errors import ConfigurationError, InvalidChange
from .model.fields import SWITCHES, checked_switch

__all__ = [
    "ARRIVED",
    "Host",
    "Page",
    "Place",
    "UrlPrefix",
    "Values",
    "at_its_address",
    "field_name",
    "good",
    "is_good",
    "page_at",
    "spelt_path",
    "spelt_query",
]

Place: TypeAlias = Literal["url", "cookie", "header"]
Values: TypeAlias = Mapping[str, str]

ARRIVED: Final = "session_ctx_middleware.arrived"
PORT: Final = re.compile(r":[0-9]{1,5}")
VISIBLE: Final = "".join(map(chr, range(ord("!"), ord("~") + 1))).replace("\\", "")
OF_PATHS: Final = "/:@!$&'()*+,;=-._~"
"""What stands for itself in a path (RFC 3986, section 3.3)."""


class Page(NamedTuple):
    """A page of the shop, by the parts of its address.

    Args:
        host: that was asked, with its port.
        root: where the application is mounted, as that is spelt.
        path: what follows, as it is spelt: empty, or from one ``/`` on.
    """

    host: str
    root: str
    path: str


class UrlPrefix:
    """Values by the first segment of the path: ``/de/cart``.

    Args:
        values: by segment: ``{"de": {"language": "de", "site_code": "main"}}``. Case is of no matter.
        persist: make them the shopper's choice when a page is opened by a real navigation, so that prices and carts
            follow. Prefetches and what pages load by themselves never do.

    Raises:
        ConfigurationError: there is something else in it.
    """

    place: Place = "url"
    vary: tuple[str, ...] = ()

    def __init__(self, values: Mapping[str, Values], *, persist: bool = False) -> None:
        self.versions = _by_name(values, "UrlPrefix(...)")
        self._names = {name.lower(): name for name in self.versions}
        self.persists = flag(persist, "UrlPrefix(persist=...)")

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the values of the first segment behind where the application is mounted."""
        scope = connection.scope
        path: str = scope.get("path", "")
        segment = path.removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")[0]
        name = self._names.get(segment.lower())
        return {} if name is None else self.versions[name]

    def version_of(self, page: Page) -> str | None:
        """Return the prefix of a page, as it was configured; `None` where it has none of these."""
        return self._names.get(unquote(page.path[1:].partition("/")[0]).lower())

    def at(self, page: Page, version: str | None) -> Page:
        """Return the same page with another prefix, or with none."""
        bare = page.path
        if self.version_of(page) is not None:
            _, slash, rest = bare[1:].partition("/")
            bare = slash + rest.lstrip("/")  # what two of them begin with is the name of a host
        return page._replace(path=(bare or "/") if version is None else f"/{quote(version, safe='')}{bare}")


class Host:
    """Values by host name: ``shop.example.ch``.

    Args:
        values: by host, without a port: ``{"shop.example.ch": {"site_code": "ch", "currency": "CHF"}}``.
        persist: as that of `UrlPrefix`.

    Raises:
        ConfigurationError: there is something else in it.
    """

    place: Place = "url"
    vary: tuple[str, ...] = ()  # caches keep hosts apart in any case (RFC 9111, section 2)

    def __init__(self, values: Mapping[str, Values], *, persist: bool = False) -> None:
        self.versions = _by_name(values, "Host(...)")
        self._names = {name.lower(): name for name in self.versions}
        self.persists = flag(persist, "Host(persist=...)")

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the values of the host that was asked."""
        name = self._named(connection.headers.get("host", ""))
        return {} if name is None else self.versions[name]

    def version_of(self, page: Page) -> str | None:
        """Return the host of a page, as it was configured; `None` for any other."""
        return self._named(page.host)

    def at(self, page: Page, version: str | None) -> Page:
        """Return the same page on another host and the same port; without another one it stays where it is."""
        if version is None:
            return page
        port = page.host[len(_without_port(page.host)) :]
        return page._replace(host=version + (port if PORT.fullmatch(port) else ""))

    def _named(self, host: str) -> str | None:
        return self._names.get(_without_port(host).lower())


def page_at(path: str, *, root: str, host: str = "") -> Page:
    """Return a page by its parts.

    Args:
        path: as it is spelt, in percent-encoded ASCII.
        root: where the application is mounted, decoded.
        host: that was asked.
    """
    depth = len(root.rstrip("/").split("/"))
    spelt = "/".join(path.split("/")[:depth])
    if unquote(spelt) != root.rstrip("/"):
        spelt = ""
    rest = path[len(spelt) :]
    return Page(host, spelt, "/" + rest.lstrip("/") if rest else "")


def spelt_path(scope: Scope) -> str:
    """Return the path of a request as the browser has spelt it, in visible ASCII."""
    path: str = scope["path"]
    spelt: bytes = scope.get("raw_path") or b""
    # Servers and tests need not bring it, and what stands between may have cut the path without it.
    known = unquote(spelt.decode("latin-1")) == path
    return quote(spelt, safe=VISIBLE) if known else quote(path, safe=OF_PATHS, errors="replace")


def spelt_query(scope: Scope) -> str:
    """Return what was asked of a page as the browser has spelt it, in visible ASCII."""
    return quote(scope.get("query_string", b""), safe=VISIBLE)


def at_its_address(addresses: UrlPrefix | Host, page: Page, changes: Values) -> Page:
    """Return a page where its address says what was chosen, or nothing of it.

    Of several addresses it is the one that is most like the page's own. Where that one says nothing of what was
    changed, the page stays there, as the choice shows on it.

    Args:
        addresses: of the shop.
        page: that the shopper was on.
        changes: what he has changed.
    """
    version = addresses.version_of(page)
    said = {} if version is None else addresses.versions[version]
    if not said.keys() & changes.keys():
        return page
    wanted = {field: changes.get(field, value) for field, value in said.items()}

    def tells(values: Values) -> bool:
        told = {field: value for field, value in values.items() if field in changes}
        return told.keys() >= said.keys() & changes.keys() and told.items() <= changes.items()

    telling = (name for name, values in addresses.versions.items() if tells(values))
    best = min(telling, key=lambda name: len(addresses.versions[name].items() ^ wanted.items()), default=None)
    return addresses.at(page, best)


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _by_name(values: object, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(values, Mapping) or not values:
        raise ConfigurationError(f"{where} wants values by name: {{'de': {{'language': 'de'}}}}.")
    return {_name(name, where): _fields(fields, where) for name, fields in values.items()}


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigurationError(f"{where}: {name!r} is no segment of a path, and no host.")
    return name


def _fields(fields: object, where: str) -> dict[str, str]:
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"{where} wants fields and their values: {{'language': 'de'}}.")
    return {field_name(field, where): good(field, value, where) for field, value in fields.items()}


def field_name(field: object, where: str) -> str:
    """Return the name of a field that can be switched.

    Args:
        field: what was configured.
        where: how the text of the error names the option.

    Raises:
        ConfigurationError: there is no such field.
    """
    if field in SWITCHES:
        return str(field)
    raise ConfigurationError(f"{where}: {field!r} is no field; there are {', '.join(SWITCHES)}.")


def good(field: str, value: object, where: str) -> str:
    """Return a value that a field can have; arguments and errors as for `field_name`."""
    try:
        return checked_switch(field, value)
    except InvalidChange as error:
        raise ConfigurationError(f"{where}: {error}") from None


def is_good(field: str, value: object) -> bool:
    """Tell whether a field can have a value."""
    try:
        checked_switch(field, value)
    except InvalidChange:
        return False
    return True
