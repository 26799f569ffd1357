"""The shopper's credentials on the shop's own calls to Emporix, for whatever HTTP library makes them.

One object is an ``Auth`` of httpx and of httpx2, and a client middleware of aiohttp. None of the libraries is imported
here: a client of one of them exists only where somebody else has.

*Redirects*: httpx and httpx2 copy the headers of a request that is redirected, and take only ``Authorization`` out
where another host is next. So a request of a client that follows redirects gets that one and no other. aiohttp begins
each request of a redirect anew, and has it pass here again, so that only those to Emporix get anything.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ..emporix.shop_calls import Given, ShopCall, ShopCalls, is_refusal
from ..errors import ConfigurationError
from ..frames import without_locals
from ..model.personal import Personal

if TYPE_CHECKING:
    import aiohttp
    import httpx
    import httpx2

    class _Auth(httpx.Auth, httpx2.Auth):
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]: ...
        def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]: ...
        def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]: ...

else:
    _Auth = object

__all__ = ["Caller", "ShopAuth", "auth_for"]

AUTHORIZATION: Final = "Authorization"
HTTPX: Final = ("httpx", "httpx2")
CALLERS: Final = 4
"""Frames between an auth flow and the client that runs it, at most."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Caller(Personal):
    """The shopper whom calls are made for.

    Args:
        calls: tells where they may go, and what they need there.
        given: returns what a call goes out with.
        given_at_once: does so without awaiting.
        another: returns something else than Emporix has refused, `None` where there is nothing else.
        another_at_once: does so without awaiting.
        notice: is told of a cart that was created.
    """

    calls: ShopCalls
    given: Callable[[ShopCall], Awaitable[Given]]
    given_at_once: Callable[[ShopCall], Given]
    another: Callable[[ShopCall, Given], Awaitable[Given | None]]
    another_at_once: Callable[[ShopCall, Given], Given | None]
    notice: Callable[[str | None], None]


