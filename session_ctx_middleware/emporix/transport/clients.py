"""Which HTTP client makes the calls: one that was passed in, or one of our own per event loop."""

from __future__ import annotations

import asyncio
import logging
import ssl
from concurrent.futures import Future
from dataclasses import replace
from threading import Lock, Thread
from typing import ClassVar, Final, Protocol
from weakref import WeakKeyDictionary

from . import environment, libraries
from .port import Options, Transport

__all__ = ["Clients", "InjectedClient", "OwnClients", "clients_for"]

_log = logging.getLogger("session_ctx_middleware")


class Clients(Protocol):
    """Hands out the client for a call."""

    own: ClassVar[bool]
    """Whether clients are built and closed here."""

    async def ready(self) -> None:
        """Do what `current` needs and what takes long."""
        ...

    def current(self) -> Transport:
        """Return the client for the running event loop."""
        ...

    def replace(self, client: Transport, /) -> bool:
        """Use another client on the running event loop instead of one that hangs; tell whether that can be done."""
        ...

    async def aclose(self) -> None:
        """Close what belongs to us."""
        ...


class InjectedClient:
    """A client that somebody passed in, and closes.

    Args:
        client: the client.
        total_timeout: seconds that the whole of a call may take.

    Raises:
        ConfigurationError: it is no client.
    """

    own: ClassVar[bool] = False

    def __init__(self, client: object, total_timeout: float) -> None:
        self._client = libraries.adopt(client, total_timeout)
        self._told = False

    async def ready(self) -> None:
        """Do nothing: the client is there."""

    def current(self) -> Transport:
        """Return the client."""
        return self._client

    def replace(self, _client: Transport, /) -> bool:
        """Say once that the client is in trouble: whoever passed it in may replace it."""
        if not self._told:
            self._told = True
            _log.warning(
                "Calls to Emporix hang in the HTTP client that was passed in, and may use up its connections for good. "
                "Let it have more of them (limits=...), pass in one of aiohttp, or leave http_client=... out: a "
                "client that is built here is replaced when that happens."
            )
        return False

    async def aclose(self) -> None:
        """Leave the client open: it is not ours."""


class OwnClients:
    """Clients of our own, one per event loop, because open connections belong to the loop they were opened in.

    Args:
        library: the name of an HTTP library.
        options: what they are built for; each event loop has so many connections.
    """

    own: ClassVar[bool] = True

    def __init__(self, library: libraries.Name, options: Options) -> None:
        self._library: Final = library
        self._options: Final = options
        self._tls: ssl.SSLContext | None = None
        self._loading: Future[None] | None = None
        self._lock = Lock()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Transport] = WeakKeyDictionary()

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
            self._tls = self._warmed_up()
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            self._loading = None
            loading.set_exception(error)
        else:
            loading.set_result(None)

    def _warmed_up(self) -> ssl.SSLContext:
        tls = environment.certificates()
        if self._library != "aiohttp":  # which imports everything at once
            libraries.build(self._library, self._options, tls)
        return tls

    def current(self) -> Transport:
        """Return the client of the running loop, a new one for its first call or the first after `aclose`."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            self._forget_closed_loops()
            client = self._clients[loop] = libraries.build(self._library, self._options, self._tls)
        return client

    def replace(self, client: Transport, /) -> bool:
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


def clients_for(client: object, base_url: str, options: Options) -> Clients:
    """Return the source of clients.

    Args:
        client: one that was passed in; the name of a library, or `None`, to have clients built.
        base_url: where they call.
        options: what those of our own are built for.

    Raises:
        ConfigurationError: it is neither, or the environment names a proxy that cannot be used.
    """
    if client is not None and not isinstance(client, str):
        return InjectedClient(client, options.total_timeout)
    proxy = environment.proxy_for(base_url)
    return OwnClients(libraries.choose(client, proxy), replace(options, proxy=proxy))
