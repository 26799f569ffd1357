"""The HTTP libraries: which of them a client comes from, and which of them ours are built with."""

from __future__ import annotations

import importlib
import ssl
from typing import TYPE_CHECKING, TypeAlias, cast

import httpx

from ...errors import ConfigurationError
from .httpx_adapter import HttpxTransport, Library, build_client, is_client
from .port import Options, Transport

if TYPE_CHECKING:
    import httpx2

__all__ = ["HttpClient", "adopt", "build", "certificates"]

HttpClient: TypeAlias = "httpx.AsyncClient | httpx2.AsyncClient"


def adopt(client: object, total_timeout: float) -> Transport:
    """Return a client that was passed in, behind the port.

    Args:
        client: an ``httpx.AsyncClient`` or an ``httpx2.AsyncClient``.
        total_timeout: seconds that the whole of a call may take.

    Raises:
        ConfigurationError: it is something else.
    """
    if is_client(client):
        return HttpxTransport(client, total_timeout)
    raise ConfigurationError(
        "http_client must be an httpx.AsyncClient or an httpx2.AsyncClient (an object, asynchronous), not "
        f"{_kind(client)}. Leave it out to have one built."
    )


def build(options: Options, tls: ssl.SSLContext | None) -> Transport:
    """Return a client of our own, of httpx2 where that is installed and of httpx otherwise.

    Args:
        options: what it is built for.
        tls: what certificates are checked with, `None` for the default of the library.
    """
    return HttpxTransport(build_client(_preferred(), options, tls), options.total_timeout)


def certificates() -> ssl.SSLContext:
    """Return what certificates are checked with; takes long, like the imports of a first client."""
    library = _preferred()
    tls = library.create_ssl_context()
    build_client(library, Options(1.0, 1.0, 1), tls)
    return tls


def _preferred() -> Library:
    """Return httpx2 where it is installed, httpx otherwise."""
    try:
        return cast("Library", importlib.import_module("httpx2"))
    except ImportError:
        return cast("Library", httpx)


def _kind(client: object) -> str:
    if isinstance(client, type):
        return f"the class {client.__name__}"
    return f"an object of {type(client).__module__}.{type(client).__name__}"
