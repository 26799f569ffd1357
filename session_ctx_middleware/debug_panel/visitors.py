"""Who may see the panel: a browser on this machine that has asked this machine by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

__all__ = ["Visitors", "host_name"]

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Where proxies say for whom they ask, in the order of trust: none of them is believed unless one is expected."""
OTHER_SIGNS: Final = (
    *("via", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server", "x-client-ip"),
    *("cf-connecting-ip", "true-client-ip", "fly-client-ip", "fastly-client-ip", "x-amzn-trace-id"),
)
_FOR: Final = re.compile(r'(?:^|;)\s*for="?\[?([0-9A-Fa-f:.]*)', re.IGNORECASE)
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Visitors:
    """Tells those who may see the panel from everybody else.

    Args:
        hosts: names besides those of this machine under which it may be asked for.
        behind_proxy: whether a proxy on this machine may stand in between, for browsers on this machine.
    """

    hosts: Collection[str]
    behind_proxy: bool

    def admit(self, scope: Scope) -> bool:
        """Tell whether a request comes from this machine, and means it.

        A page of another site may have its name lead here (DNS rebinding): then the name is not one of ours.
        """
        headers, client = Headers(scope=scope), scope.get("client")
        if client is None or not is_loopback(client[0]):
            return False
        if headers.get("sec-fetch-site") == "cross-site":
            return False
        if not self._knows(headers.getlist("host")):
            return False
        return self._is_expected(headers) if self.behind_proxy else _is_direct(headers, scope.get("http_version"))

    def _knows(self, named: list[str]) -> bool:
        name = host_name(named[0]) if len(named) == 1 else None
        if name is None:
            return False
        own = name == "localhost" or name.endswith(".localhost") or is_loopback(name.strip("[]"))
        return own or name in self.hosts

    def _is_expected(self, headers: Headers) -> bool:
        """Tell whether everybody for whom proxies say that they ask is on this machine."""
        asked_for = [each for name in FORWARDED for each in _addresses(name, headers.getlist(name))]
        return all(map(is_loopback, asked_for))


def host_name(host: str) -> str | None:
    """Return the name in a ``Host`` field, in lower case and without port; `None` where that is no name."""
    found = _HOST.fullmatch(host)
    return None if found is None else found[1].lower().removesuffix(".")


def is_loopback(address: str) -> bool:
    """Tell whether an address is one of this machine's own (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3)."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def _is_direct(headers: Headers, version: str | None) -> bool:
    """Tell whether nobody seems to stand in between; HTTP/1.0 is what nginx speaks where it is told nothing else."""
    return version != "1.0" and not any(name in headers for name in (*FORWARDED, *OTHER_SIGNS))


def _addresses(name: str, values: Iterable[str]) -> list[str]:
    """Return the addresses in fields; what is none is returned too, and is not this machine.

    Who asks can have the host that a proxy quotes look like an address, so that one of several is not enough.
    """
    parts = [part.strip() for value in values for part in value.split(",")]
    if name != "forwarded":
        return parts
    return [address for part in parts for address in _FOR.findall(part) or [part]]
