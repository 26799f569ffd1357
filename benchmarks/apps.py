"""Applications to measure: one endpoint as bare as it gets, and what people put around it to know the currency."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_ctx_middleware import CachePolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .timing import Contender

TENANT = "acme"
SECRET = "a secret that all workers of this shop share"
URL = "http://emporix.test"
PATH = f"/session-context/{TENANT}/me/context"
LONG = CachePolicy(ttl=3600.0, max_entries=100_000)

_HEADERS = (
    b"host: shop.test\n"
    b"user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\n"
    b"accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\n"
    b"accept-language: en-US,en;q=0.5\n"
    b"accept-encoding: gzip, deflate, br, zstd\n"
    b"connection: keep-alive\n"
    b"upgrade-insecure-requests: 1\n"
    b"sec-fetch-mode: navigate"
)
_COOKIES = b"_ga=GA1.1.1234567890.1700000000; consent=necessary"


@dataclass(frozen=True)
class Candidate:
    """One way to get the currency of a shopper to an endpoint.

    Args:
        name: what the table calls it.
        app: the whole application.
        token: what the shopper sends.
        cookie: what its cookies have besides the ordinary ones.
        floor: the candidate that does everything but this.
    """

    name: str
    app: ASGIApp
    token: str
    cookie: bytes = b""
    floor: str = "bare app"

    def contender(self) -> Contender:
        """Return it for a comparison."""
        app = self.app

        def call(scope: Scope) -> Awaitable[None]:
            return app(scope, receive, send)

        raw = raw_headers(self.token, self.cookie)
        return Contender(self.name, call, lambda: make_scope(raw))


def raw_headers(token: str, cookie: bytes = b"") -> bytes:
    """Return the headers of a request as they arrive: eight ordinary ones, the token, and the cookies."""
    cookies = _COOKIES + (b"; " + cookie if cookie else b"")
    return _HEADERS + b"\nauthorization: Bearer " + token.encode() + b"\ncookie: " + cookies


def make_scope(raw: bytes) -> Scope:
    """Return the scope of one request as uvicorn builds it: nothing in it is shared with another one."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [tuple(line.split(b": ", 1)) for line in raw.split(b"\n")],
        "state": {},
    }


async def receive() -> Message:
    """Give the body of a request that has none."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    """Take a message of the response."""


async def answer(app: ASGIApp, token: str, cookie: bytes = b"") -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of one response."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(make_scope(raw_headers(token, cookie)), receive, keep)
    return list(messages[0]["headers"]), b"".join(message.get("body", b"") for message in messages[1:])


def endpoint(handler: Callable[[Request], Awaitable[str]] | None = None) -> ASGIApp:
    """Return an application with one endpoint, whose handler tells the currency."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response: Response = PlainTextResponse("EUR" if handler is None else await handler(request))
        await response(scope, receive, send)

    return app


class NoOp:
    """The least that a middleware can be that looks at every message.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""

        async def send_wrapper(message: Message) -> None:
            await send(message)

        await self.app(scope, receive, send_wrapper)


async def touch(request: Request) -> str:
    """Read one value of the session context."""
    ctx = await request.state.session_ctx
    return str(ctx.currency)


async def switch(request: Request) -> str:
    """Change one value of the session context."""
    request.state.session_ctx.switch(currency="EUR")
    return ""


@dataclass(frozen=True)
class Shop:
    """What all candidates of one comparison share.

    Args:
        stack: closes what they opened.
        emporix: where the context comes from.
        token: of the shopper.
    """

    stack: AsyncExitStack
    emporix: FakeEmporix
    token: str

    @classmethod
    def open(cls, stack: AsyncExitStack) -> Shop:
        """Return a shop with one shopper."""
        emporix = FakeEmporix(TENANT)
        session = emporix.new_session(site_code="main", currency="EUR", language="en", target_location="DE")
        return cls(stack, emporix, session.token)

    async def client(self, **options: Any) -> httpx.AsyncClient:
        """Return a client whose calls arrive at Emporix in this process."""
        client: httpx.AsyncClient = self.emporix.client(httpx, base_url=URL, **options)
        return await self.stack.enter_async_context(client)

    async def middleware(self, app: ASGIApp, **options: Any) -> SessionContextMiddleware:
        """Return an application inside the middleware of this package."""
        options.setdefault("cache", LONG)
        options.setdefault("http_client", await self.client())
        options.setdefault("store", MemoryStore())  # each candidate pays for its own
        middleware = SessionContextMiddleware(app, tenant=TENANT, **options)
        self.stack.push_async_callback(middleware.aclose)
        return middleware


async def bare(shop: Shop) -> Candidate:
    """Nothing around the endpoint."""
    return Candidate("bare app", endpoint(), shop.token)


async def noop(shop: Shop) -> Candidate:
    """A middleware that does nothing."""
    return Candidate("no-op middleware", NoOp(endpoint()), shop.token)


async def untouched(shop: Shop) -> Candidate:
    """This middleware around an endpoint that never asks."""
    return Candidate("untouched", await shop.middleware(endpoint()), shop.token)


async def touched(shop: Shop) -> Candidate:
    """This middleware around an endpoint that reads one value."""
    return Candidate("touched, hit", await shop.middleware(endpoint(touch)), shop.token)


async def cookie(shop: Shop) -> Candidate:
    """The same with a note in the request, made by a switch on another worker."""
    app = await shop.middleware(endpoint(touch), secret_key=SECRET)
    switching = await shop.middleware(endpoint(switch), secret_key=SECRET)
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    token = shop.emporix.new_session(site_code="main", currency="USD", language="en", target_location="DE").token
    await switching(make_scope(raw_headers(token)), receive, keep)
    carried = next(value for name, value in messages[0]["headers"] if name == b"set-cookie")
    return Candidate("touched, hit, notes", app, token, carried.partition(b";")[0])


async def session_middleware(shop: Shop) -> Candidate:
    """Starlette's SessionMiddleware, with the same values in its cookie and one key read."""
    from starlette.middleware.sessions import SessionMiddleware

    values = {"site_code": "main", "currency": "EUR", "language": "en", "target_location": "DE", "cart_id": "c" * 24}

    async def fill(request: Request) -> str:
        request.session.update(values)
        return ""

    async def read(request: Request) -> str:
        return str(request.session["currency"])

    headers, _ = await answer(SessionMiddleware(endpoint(fill), SECRET), shop.token)
    carried = next(value for name, value in headers if name.lower() == b"set-cookie")
    app = SessionMiddleware(endpoint(read), SECRET)
    return Candidate("Starlette SessionMiddleware", app, shop.token, carried.partition(b";")[0])


Builder = Callable[[Shop], Awaitable[Candidate]]
CORE: Sequence[Builder] = (bare, noop, untouched, touched, cookie, session_middleware)
"""What needs nothing but this package and Starlette."""
