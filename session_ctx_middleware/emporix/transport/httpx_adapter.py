"""The port over httpx, and over httpx2: to what is used of them here the two are one interface."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Protocol, TypeAlias, cast

import anyio
import httpx

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
from .redaction import RedactedRequestLines

__all__ = ["HttpxTransport", "Library", "build_client", "is_client"]

ADDRESSES: Final = 16
OF_TOTAL: Final = 0.95
BODIED: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say that they have no body (RFC 9110, section 8.6)."""
NEVER_SENT: Final = frozenset({b"cookie", b"authorization", b"accept-encoding"})
Fields: TypeAlias = "list[tuple[bytes, bytes]]"
OF_ANYIO: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)


class Library(Protocol):
    """What httpx and httpx2 have in common, as far as it is used here."""

    AsyncClient: type[httpx.AsyncClient]
    Request: type[httpx.Request]
    Headers: type[httpx.Headers]
    URL: type[httpx.URL]
    ByteStream: type[httpx.ByteStream]
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


def _libraries() -> tuple[Library, ...]:
    """Return httpx, and httpx2 where somebody has imported it: no client of it exists before that."""
    loaded = (httpx, sys.modules.get("httpx2"))
    return tuple(cast("Library", module) for module in loaded if hasattr(module, "AsyncClient"))


def _library_of(client: object) -> Library | None:
    """Return the library that a client comes from."""
    return next((library for library in _libraries() if isinstance(client, library.AsyncClient)), None)


def _errors(*names: str) -> tuple[type[Exception], ...]:
    """Return errors by name, of both libraries: the one may make its calls over a transport of the other."""
    return tuple(getattr(library, name) for library in _libraries() for name in names)


def is_client(client: object) -> bool:
    """Tell whether something is an asynchronous client of httpx or httpx2."""
    return _library_of(client) is not None


