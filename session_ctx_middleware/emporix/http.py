"""One HTTP call to Emporix, over whatever library: an answer, or an error that quotes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Final
from urllib.parse import urlencode, urlsplit

from ..checks import is_visible
from ..clock import Clock
from ..errors import EmporixUnreachable, InvalidChange, MalformedAnswer, TokenRejected
from ..model.frozen_json import dumps
from ..observing import Call, CallHook, CallObserver
from ..platform_time import PlatformTime
from .answers import Answer, seconds_of
from .limits import TimeLimit
from .transport import (
    CLOSED,
    FAILED,
    NOT_SENT,
    TIMED_OUT,
    UNUSABLE,
    Clients,
    CountedHere,
    Reply,
    Request,
    kept_out_of_traces,
)

__all__ = ["ERRORS", "Http"]

PORTS: Final = {"http": 80, "https": 443}
ERRORS: Final = {
    CLOSED: "client_closed",
    FAILED: "connection_failed",
    NOT_SENT: "not_sent",
    TIMED_OUT: "timeout",
    UNUSABLE: "client_unusable",
}
"""What calls without an answer are counted as."""


class Http:
    """Makes calls below one base address.

    Args:
        base_url: a checked base address.
        clients: where the HTTP client comes from.
        clock: measures how long a call takes, and how far away a date in ``Retry-After`` is.
        total_timeout: seconds that the whole of a call may take.
        on_call: is told every call that was made; `None` where nobody wants to know.
        observer: is told of each call that has ended; never raises.

    Attributes:
        platform_time: what the dates of answers say.
    """

    def __init__(
        self,
        base_url: str,
        clients: Clients,
        clock: Clock,
        total_timeout: float,
        *,
        on_call: CallHook | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        self.platform_time = PlatformTime(clock)
        self._base_url = base_url
        self._clients = clients
        self._limit = TimeLimit(total_timeout, clients, clock)
        self._clock = clock
        self._on_call = on_call
        self._observer = observer
        parts = urlsplit(base_url)
        self._server = parts.hostname or "", parts.port or PORTS[parts.scheme]

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
        confidential: bool = False,
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
            confidential: whether the address holds a secret, so that no trace may have it.

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
        dated = self.platform_time.wants_date
        request = Request(operation, method, self._url(path, params), fields, content, dated)
        began = self._clock.monotonic() if dated else 0.0
        if self._observer is None and self._on_call is None:
            reply = await self._sent(request, confidential=confidential)
        else:
            reply = await self._watched(request, token, confidential=confidential)
        # Raised here and not in a handler: the client's error holds the request, and that the token.
        if isinstance(reply, str):
            raise EmporixUnreachable(operation, None, reply)
        if dated and reply.status < 300:
            self.platform_time.told(reply.date, began)
        if reply.flaw is not None and reply.status < 300:
            raise MalformedAnswer(operation, reply.status, reply.flaw)
        body = b"" if reply.flaw is not None else reply.body
        return Answer(reply.status, body, seconds_of(reply.retry_after, self._clock))

    async def _watched(self, request: Request, token: str | None, *, confidential: bool) -> Reply | str:
        """Make a call that somebody is told of; where an observer counts it, nobody else counts it once more."""
        began, status, failure, error = self._clock.monotonic(), None, "", "_OTHER"
        try:
            with nullcontext() if self._observer is None else CountedHere():
                reply = await self._sent(request, confidential=confidential)
            if isinstance(reply, str):
                failure, error = reply, ERRORS.get(reply, error)
            else:
                status, error = reply.status, _flaw(reply)
        except BaseException as raised:
            failure = error = type(raised).__name__
            raise
        else:
            return reply
        finally:
            host, port = self._server
            call = Call(
                operation=request.operation,
                method=request.method,
                host=host,
                port=port,
                began=began,
                seconds=self._clock.monotonic() - began,
                status=status,
                failure=failure,
                error=error,
            )
            self._tell(call, token)

    def _tell(self, call: Call, token: str | None) -> None:
        if self._observer is not None:
            self._observer.called(call)
        if self._on_call is not None:
            self._on_call(call, token)

    async def _sent(self, request: Request, *, confidential: bool) -> Reply | str:
        if not confidential:
            return await self._attempt(request)
        with kept_out_of_traces():
            return await self._attempt(request)

    async def _attempt(self, request: Request) -> Reply | str:
        """Return the answer, or why there is none."""
        await self._clients.ready()
        client = self._clients.current()
        try:
            return await self._limit.run(client, request)
        except Exception as error:
            meaning = client.meaning(error)
            if meaning is None:
                raise
            return meaning

    def _url(self, path: str, params: Mapping[str, str] | None) -> str:
        return f"{self._base_url}{path}?{urlencode(params)}" if params else f"{self._base_url}{path}"


def _flaw(reply: Reply) -> str:
    return "" if reply.flaw is None or reply.status >= 300 else MalformedAnswer.__name__


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
