"""Redis by URL: one server, the master that sentinels name, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn
from urllib.parse import unquote, urlsplit, urlunsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisClusterException, RedisError

from ...errors import ConfigurationError
from .link import FORMS, ClusterLink, Link, SingleLink

__all__ = ["opener"]

CONNECT_SECONDS: Final = 0.5
"""Connecting may take longer than a call waits: the next call finds the connection ready."""

SOCKET_SHARE: Final = 4
"""Budgets that an answer may take: an event loop that stalled can still read one that nobody waits for any more."""

DRIVER: Final = DriverInfo()
"""Found out once, here: redis-py would read package metadata from disk for every connection."""


def opener(url: str, budget: float, max_connections: int) -> Callable[[], Link]:
    """Return what opens a link to a URL.

    Args:
        url: in one of the forms that `FORMS` names, with user and password where they are needed.
        budget: seconds that callers wait.
        max_connections: connections open at once, per event loop and server.

    Raises:
        ConfigurationError: the URL has another form.
    """
    options = {
        "socket_timeout": SOCKET_SHARE * budget,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": max_connections,
        # Nothing of RESP3 is used, and it costs a round trip at the beginning of each connection.
        "protocol": 2,
        "driver_info": DRIVER,
    }
    kind = _KINDS.get(url.partition("://")[0])
    try:
        if kind is None:
            return _refuse_url()
        open_link = kind(url, options)
        open_link().check()
    except (ValueError, TypeError, RedisError, RedisClusterException):
        # What redis-py says could quote the password.
        return _refuse_url()
    return open_link


def _refuse_url() -> NoReturn:
    raise ConfigurationError(f"RedisStore needs a URL of the form {FORMS}.") from None


def _single(url: str, options: dict[str, Any]) -> Callable[[], Link]:
    if url.startswith("unix:"):
        options = {key: value for key, value in options.items() if key != "socket_connect_timeout"}
    pool = _sharing_certificates(url, options) if url.startswith("rediss:") else ConnectionPool

    def open_link() -> Link:
        client = Redis.from_pool(pool.from_url(url, **options))
        return SingleLink(client, client.aclose)

    return open_link


def _sharing_certificates(url: str, options: dict[str, Any]) -> type[ConnectionPool]:
    """Return a kind of pool that reads the certificates now, once: redis-py does for every connection."""
    context = ConnectionPool.from_url(url, **options).make_connection().ssl_context  # type: ignore[no-untyped-call]
    context.get()

    class SharingConnection(SSLConnection):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.ssl_context = context

    class SharingPool(ConnectionPool):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**{**kwargs, "connection_class": SharingConnection})

    return SharingPool


def _cluster(url: str, options: dict[str, Any]) -> Callable[[], Link]:
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(scheme=parts.scheme.removesuffix("+cluster")))

    def open_link() -> Link:
        client = RedisCluster.from_url(plain, **options)
        return ClusterLink(client, client.aclose)

    return open_link


def _sentinel(url: str, options: dict[str, Any]) -> Callable[[], Link]:
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    addresses = [_address(host) for host in hosts.split(",")]
    if not service:
        raise ValueError
    login = {"username": unquote(name) or None, "password": unquote(password) or None}
    extra = {"ssl": True} if parts.scheme.startswith("rediss") else {}

    def open_link() -> Link:
        patient = {key: value for key, value in options.items() if key != "max_connections"}
        sentinel: Sentinel = Sentinel(  # type: ignore[no-untyped-call]
            addresses, sentinel_kwargs={**patient, **extra}, **options, **login, **extra
        )
        client = sentinel.master_for(unquote(service), db=int(database or 0))

        async def close() -> None:
            for each in (client, *sentinel.sentinels):
                await each.aclose()

        return SingleLink(client, close)

    return open_link


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or 26379


_KINDS: Final[Mapping[str, Callable[[str, dict[str, Any]], Callable[[], Link]]]] = {
    "redis": _single,
    "rediss": _single,
    "unix": _single,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
}