def build_client(library: Library, options: Options, tls: ssl.SSLContext | None) -> httpx.AsyncClient:
    """Return a client that follows no redirects and keeps no cookies.

    Args:
        library: which one.
        options: see there.
        tls: what certificates are checked with, `None` for the default of the library.
    """
    short = options.connect_timeout
    return library.AsyncClient(
        timeout=library.Timeout(options.timeout, connect=short, pool=short),
        limits=library.Limits(
            max_connections=options.max_connections,
            max_keepalive_connections=options.max_connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        # One client serves all shoppers: a cookie set for one of them must not go out with the next call.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        # What the environment says has been read for all libraries alike.
        trust_env=False,
        proxy=options.proxy,
        verify=True if tls is None else tls,
    )


class HttpxTransport:
    """Makes calls with a client of httpx or httpx2.

    Args:
        client: the client.
        total_timeout: seconds that the whole of a call may take.

    Attributes:
        client: the client.
    """

    def __init__(self, client: object, total_timeout: float) -> None:
        self.client: Final = cast("httpx.AsyncClient", client)
        self._library = cast("Library", _library_of(client))
        # Cancelled calls can use up the connections of httpx for good, see `emporix.limits`.
        self.cancellable = not isinstance(client, httpx.AsyncClient)
        self._longest = OF_TOTAL * total_timeout
        self._cut: tuple[httpx.Timeout | None, dict[str, float]] = (None, {})
        # Parsing the same address and the same headers again would be a good part of a call.
        self._urls: dict[str, httpx.URL] = {}
        self._last: tuple[Fields, bytes, Fields] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed."""
        return self.client.is_closed

    async def aclose(self) -> None:
        """Close the client."""
        await self.client.aclose()

    async def send(self, request: Request, call: TimeLimitedCall, /) -> Reply:
        """Make one call."""
        made = self._made(request)
        with RedactedRequestLines(request.operation):
            response = await self.client.send(made, stream=True, follow_redirects=False, auth=None)
        call.begins_to_read()
        try:
            return await self._read(response, call, dated=request.dated)
        finally:
            await _close(response)

    def meaning(self, error: Exception, /) -> Reply | str | None:
        """Return what an exception of `send` stands for."""
        if isinstance(error, _errors("HTTPStatusError")):
            # An event hook of the client raised for the status: that is an answer, without its body.
            response = cast("httpx.HTTPStatusError", error).response
            return Reply(response.status_code, None, response.headers.get("retry-after"))
        if not isinstance(error, _broken()):
            return None
        if self.is_closed:
            return CLOSED
        if isinstance(error, (TimeoutError, *_errors("TimeoutException"))):
            return TIMED_OUT
        if isinstance(error, _errors("InvalidURL", "UnsupportedProtocol", "LocalProtocolError")):
            return NOT_SENT
        return UNUSABLE if type(error) is RuntimeError else FAILED

    def _made(self, request: Request) -> httpx.Request:
        url, content = self._url(request.url), request.content or b""
        own = {name.lower().encode("ascii"): value.encode("ascii") for name, value in request.headers.items()}
        if content or request.method in BODIED:
            own[b"content-length"] = b"%d" % len(content)
        kept = [(name, value) for name, value in self._kept(self.client.headers.raw, url) if name not in own]
        # With a stream, the library adds nothing: what it would add is known, and takes longer than all the rest.
        made = self._library.Request(
            request.method,
            url,
            headers=[*kept, *own.items()],
            stream=self._library.ByteStream(content),
            extensions={"timeout": self._timeouts()},
        )
        made.read()  # hooks of a client that was passed in may look at the content
        return made

    def _timeouts(self) -> dict[str, float]:
        """Return the client's timeouts, short enough that a silent call ends by itself and need not be left behind."""
        own, longest = self.client.timeout, self._longest
        if self._cut[0] is not own:
            cut = {name: longest if each is None else min(each, longest) for name, each in own.as_dict().items()}
            self._cut = own, cut
        return dict(self._cut[1])

    def _url(self, text: str) -> httpx.URL:
        if "?" in text:  # comes once, and may hold a secret that need not be kept
            return self._library.URL(text)
        url = self._urls.get(text)
        if url is None:
            if len(self._urls) >= ADDRESSES:
                self._urls.clear()
            url = self._urls[text] = self._library.URL(text)
        return url

    def _kept(self, raw: Fields, url: httpx.URL) -> Fields:
        """Return the client's headers without credentials: one that was passed in may add a shopper's, or its own."""
        if self._last is None or self._last[:2] != (raw, url.netloc):
            lowered = ((name.lower(), value) for name, value in raw)
            kept = [(name, value) for name, value in lowered if name not in NEVER_SENT]
            host = [] if any(name == b"host" for name, _ in kept) else [(b"host", url.netloc)]
            self._last = raw, url.netloc, [*host, *kept, (b"accept-encoding", ACCEPTED.encode())]
        return self._last[2]

    async def _read(self, response: httpx.Response, call: TimeLimitedCall, *, dated: bool) -> Reply:
        headers = response.headers
        if response.is_stream_consumed:  # by an event hook of the client, or it came from memory: it is unpacked
            body = Body(None, None)
            body.add(response.content)
        else:
            body = Body(headers.get("content-encoding"), headers.get("content-length"))
            await _collect(response, body, call)
        date = headers.get("date") if dated else None
        return Reply(response.status_code, body.finished(), headers.get("retry-after"), body.flaw, date)


async def _close(response: httpx.Response) -> None:
    """Close a response, which counts however its connection ends."""
    try:
        await response.aclose()
    except Exception as error:
        if not isinstance(error, _broken()):
            raise


async def _collect(response: httpx.Response, body: Body, call: TimeLimitedCall) -> None:
    """Read a body to its end, or for as long as there is any use in it and there is time."""
    if body.flaw is not None:
        return
    # Closed at once when it is left early; the annotation of httpx hides that it is a generator.
    async with contextlib.aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as pieces:
        async for piece in pieces:
            call.check()
            if not body.add(piece):
                break


def _broken() -> tuple[type[Exception], ...]:
    """Return everything that means: no answer came."""
    return (*BROKEN, *OF_ANYIO, *_errors("HTTPError", "InvalidURL", "CookieConflict"))
