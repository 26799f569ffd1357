"""Which HTTP client makes the calls: one that was passed in, or one of our own per event loop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import sys
from concurrent.futures import Future
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import Lock, Thread
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, TypeAlias, cast
from weakref import WeakKeyDictionary

import httpx

from ..checks import number, whole
from ..errors import ConfigurationError

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "Clients",
    "HttpClient",
    "InjectedClient",
    "Library",
    "OwnClients",
    "adopt",
    "build_client",
    "clients_for",
    "libraries",
    "library_of",
    "may_be_cancelled",
]

_log = logging.getLogger("session_ctx_middleware")

HttpClient: TypeAlias = "httpx.AsyncClient | httpx2.AsyncClient"

CONNECT_SECONDS: Final = 2.0
KEEPALIVE_SECONDS: Final = 30.0


class Library(Protocol):
    """What httpx and httpx2 have in common, as far as it is used here."""

    AsyncClient: type[httpx.AsyncClient]
    Request: type[httpx.Request]
    Headers: type[httpx.Headers]
    URL: type[httpx.URL]
    Limits: type[httpx.Limits]
    Timeout: type[httpx.Timeout]
    HTTPError: type[httpx.HTTPError]
    HTTPStatusError: type[httpx.HTTPStatusError]
    TimeoutException: type[httpx.TimeoutException]
    UnsupportedProtocol: type[httpx.UnsupportedProtocol]
    LocalProtocolError: type[httpx.LocalProtocolError]
    InvalidURL: type[httpx.InvalidURL]
    CookieConflict: type[httpx.CookieConflict]

    def create_ssl_context(self) -> ssl.SSLContext:
        """Return what TLS connections are checked with."""
        ...


def libraries() -> tuple[Library, ...]:
    """Return httpx, and httpx2 where somebody has imported it: no client of it exists before that."""
    loaded = (httpx, sys.modules.get("httpx2"))
    return tuple(cast("Library", module) for module in loaded if hasattr(module, "AsyncClient"))


def library_of(client: httpx.AsyncClient) -> Library:
    """Return the library that a client comes from."""
    return next(library for library in libraries() if isinstance(client, library.AsyncClient))


def may_be_cancelled(client: httpx.AsyncClient) -> bool:
    """Tell whether a call of a client may be cancelled without costing it a connection for good."""
    return not isinstance(client, httpx.AsyncClient)


def _preferred() -> Library:
    """Return httpx2 where it is installed, httpx otherwise."""
    try:
        return cast("Library", importlib.import_module("httpx2"))
    except ImportError:
        return cast("Library", httpx)


def _certificates() -> ssl.SSLContext:
    library = _preferred()
    tls = library.create_ssl_context()
    build_client(1.0, 1, tls=tls)  # the library imports its transport with the first client
    return tls


def adopt(client: object) -> httpx.AsyncClient:
    """Return a client that was passed in.

    Args:
        client: an ``httpx.AsyncClient`` or an ``httpx2.AsyncClient``.

    Returns:
        The same object, under the type of httpx: as far as it is used here, the two are one interface.

    Raises:
        ConfigurationError: it is something else.
    """
    if isinstance(client, tuple(library.AsyncClient for library in libraries())):
        return cast("httpx.AsyncClient", client)
    raise ConfigurationError(
        "http_client must be an httpx.AsyncClient or an httpx2.AsyncClient (an object, asynchronous), not "
        f"{_kind(client)}. Leave it out to have one built."
    )


def build_client(timeout: float, max_connections: int, *, tls: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """Return a client that follows no redirects and keeps no cookies.

    Args:
        timeout: seconds that connecting (at most 2), sending, or a pause in the answer may take.
        max_connections: connections open at once.
        tls: what certificates are checked with.
    """
    library = _preferred()
    short = min(timeout, CONNECT_SECONDS)
    return library.AsyncClient(
        timeout=library.Timeout(timeout, connect=short, pool=short),
        limits=library.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        # One client serves all shoppers: a cookie set for one of them must not go out with the next call.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        verify=tls,
    )


class Clients(Protocol):
    """Hands out the client for a call."""

    own: ClassVar[bool]
    """Whether clients are built and closed here."""

    async def ready(self) -> None:
        """Do what `current` needs and what takes long."""
        ...

    def current(self) -> httpx.AsyncClient:
        """Return the client for the running event loop."""
        ...

    def replace(self, client: httpx.AsyncClient, /) -> bool:
        """Use another client on the running event loop instead of one that hangs; tell whether that can be done."""
        ...

    async def aclose(self) -> None:
        """Close what belongs to us."""
        ...


class InjectedClient:
    """A client that somebody passed in, and closes.

    Args:
        client: the client.
    """

    own: ClassVar[bool] = False

    def __init__(self, client: object) -> None:
        self._client = adopt(client)
        self._told = False

    async def ready(self) -> None:
        """Do nothing: the client is there."""

    def current(self) -> httpx.AsyncClient:
        """Return the client."""
        return self._client

    def replace(self, _client: httpx.AsyncClient, /) -> bool:
        """Say once that the client is in trouble: whoever passed it in may replace it."""
        if not self._told:
            self._told = True
            _log.warning(
                "Calls to Emporix hang in the HTTP client that was passed in, and may use up its connections for good. "
                "Let it have more of them (limits=...), pass in one of httpx2, or leave http_client=... out: a client "
                "that is built here is replaced when that happens."
            )
        return False

    async def aclose(self) -> None:
        """Leave the client open: it is not ours."""


class OwnClients:
    """Clients of our own, one per event loop, because open connections belong to the loop they were opened in.

    Args:
        timeout: seconds, see `build_client`.
        max_connections: connections open at once, per event loop.
    """

    own: ClassVar[bool] = True

    def __init__(self, timeout: float, max_connections: int) -> None:
        self._timeout = number(timeout, "timeout", above=0, unit="seconds")
        self._max_connections = whole(max_connections, "max_connections")
        self._tls: ssl.SSLContext | None = None
        self._loading: Future[None] | None = None
        self._lock = Lock()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def ready(self) -> None:
        """Read the certificates, once, in a thread: it would block the event loop for long."""
        if self._tls is None:
            await asyncio.wrap_future(self._load())

    def _load(self) -> Future[None]:
        """Start reading the certificates; first calls on any event loop wait for one reading."""
        with self._lock:
            loading = self._loading
            if loading is None:
                loading = self._loading = Future()
                loading.set_running_or_notify_cancel()  # a waiter that leaves does not take it along
                Thread(target=self._read, args=(loading,), daemon=True).start()
            return loading

    def _read(self, loading: Future[None]) -> None:
        try:
            self._tls = _certificates()
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            self._loading = None
            loading.set_exception(error)
        else:
            loading.set_result(None)

    def current(self) -> httpx.AsyncClient:
        """Return the client of the running loop, a new one for its first call or the first after `aclose`."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            self._forget_closed_loops()
            client = self._clients[loop] = build_client(self._timeout, self._max_connections, tls=self._tls or True)
        return client

    def replace(self, client: httpx.AsyncClient, /) -> bool:
        """Build another client for the next call on the running loop; the caller closes this one."""
        loop = asyncio.get_running_loop()
        if self._clients.get(loop) is not client:
            return False
        del self._clients[loop]
        return True

    async def aclose(self) -> None:
        """Close the client of the running loop; nobody else could close it."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _forget_closed_loops(self) -> None:
        # The connections of a client keep its loop alive, so a closed loop does not go by itself.
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            self._clients.pop(loop, None)


def clients_for(client: object, timeout: float, max_connections: int) -> Clients:
    """Return the source of clients: around the one passed in, or our own where that is `None`."""
    return OwnClients(timeout, max_connections) if client is None else InjectedClient(client)


def _kind(client: object) -> str:
    if isinstance(client, type):
        return f"the class {client.__name__}"
    return f"an object of {type(client).__module__}.{type(client).__name__}"
