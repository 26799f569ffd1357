"""One HTTP call to Emporix, over httpx or httpx2: an answer, or an error that quotes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlencode

import anyio

from ..checks import is_visible
from ..clock import Clock
from ..errors import EmporixUnreachable, InvalidChange, MalformedAnswer, TokenRejected
from ..model.frozen_json import dumps
from .answers import Answer, seconds_of
from .limits import TimeLimit, TimeLimitedCall
from .redaction import redacted_request_lines
from .transport import Clients, Library, libraries, library_of

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_BODY", "Http"]

MAX_BODY: Final = 256 * 1024
ADDRESSES: Final = 16
OF_TOTAL: Final = 0.95


class Http:
    """Makes calls below one base address.

    Args:
        base_url: a checked base address.
        clients: where the HTTP client comes from.
        clock: measures how far away a date in ``Retry-After`` is.
        total_timeout: seconds that the whole of a call may take.
    """

    def __init__(self, base_url: str, clients: Clients, clock: Clock, total_timeout: float) -> None:
        self._base_url = base_url
        self._clients = clients
        self._limit = TimeLimit(total_timeout, clients)
        self._cut: tuple[httpx.Timeout | None, dict[str, float]] = (None, {})
        # Parsing the same address and the same headers again would be a good part of a call.
        self._urls: dict[tuple[type[httpx.URL], str], httpx.URL] = {}
        self._last: tuple[Library, list[tuple[bytes, bytes]], httpx.Headers] | None = None
        self._clock = clock

    async def aclose(self) -> None:
        """Close the HTTP client, where it is our own."""
        await self._clients.aclose()
        await self._limit.aclose()

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call; only its time limit and the client's own timeouts end it.

        Args:
            operation: the name of the call in errors.
            method: the HTTP method.
            path: what follows the base address, percent-encoded.
            token: sent as the bearer token (RFC 6750, section 2.1); without one, no ``Authorization`` is sent at all.
            json: the body, as JSON.
            form: the body, as a form.
            params: the query.
            headers: further headers.

        Returns:
            The answer, whatever its status.

        Raises:
            TokenRejected: `token` cannot stand in a header; nothing was sent.
            InvalidChange: `json` has no JSON form; nothing was sent.
            EmporixUnreachable: no answer came.
            MalformedAnswer: a successful answer is larger than 256 KiB.
        """
        if token is not None and not is_visible(token):
            raise TokenRejected(operation, None, "the token cannot be sent in a header")
        content, fields = _body(json, form)
        fields |= headers or {}
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        outcome = await self._attempt(operation, method, path, content=content, params=params, headers=fields)
        # Raised here and not in a handler: the client's error holds the request, and that the token.
        if isinstance(outcome, str):
            raise EmporixUnreachable(operation, None, outcome)
        return outcome

    async def _attempt(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        content: bytes | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Answer | str:
        """Return the answer, or why there is none."""
        await self._clients.ready()
        client = self._clients.current()
        try:
            request = self._request(client, method, path, content=content, params=params, headers=headers)
            return await self._limit.run(client, lambda call: self._send(operation, client, request, call))
        except Exception as error:
            outcome = self._outcome(error, client)
            if outcome is None:
                raise
            return outcome

    async def _send(
        self, operation: str, client: httpx.AsyncClient, request: httpx.Request, call: TimeLimitedCall
    ) -> Answer:
        with redacted_request_lines(operation):
            response = await client.send(request, stream=True, follow_redirects=False, auth=None)
        call.begins_to_read()
        return await self._read(operation, response, call)

    def _request(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        content: bytes | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        library = library_of(client)
        fields = library.Headers(self._kept(library, client.headers.raw))
        for name, value in headers.items():
            fields[name] = value
        return library.Request(
            method,
            self._url(library.URL, path),
            params=params,
            headers=fields,
            content=content,
            extensions={"timeout": self._timeouts(client)},
        )

    def _timeouts(self, client: httpx.AsyncClient) -> dict[str, float]:
        """Return a client's timeouts, short enough that a silent call ends by itself and need not be left behind."""
        own = client.timeout
        if self._cut[0] is not own:
            longest = OF_TOTAL * self._limit.seconds
            cut = {name: longest if each is None else min(each, longest) for name, each in own.as_dict().items()}
            self._cut = own, cut
        return dict(self._cut[1])

    def _url(self, kind: type[httpx.URL], path: str) -> httpx.URL:
        url = self._urls.get((kind, path))
        if url is None:
            if len(self._urls) >= ADDRESSES:
                self._urls.clear()
            url = self._urls[kind, path] = kind(f"{self._base_url}{path}")
        return url

    def _kept(self, library: Library, raw: list[tuple[bytes, bytes]]) -> httpx.Headers:
        """Return a client's headers without credentials: one that was passed in may add a shopper's, or its own."""
        if self._last is None or self._last[0] is not library or self._last[1] != raw:
            kept = [(name, value) for name, value in raw if name.lower() not in {b"cookie", b"authorization"}]
            self._last = (library, raw, library.Headers(kept))
        return self._last[2]

    async def _read(self, operation: str, response: httpx.Response, call: TimeLimitedCall) -> Answer:
        try:
            body = await _limited(response, call)
        finally:
            # The answer counts, however the connection ends.
            with contextlib.suppress(*_broken()):
                await response.aclose()
        if body is None and response.status_code < 300:
            raise MalformedAnswer(operation, response.status_code, f"larger than {MAX_BODY // 1024} KiB")
        return self._answer(response, body or b"")

    def _answer(self, response: httpx.Response, body: bytes | None) -> Answer:
        return Answer(response.status_code, body, seconds_of(response.headers.get("retry-after"), self._clock))

    def _outcome(self, error: Exception, client: httpx.AsyncClient) -> Answer | str | None:
        """Return what an exception of the HTTP client means, `None` where it is none."""
        if isinstance(error, tuple(library.HTTPStatusError for library in libraries())):
            # An event hook of the client raised for the status: that is an answer, without its body.
            return self._answer(cast("httpx.HTTPStatusError", error).response, None)
        return _reason(error, client) if isinstance(error, _broken()) else None


def _body(json: object, form: Mapping[str, str] | None) -> tuple[bytes | None, dict[str, str]]:
    if form is not None:
        return urlencode(form).encode("ascii"), {"content-type": "application/x-www-form-urlencoded"}
    if json is None:
        return None, {}
    content = _json(json)
    if content is None:
        raise InvalidChange("The body of a change must be JSON: strings, finite numbers, lists and mappings.")
    return content, {"content-type": "application/json"}


def _json(value: object) -> bytes | None:
    try:
        return dumps(value).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return None


async def _limited(response: httpx.Response, call: TimeLimitedCall) -> bytes | None:
    """Return the body, `None` where it is too large; between two pieces there is time to see that it takes too long."""
    if "," in response.headers.get("content-encoding", ""):
        return None  # packed twice: a few bytes could become any number before they can be counted
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > MAX_BODY:
        return None
    body = bytearray()
    # Closed at once when it is left early; the annotation of httpx hides that it is a generator.
    async with contextlib.aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as chunks:
        async for chunk in chunks:
            call.check()
            body += chunk
            if len(body) > MAX_BODY:
                return None
    return bytes(body)


def _broken() -> tuple[type[Exception], ...]:
    """Return everything that means: no answer came."""
    # RuntimeError: a closed client, a stream error, a connection that belongs to another event loop.
    # UnicodeError: an address that the answer redirects to, and that has no form.
    kinds: list[type[Exception]] = [OSError, EOFError, RuntimeError, UnicodeError]
    kinds += [anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream]
    for library in libraries():
        kinds += [library.HTTPError, library.InvalidURL, library.CookieConflict]
    return tuple(kinds)


def _reason(error: Exception, client: httpx.AsyncClient) -> str:
    if client.is_closed:
        return "the HTTP client is closed"
    if isinstance(error, (TimeoutError, *(library.TimeoutException for library in libraries()))):
        return "timed out"
    for library in libraries():
        if isinstance(error, (library.InvalidURL, library.UnsupportedProtocol, library.LocalProtocolError)):
            return "the request could not be sent"
    if type(error) is RuntimeError:
        return "the HTTP client could not be used, perhaps because it belongs to another event loop"
    return "the connection failed"
