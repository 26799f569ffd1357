"""Connections to Redis, and the two things that are asked of them: running commands, and listening."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.exceptions import ResponseError

from ...errors import ConfigurationError
from ..protocol import ContextStoreUnavailable
from .scripts import Command

__all__ = ["FORMS", "Client", "ClusterLink", "InjectedClient", "Link", "SingleLink", "link_to"]

_log = logging.getLogger("session_ctx_middleware")

Client: TypeAlias = "Redis | RedisCluster"

FORMS: Final = (
    "redis://host:6379/0, rediss://..., unix:///path, redis+sentinel://host:26379,host:26379/service/0 or "
    "redis+cluster://host:6379"
)
"""Of URLs."""


class Link(Protocol):
    """A client of one event loop."""

    clustered: bool

    def check(self) -> None:
        """Raise what is wrong with the options, without connecting."""
        ...

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Send `commands`, and `then` once these are done; return the answers, errors of single commands among them."""
        ...

    def listening(self) -> AbstractAsyncContextManager[AbstractConnection]:
        """Open a connection of its own for as long as the block lasts."""
        ...

    async def aclose(self) -> None:
        """Close the connections if they are ours."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class SingleLink:
    """One server, or the master that sentinels name."""

    clustered = False

    client: Redis
    close: Callable[[], Any] | None

    def check(self) -> None:
        """Raise what is wrong with the options, without connecting."""
        self.client.connection_pool.make_connection()  # type: ignore[no-untyped-call]

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Send all commands in one pipeline; a single one needs none."""
        if len(commands) == 1 and not then:
            try:
                return [await self.client.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        # One connection answers in order, so that nothing has to be waited for in between.
        pipeline = self.client.pipeline(transaction=False)
        for command in (*commands, *then):
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AbstractConnection]:
        """Take a connection out of the pool for as long as the block lasts."""
        pool = self.client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def aclose(self) -> None:
        """Close the connections if they are ours."""
        if self.close is not None:
            await self.close()


@dataclass(slots=True, eq=False, repr=False)
class ClusterLink:
    """A cluster; keys of one call may live on different nodes."""

    clustered = True

    client: RedisCluster
    close: Callable[[], Any] | None

    def check(self) -> None:
        """Nothing is left to be found out: a cluster's client has looked at all of its options."""

    async def run(self, commands: Sequence[Command], then: Sequence[Command] = ()) -> list[Any]:
        """Send `commands` to their nodes at once, and `then` unless one of them failed."""
        await self.client.initialize()
        answers = await self._all(commands)
        if then and not any(isinstance(answer, Exception) for answer in answers):
            answers += await self._all(then)
        return answers

    async def _all(self, commands: Sequence[Command]) -> list[Any]:
        calls = (self.client.execute_command(*command) for command in commands)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AbstractConnection]:
        """Take a connection to any node for as long as the block lasts."""
        await self.client.initialize()
        # A cluster forwards what is published at one node to all of them.
        node = self.client.get_random_node()
        connection = node.acquire_connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            node.release(connection)

    async def aclose(self) -> None:
        """Close the connections if they are ours."""
        if self.close is not None:
            await self.close()


def link_to(client: object) -> Link:
    """Return the link for a client that somebody passed in, and closes.

    Raises:
        ConfigurationError: it is something else, or may keep a call waiting for long.
    """
    if isinstance(client, RedisCluster):
        options = client.get_connection_kwargs()
        _check(options.get("socket_timeout"), options.get("socket_connect_timeout"), client.retry.get_retries())
        return ClusterLink(client, None)
    if isinstance(client, Redis):
        # A connection that is not open yet shows the options of all, however the client was built.
        connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        local = isinstance(connection, UnixDomainSocketConnection)
        connect = 1.0 if local else getattr(connection, "socket_connect_timeout", None)
        _check(connection.socket_timeout, connect, connection.retry.get_retries())
        return SingleLink(client, None)
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


class InjectedClient:
    """A client that was passed in: its connections belong to the event loop that used it first.

    Args:
        link: to that client.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop: asyncio.AbstractEventLoop | None = None
        self._logged = False

    def open(self) -> Link:
        """Return the link, or raise `ContextStoreUnavailable` in another event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            if not self._logged:
                self._logged = True
                _log.error("the Redis client belongs to another event loop or process: give RedisStore a URL instead")
            raise ContextStoreUnavailable("the Redis client belongs to another event loop")
        return self._link
