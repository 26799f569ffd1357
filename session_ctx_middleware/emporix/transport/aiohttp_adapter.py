"""The port over aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine, Sequence
from typing import Final, cast
from weakref import finalize

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from .bodies import ACCEPTED, Body
from .port import (
    BROKEN,
    CLOSED,
    FAILED,
    KEEPALIVE_SECONDS,
    NOT_SENT,
    TIMED_OUT,
    UNUSABLE,
    Options,
    Reply,
    Request,
    TimeLimitedCall,
)

__all__ = ["AiohttpTransport", "build"]

SWITCHING_PROTOCOLS: Final = 101
NO_ANSWER: Final = (*BROKEN, aiohttp.ClientError, HttpProcessingError)


def build(options: Options, tls: ssl.SSLContext | None) -> AiohttpTransport:
    """Return a transport around a session of our own, for the running event loop.

    Args:
        options: see there.
        tls: what certificates are checked with, `None` for the default of the library.
    """
    pause = options.timeout if options.timeout < options.total_timeout else None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=options.max_connections,
            keepalive_timeout=KEEPALIVE_SECONDS,
            resolver=aiohttp.ThreadedResolver(),  # that of the platform, also where aiodns is installed
            ssl=True if tls is None else tls,
        ),
        # One client serves all shoppers: a cookie set for one of them must not go out with the next call.
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=options.connect_timeout, sock_read=pause),
        proxy=options.proxy,
    )
    return AiohttpTransport(session, own=True)


class AiohttpTransport:
    """Makes calls with a session of aiohttp.

    Args:
        session: an ``aiohttp.ClientSession``.
        own: whether it is closed when nobody uses it any more.

    Attributes:
        client: the session.
    """

    def __init__(self, session: aiohttp.ClientSession, *, own: bool = False) -> None:
        self.client: Final = session
        self.cancellable: Final = True
        # A session does not say which event loop it belongs to, and on another one it would write into a transport that
        # is not safe for threads.
        self._loop: asyncio.AbstractEventLoop = session._loop  # noqa: SLF001
        self._abandoned = finalize(self, _abandon, session, self._loop) if own else None

    @property
    def is_closed(self) -> bool:
        """Whether the session is closed."""
        return self.client.closed

    async def aclose(self) -> None:
        """Close the session."""
        if self._abandoned is not None:
            self._abandoned.detach()
        await self.client.close()

    async def send(self, request: Request, _call: TimeLimitedCall, /) -> Reply:
        """Make one call; who has no more time for it cancels it."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(UNUSABLE)
        try:
            response = await self._answered(request)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.client.closed and not (task and task.cancelling()):
                raise ConnectionError from None  # who closes a session cancels those that wait for a connection
            raise
        try:
            return await _read(response, dated=request.dated)
        finally:
            if not response.closed:
                response.close()

    async def _answered(self, request: Request) -> aiohttp.ClientResponse:
        return await self.client.request(
            request.method,
            URL(request.url, encoded=True),
            headers=_without_credentials(request),
            data=request.content,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            middlewares=(_Manners(request.headers.get("authorization")),),
        )

    def meaning(self, error: Exception, /) -> Reply | str | None:
        """Return what an exception of `send` stands for."""
        if not isinstance(error, NO_ANSWER):
            return None
        if self.is_closed:
            return CLOSED
        if isinstance(error, TimeoutError):
            return TIMED_OUT
        if isinstance(error, aiohttp.InvalidURL):
            return NOT_SENT
        return UNUSABLE if type(error) is RuntimeError else FAILED


class _Manners:
    """What a session may add to a request goes, and aiohttp makes no second attempt of its own.

    It would make one after any lost connection, for PUT and DELETE too: a change would be applied twice.

    Args:
        authorization: the credentials of the request.
    """

    __slots__ = ("_authorization",)

    def __init__(self, authorization: str | None) -> None:
        self._authorization = authorization

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        headers = request.headers
        headers.popall("Cookie", None)
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        else:
            headers.popall("Authorization", None)
        try:
            return await handler(request)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, (TimeoutError, aiohttp.ClientConnectorError)):
                raise
            raise aiohttp.ClientConnectionError from None


def _without_credentials(request: Request) -> dict[str, str]:
    # aiohttp refuses an Authorization header next to the auth= of a session; `_Manners` puts it in later.
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    headers["Accept-Encoding"] = ACCEPTED
    return headers


async def _read(response: aiohttp.ClientResponse, *, dated: bool) -> Reply:
    headers = response.headers
    body = Body(_joined(headers.getall("Content-Encoding", ())), headers.get("Content-Length"))
    if response.status == SWITCHING_PROTOCOLS:
        raise ConnectionError  # nobody has asked for that (RFC 9110, section 15.2.2), and no body follows
    if body.flaw is None:
        while piece := await response.content.readany():
            if not body.add(piece):
                break
    date = headers.get("Date") if dated else None
    return Reply(response.status, body.finished(), _joined(headers.getall("Retry-After", ())), body.flaw, date)


def _joined(values: Sequence[str]) -> str | None:
    """Return a header as it counts where it is sent several times (RFC 9110, section 5.3)."""
    return ", ".join(values) if values else None


def _abandon(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
    """Close a session that nobody can close any more, without the warning that aiohttp has for it."""
    closing = cast("Coroutine[object, None, None]", session.close())
    if not loop.is_closed():
        with contextlib.suppress(RuntimeError):  # it is closed at this moment
            loop.call_soon_threadsafe(loop.create_task, closing)
            return
    # The connections went with the loop, and so there is nothing to wait for.
    with contextlib.suppress(StopIteration):
        closing.send(None)
