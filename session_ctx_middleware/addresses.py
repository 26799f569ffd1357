"""Values that the address of a page says: the first segment of its path, or its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from starlette.requests import HTTPConnection

from .checks import flag
from .errors import ConfigurationError, InvalidChange
from .model.fields import SWITCHES, checked_switch

__all__ = ["Host", "Place", "UrlPrefix", "Values", "field_name", "good", "is_good"]

Place: TypeAlias = Literal["url", "cookie", "header"]
Values: TypeAlias = Mapping[str, str]


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
        self._values = _by_name(values, "UrlPrefix(...)")
        self.persists = flag(persist, "UrlPrefix(persist=...)")

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the values of the first segment behind where the application is mounted."""
        scope = connection.scope
        path: str = scope.get("path", "")
        segment = path.removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")[0]
        return self._values.get(segment.lower(), {})


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
        self._values = _by_name(values, "Host(...)")
        self.persists = flag(persist, "Host(persist=...)")

    def resolve(self, connection: HTTPConnection) -> Values:
        """Return the values of the host that was asked."""
        host = connection.headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return self._values.get(name, {})


def _by_name(values: object, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(values, Mapping) or not values:
        raise ConfigurationError(f"{where} wants values by name: {{'de': {{'language': 'de'}}}}.")
    return {_name(name, where): _fields(fields, where) for name, fields in values.items()}


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigurationError(f"{where}: {name!r} is no segment of a path, and no host.")
    return name.lower()


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