class ShopAuth(Personal, _Auth):
    """Authorizes calls to Emporix for one shopper: ``ctx.auth``.

    ``auth=ctx.auth`` with clients of httpx and httpx2, asynchronous or in a worker thread; ``middlewares=(ctx.auth,)``
    with aiohttp; `headers` with everything else. Calls to any other host or port go out as they are.

    Args:
        caller: whom for.
    """

    requires_request_body = False
    requires_response_body = False

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @without_locals
    def headers(self, method: str, url: str) -> dict[str, str]:
        """Return the headers for one call, empty where it does not go to Emporix.

        Whoever makes the call must not follow redirects with them. A cart that it creates is not noticed: say so with
        `SessionContext.cart_created`.

        Args:
            method: the HTTP method.
            url: absolute.

        Raises:
            NoToken: there is no token, and none can be had.
            ContextNotLoaded: the token source has to be awaited: write ``await ctx`` before.
        """
        call = self._caller.calls.find_url(method, url)
        if call is None:
            return {}
        return _fields(self._caller.given_at_once(call))

    # httpx and httpx2

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Authorize a request of an asynchronous client, and make it once more where another token is to be had.

        Raises:
            NoToken: there is no token, and none can be had.
            ConfigurationError: the client follows redirects, and the call needs more than a token.
        """
        call = self._to_emporix(request)
        if call is None:
            yield request
            return
        given = await self._caller.given(call)
        _put(request, given)
        response = yield request
        if _may_repeat(request, response) and is_refusal(await response.aread()):
            another = await self._caller.another(call, given)
            if another is not None:
                given = another
                _put(request, given)
                response = yield request
        self._answered(call, given, request, response)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Authorize a request of a synchronous client in a worker thread; see `async_auth_flow`.

        Raises:
            NoToken: there is no token, and none can be had.
            ConfigurationError: the client follows redirects, and the call needs more than a token.
            ContextNotLoaded: on the event loop, a token source has to be awaited: write ``await ctx`` before.
        """
        call = self._to_emporix(request)
        if call is None:
            yield request
            return
        given = self._caller.given_at_once(call)
        _put(request, given)
        response = yield request
        if _may_repeat(request, response) and is_refusal(response.read()):
            another = self._caller.another_at_once(call, given)
            if another is not None:
                given = another
                _put(request, given)
                response = yield request
        self._answered(call, given, request, response)

    def _to_emporix(self, request: Any) -> ShopCall | None:
        url = request.url
        path, _, query = url.raw_path.decode("ascii").partition("?")
        return self._caller.calls.find(
            request.method, (url.scheme, url.raw_host.decode("ascii"), url.port), path, query
        )

    def _answered(self, call: ShopCall, given: Given, request: Any, response: Any) -> None:
        if response.next_request is not None:
            for name in given.more:  # whoever follows it by himself
                response.next_request.headers.pop(name, None)
        self._look(call, response.status_code, response.headers.get("location"), _content(request))

    # aiohttp

    @without_locals
    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Authorize a request of aiohttp, and make it once more where another token is to be had.

        Raises:
            NoToken: there is no token, and none can be had.
        """
        url = request.url
        origin = (url.scheme, url.raw_host or "", url.port)
        call = self._caller.calls.find(request.method, origin, url.raw_path, url.raw_query_string)
        if call is None:
            return await handler(request)
        given = await self._caller.given(call)
        body = await _bytes_of(request)
        request.headers.update(_fields(given))
        response = await handler(request)
        if response.status == 401 and body is not None and is_refusal(await response.read()):
            another = await self._caller.another(call, given)
            if another is not None:
                response.release()
                request.headers.update(_fields(another))
                response = await handler(request)
        self._look(call, response.status, response.headers.get("Location"), body)
        return response

    def _look(self, call: ShopCall, status: int, location: str | None, body: bytes | None) -> None:
        """See whether a call has created a cart."""
        created, cart_id = self._caller.calls.created_cart(call, status, location, body)
        if created:
            self._caller.notice(cart_id)


def auth_for(caller: Caller) -> ShopAuth:
    """Return an object that all HTTP libraries take which somebody has imported so far."""
    loaded: list[Any] = [sys.modules.get(name) for name in HTTPX]
    return _kind(tuple(module.Auth for module in loaded if hasattr(module, "Auth")))(caller)


@lru_cache
def _kind(bases: tuple[type, ...]) -> type[ShopAuth]:
    return type(ShopAuth.__name__, (ShopAuth, *bases), {"__module__": __name__})


def _fields(given: Given) -> dict[str, str]:
    return {AUTHORIZATION: f"Bearer {given.token}", **given.more}


def _put(request: Any, given: Given) -> None:
    if given.more and _client_follows_redirects():
        raise ConfigurationError(
            f"This call needs {' and '.join(given.more)}, which the client would take along to another host, as it "
            "follows redirects. Pass follow_redirects=False: Emporix does not redirect."
        )
    request.headers.update(_fields(given))


def _client_follows_redirects() -> bool:
    """Tell whether the client that runs this auth flow follows redirects; where that cannot be seen, the default is no.

    No interface of httpx says so, but the client that waits for the flow holds it.
    """
    frame = inspect.currentframe()
    for _ in range(CALLERS):
        frame = None if frame is None else frame.f_back
        if frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in HTTPX:
            return bool(frame.f_locals.get("follow_redirects"))
    return False


def _may_repeat(request: Any, response: Any) -> bool:
    return response.status_code == 401 and _content(request) is not None


def _content(request: Any) -> bytes | None:
    """Return the body of a request of httpx, `None` where it is a stream that is gone once it was sent."""
    try:
        content: bytes = request.content
    except RuntimeError:  # it was not read
        return None
    return content


async def _bytes_of(request: aiohttp.ClientRequest) -> bytes | None:
    """Return the body of a request of aiohttp, `None` where it is a stream that is gone once it was sent."""
    from aiohttp import BytesPayload

    body = request.body
    if isinstance(body, bytes):
        return body
    return await body.as_bytes() if isinstance(body, BytesPayload) else None
