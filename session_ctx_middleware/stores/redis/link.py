"""Connections to Redis: which client is built for a URL, and the two things that are asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from ...errors import ConfigurationError
from .scripts import Command

__all__ = ["Client", "Link", "link_to", "opener"]

Client: TypeAlias = "Redis | RedisCluster"

CONNECT_SECONDS: Final = 0.5
"""Connecting may take longer than a call waits: the next call finds the connection ready."""

SOCKET_SHARE: Final = 4
"""Budgets that an answer may take: an event loop that stalled can still read one that nobody waits for any more."""

DRIVER: Final = DriverInfo()
"""Found out once, here: redis-py would read package metadata from disk for every connection."""

FORMS: Final = (
    "redis://host:6379/0, rediss://..., unix:///path, redis+sentinel://host:26379,host:26379/service/0 or "
    "redis+cluster://host:6379"
)


class Link(Protocol):
    """A client of one event loop."""

    clustered: bool

    def check(self) -> None:
        """Find out what is wrong with the options, without connecting."""
        ...

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Send commands, and others once these are done; return the answers, errors of single commands among them."""
        ...

    def listening(self) -> Any:
        """Open a connection of its own for as long as the block lasts."""
        ...

    async def aclose(self) -> None:
        """Close the connections if they are ours."""
        ...


class _SingleLink:
    """One server, or the master that sentinels name."""

    clustered = False

    def __init__(self, client: Redis, close: Callable[[], Any] | None) -> None:
        self._client = client
        self._close = close

    def check(self) -> None:
        self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        if len(commands) == 1 and not then:
            try:
                return [await self._client.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        # One connection answers in order, so that nothing has to be waited for in between.
        pipeline = self._client.pipeline(transaction=False)
        for command in (*commands, *then):
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AbstractConnection]:
        pool = self._client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def aclose(self) -> None:
        if self._close is not None:
            await self._close()


class _ClusterLink:
    """A cluster; keys of one call may live on different nodes."""

    clustered = True

    def __init__(self, client: RedisCluster, close: Callable[[], Any] | None) -> None:
        self._client = client
        self._close = close

    def check(self) -> None:
        """Nothing is left to be found out: a cluster's client has looked at all of its options."""

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        await self._client.initialize()
        answers = await self._all(commands)
        if then and not any(isinstance(answer, Exception) for answer in answers):
            answers += await self._all(then)
        return answers

    async def _all(self, commands: Sequence[Command]) -> list[Any]:
        calls = (self._client.execute_command(*command) for command in commands)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AbstractConnection]:
        await self._client.initialize()
        # What is published at one node is heard at all of them.
        node = self._client.get_random_node()
        connection = node.acquire_connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            node.release(connection)

    async def aclose(self) -> None:
        if self._close is not None:
            await self._close()


def link_to(client: object) -> Link:
    """Return the link for a client that somebody passed in, and closes.

    Raises:
        ConfigurationError: it is something else, or may keep a call waiting for long.
    """
    if isinstance(client, RedisCluster):
        options = client.get_connection_kwargs()
        _check(options.get("socket_timeout"), options.get("socket_connect_timeout"), client.retry.get_retries())
        return _ClusterLink(client, None)
    if isinstance(client, Redis):
        # A connection that is not connected tells what all of them will do, however the client was built.
        connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        local = isinstance(connection, UnixDomainSocketConnection)
        connect = 1.0 if local else getattr(connection, "socket_connect_timeout", None)
        _check(connection.socket_timeout, connect, connection.retry.get_retries())
        return _SingleLink(client, None)
    raise ConfigurationError(
        f"RedisStore needs a URL ({FORMS}) or a redis.asyncio.Redis or RedisCluster object, not "
        f"{type(client).__module__}.{type(client).__qualname__}."
    )


def _check(timeout: float | None, connect_timeout: float | None, retries: int) -> None:
    if timeout is None or connect_timeout is None or retries != 0:
        raise ConfigurationError(
            "A page must never wait long for Redis: build the client with socket_timeout=0.2, "
            "socket_connect_timeout=0.5 and retry=Retry(NoBackoff(), 0) (from redis.asyncio.retry and redis.backoff), "
            "or pass a URL."
        )


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
    connection_class = _sharing_certificates(url, options) if url.startswith("rediss:") else None

    def open_link() -> Link:
        client = Redis.from_url(url, **options)
        if connection_class is not None:
            client.connection_pool.connection_class = connection_class
        return _SingleLink(client, client.aclose)

    return open_link


def _sharing_certificates(url: str, options: dict[str, Any]) -> type[SSLConnection]:
    """Return a class of connections that read the certificates now, once: redis-py does for every connection."""
    pool = Redis.from_url(url, **options).connection_pool
    context = pool.make_connection().ssl_context  # type: ignore[no-untyped-call]
    context.get()

    class SharingConnection(SSLConnection):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.ssl_context = context

    return SharingConnection


def _cluster(url: str, options: dict[str, Any]) -> Callable[[], Link]:
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(scheme=parts.scheme.removesuffix("+cluster")))

    def open_link() -> Link:
        client = RedisCluster.from_url(plain, **options)
        return _ClusterLink(client, client.aclose)

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

        return _SingleLink(client, close)

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
