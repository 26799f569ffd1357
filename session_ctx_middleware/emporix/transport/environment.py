"""What the environment says of the way to Emporix: the same for every library.

Each library reads ``HTTP_PROXY`` and the like in its own way: one passes loopback addresses to the proxy, another knows
no ``ALL_PROXY``, and sends the credentials of a ``.netrc`` along. Clients of our own are told what follows from it.
"""

from __future__ import annotations

import importlib
import ssl
from typing import Final, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from ...errors import ConfigurationError
from ..address import is_loopback
from .httpx_adapter import Library

__all__ = ["certificates", "is_socks", "proxy_for"]

SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})


def proxy_for(url: str) -> str | None:
    """Return the proxy on the way to an address, `None` where it is asked directly.

    Args:
        url: an absolute address; on loopback there is no proxy, whatever the environment says.

    Raises:
        ConfigurationError: ``HTTP_PROXY``, ``HTTPS_PROXY`` or ``ALL_PROXY`` names no proxy.
    """
    parts = urlsplit(url)
    if is_loopback(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    return _checked(proxy if "://" in proxy else f"http://{proxy}", parts.scheme)


def is_socks(proxy: str | None) -> bool:
    """Tell whether a proxy speaks SOCKS."""
    return proxy is not None and proxy.startswith("socks")


def certificates() -> ssl.SSLContext:
    """Return what certificates are checked with, whichever library makes the calls; reading them takes long.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` decide. Without them it is what the platform trusts where httpx2 is
    installed, and what certifi holds otherwise.
    """
    try:
        library = cast("Library", importlib.import_module("httpx2"))
    except ImportError:
        library = cast("Library", httpx)
    return library.create_ssl_context()


def _checked(proxy: str, scheme: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:  # never quoted: it may hold credentials
        raise ConfigurationError(
            f"{scheme.upper()}_PROXY, or ALL_PROXY, must be the address of a proxy, such as http://proxy.example:3128."
        )
    return proxy
