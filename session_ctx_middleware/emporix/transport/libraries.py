"""The HTTP libraries: which of them a client comes from, and which of them ours are built with."""

from __future__ import annotations

import importlib.util
import logging
import ssl
import sys
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from ...errors import ConfigurationError
from .environment import is_socks
from .httpx_adapter import HttpxTransport, Library, build_client, is_client
from .port import Options, Transport

if TYPE_CHECKING:
    import aiohttp
    import httpx
    import httpx2

__all__ = ["LIBRARIES", "HttpClient", "Name", "adopt", "build", "choose"]

_log = logging.getLogger("session_ctx_middleware")

HttpClient: TypeAlias = (
    "httpx.AsyncClient | httpx2.AsyncClient | aiohttp.ClientSession | Literal['aiohttp', 'httpx2', 'httpx']"
)
Name: TypeAlias = Literal["aiohttp", "httpx2", "httpx"]

LIBRARIES: Final[tuple[Name, ...]] = ("aiohttp", "httpx2", "httpx")
"""By what a call costs, the cheapest first."""

OLDEST_AIOHTTP: Final = (3, 14)


def adopt(client: object, total_timeout: float) -> Transport:
    """Return a client that was passed in, behind the port.

    Args:
        client: an ``httpx.AsyncClient``, an ``httpx2.AsyncClient`` or an ``aiohttp.ClientSession``.
        total_timeout: seconds that the whole of a call may take.

    Raises:
        ConfigurationError: it is something else.
    """
    if is_client(client):
        return HttpxTransport(client, total_timeout)
    # No session exists before somebody has imported aiohttp.
    aiohttp = sys.modules.get("aiohttp")
    if isinstance(client, getattr(aiohttp, "ClientSession", ())):
        return _aiohttp_session(client, aiohttp)
    raise _wrong(client)


def choose(name: str | None, proxy: str | None) -> Name:
    """Return the library that clients of our own are built with, and import it.

    Args:
        name: the one that was asked for; `None` for the first that is installed.
        proxy: what they are to go through.

    Raises:
        ConfigurationError: there is no such library, it is not installed, or it cannot use the proxy.
    """
    problem: str | None = None
    names: tuple[Name, ...] = LIBRARIES if name is None else (_named(name),)
    for each in names:
        problem = _problem(each, proxy)
        if problem is None:
            _log.info("calls to Emporix are made with %s", each)
            return each
    raise ConfigurationError(f"http_client={names[-1]!r} cannot be used: {problem}.")


def build(name: Name, options: Options, tls: ssl.SSLContext | None) -> Transport:
    """Return a client of our own for the running event loop.

    Args:
        name: its library, see `choose`.
        options: what it is built for.
        tls: what certificates are checked with, `None` for the default of the library.
    """
    if name == "aiohttp":
        from .aiohttp_adapter import build as build_session

        return build_session(options, tls)
    library = cast("Library", importlib.import_module(name))
    return HttpxTransport(build_client(library, options, tls), options.total_timeout)


def _named(name: str) -> Name:
    for known in LIBRARIES:
        if name == known:
            return known
    raise _wrong(name)


def _problem(name: Name, proxy: str | None) -> str | None:
    """Return why a library cannot be used, `None` where it can."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        extra = "session-ctx-middleware[aiohttp]" if name == "aiohttp" else name
        return f"it is not installed (pip install '{extra}')"
    if name == "aiohttp":
        return _too_old(module) or ("aiohttp knows no SOCKS proxies" if is_socks(proxy) else None)
    if is_socks(proxy) and importlib.util.find_spec("socksio") is None:
        return f"for a SOCKS proxy it needs {name}[socks]"
    return None


def _too_old(module: object) -> str | None:
    """Return what to say of an aiohttp that lacks what is used here."""
    version = str(getattr(module, "__version__", "0"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) >= OLDEST_AIOHTTP:
        return None
    return f"aiohttp {version} is too old; session-ctx-middleware[aiohttp] brings one that is not"


def _aiohttp_session(client: object, module: object) -> Transport:
    problem = _too_old(module)
    if problem is not None:
        raise ConfigurationError(f"http_client cannot be used: {problem}.")
    from .aiohttp_adapter import AiohttpTransport

    return AiohttpTransport(cast("aiohttp.ClientSession", client))


def _wrong(client: object) -> ConfigurationError:
    """Return the error for what is no client; it is not quoted, as a text may be an address with credentials."""
    return ConfigurationError(
        "http_client must be an httpx.AsyncClient, an httpx2.AsyncClient or an aiohttp.ClientSession (an object, "
        f"asynchronous), or the name of one of these libraries, not {_kind(client)}. Leave it out to have one built."
    )


def _kind(client: object) -> str:
    if isinstance(client, str):
        return "another text"
    if isinstance(client, type):
        return f"the class {client.__name__}"
    return f"an object of {type(client).__module__}.{type(client).__name__}"
