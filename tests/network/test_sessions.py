"""Sessions of guests over real sockets: whatever happens at a token endpoint, nobody loses a session or a choice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from session_ctx_middleware import (
    ContextDefaults,
    ContextEvent,
    ContextUnavailable,
    SessionContextMiddleware,
    UpstreamPolicy,
    get_session_context,
)
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.hours import Hours
from .backend import WebServer

pytestmark = pytest.mark.network

SECRET = "a secret that all workers of this shop share"
COOKIE = "storefront_session."
JANE = ("jane@example.com", "correct-horse")
GUEST = "ANONYMOUS"
LIMITS = UpstreamPolicy(deadline=4.0, commit_deadline=4.0, timeout=1.0, total_timeout=1.0)
FAULTS: dict[str, Fault | None] = {
    "500": Fault(status=500),
    "429": Fault(status=429, retry_after=3),
    "401 of a proxy": Fault(status=401, by="proxy"),
    "403 of a firewall": Fault(status=403, by="proxy"),
    "time-out": Fault(hang=True),
    "reset": Fault(drop="before"),
    "no JSON": Fault(body=b"<html>"),
    "half an answer": Fault(body={"token_type": "Bearer"}),
    "dripping": None,
}


class Drips:
    """Emporix, whose token endpoints drip for as long as anybody listens while `on`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.on = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.on or not scope["path"].endswith(self.on):
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        while self.on:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body"})


class Visits:
    """A shop with one worker or several that share nothing, and one browser."""

    def __init__(self, url: str, library: str, hours: Hours, workers: int = 1) -> None:
        self.events: list[ContextEvent] = []
        self.sessions = [StorefrontSessions("storefront") for _ in range(workers)]
        routes = [
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/{page}", self._page, methods=["GET", "POST"]),
        ]
        self.middlewares = [
            SessionContextMiddleware(
                Starlette(routes=routes),
                tenant="acme",
                base_url=url,
                token=sessions,
                secret_key=SECRET,
                defaults=ContextDefaults(currency="EUR"),
                http_client=library,  # type: ignore[arg-type]
                upstream=LIMITS,
                on_event=self.events.append,
                clock=hours,
                store=MemoryStore(clock=hours),
            )
            for sessions in self.sessions
        ]
        self.browsers = [
            httpx2.AsyncClient(transport=httpx2.ASGITransport(each), base_url="http://shop.test")
            for each in self.middlewares
        ]
        for browser in self.browsers[1:]:
            browser._cookies = self.browsers[0]._cookies

    async def _page(self, request: Request) -> PlainTextResponse:
        ctx = get_session_context(request)
        if request.method == "POST":
            ctx.switch(currency="CHF")
        await ctx
        return PlainTextResponse(f"{ctx.session_id or '-'} {ctx.currency} {ctx.customer_id or '-'}")

    async def _login(self, request: Request) -> PlainTextResponse:
        try:
            await self.sessions[0].login(request, *JANE)
        except ContextUnavailable:
            return PlainTextResponse("later")
        return PlainTextResponse("welcome")

    async def _logout(self, request: Request) -> PlainTextResponse:
        await self.sessions[0].logout(request)
        return PlainTextResponse("bye")

    async def page(self, worker: int = 0, method: str = "GET", path: str = "/page") -> list[str]:
        began = time.monotonic()
        answer = await self.browsers[worker].request(method, path)
        assert answer.status_code == 200
        assert time.monotonic() - began < 30
        return answer.text.split()

    @property
    def cookie(self) -> str:
        return next((each.value or "" for each in self.browsers[0].cookies.jar if each.name.startswith(COOKIE)), "")

    def outcomes(self, name: str) -> list[str]:
        return [event.outcome for event in self.events if event.name == name]

    async def aclose(self) -> None:
        for browser, middleware in zip(self.browsers, self.middlewares, strict=True):
            await browser.aclose()
            await middleware.aclose()


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def emporix(hours: Hours) -> FakeEmporix:
    return FakeEmporix(context_at="login", now=hours.time)


@pytest.fixture
async def served(emporix: FakeEmporix, nothing_left: None) -> AsyncIterator[tuple[Drips, str]]:
    drips = Drips(emporix)
    server = WebServer(drips)
    await server.start()
    yield drips, server.address
    await server.aclose()


def strike(emporix: FakeEmporix, drips: Drips, operation: str, fault: Fault | None) -> None:
    if fault is None:
        drips.on = "/" + operation.partition(".")[2]
    else:
        emporix.fault(operation, fault, times=None)


def heal(emporix: FakeEmporix, drips: Drips) -> None:
    drips.on = ""
    emporix.clear_faults()


async def test_refresh_fails(served: tuple[Drips, str], emporix: FakeEmporix, hours: Hours) -> None:
    """Whatever happens to a refresh, the session, the cookie and the choice stay, before and after the token's end."""
    drips, url = served
    visits = Visits(url, "aiohttp", hours)
    session, *_ = await visits.page(method="POST")
    for fault in FAULTS.values():
        hours.passed += 3500.0
        strike(emporix, drips, "anonymous.refresh", fault)
        cookie = visits.cookie
        assert await visits.page() == [session, "CHF", GUEST], fault
        hours.passed += 200.0
        assert (await visits.page())[1] == "CHF", fault  # what the browser knows of its choices
        assert visits.cookie == cookie
        heal(emporix, drips)
        hours.passed += 61.0
        assert await visits.page() == [session, "CHF", GUEST], fault
        assert visits.cookie != cookie
    assert emporix.count("anonymous.login") == 1
    assert not visits.outcomes("session.replaced")
    await visits.aclose()


async def test_refresh_is_refused(served: tuple[Drips, str], emporix: FakeEmporix, hours: Hours) -> None:
    """A 401 of Emporix ends nothing while the token is good; then another session begins, and the choice goes along."""
    drips, url = served
    visits = Visits(url, "aiohttp", hours)
    session, *_ = await visits.page(method="POST")
    hours.passed += 3500.0
    strike(emporix, drips, "anonymous.refresh", Fault(status=401))
    assert await visits.page() == [session, "CHF", GUEST]
    hours.passed += 200.0
    another, chosen, _ = await visits.page()

    assert another not in {session, "-"}
    assert chosen == "CHF"
    assert visits.outcomes("session.replaced") == ["refused"]
    await visits.aclose()


async def test_login_fails(served: tuple[Drips, str], emporix: FakeEmporix, hours: Hours) -> None:
    """While no session can be begun a visitor sees the defaults, and what he chooses; the first one gets that."""
    drips, url = served
    visits = Visits(url, "aiohttp", hours)
    for fault in [*FAULTS.values(), Fault(status=401)]:
        strike(emporix, drips, "anonymous.login", fault)
        assert await visits.page(method="POST") == ["-", "CHF", "-"], fault
        assert not visits.cookie
        heal(emporix, drips)
        hours.passed += 61.0
    session, chosen, _ = await visits.page()

    assert session != "-"
    assert chosen == "CHF"
    assert (emporix.document(session) or {})["currency"] == "CHF"
    await visits.aclose()


async def test_race(served: tuple[Drips, str], emporix: FakeEmporix, hours: Hours) -> None:
    """Three workers that share nothing refresh at the same moment, over sockets, again and again: one session."""
    _, url = served
    visits = Visits(url, "aiohttp", hours, workers=3)
    session, *_ = await visits.page(method="POST")
    for _ in range(4):
        hours.passed += 3500.0
        emporix.fault("anonymous.refresh", Fault(delay=0.1), times=3)
        pages = await asyncio.gather(*(visits.page(worker) for worker in (0, 1, 2) for _ in range(2)))
        assert {tuple(page) for page in pages} == {(session, "CHF", GUEST)}
    assert emporix.count("anonymous.login") == 1
    await visits.aclose()


async def test_customers(served: tuple[Drips, str], emporix: FakeEmporix, hours: Hours) -> None:
    """A login that fails leaves a guest as he was, a refresh that fails a customer; a logout counts all the same."""
    drips, url = served
    visits = Visits(url, "aiohttp", hours)
    session, *_ = await visits.page(method="POST")
    for fault in FAULTS.values():
        strike(emporix, drips, "customer.login", fault)
        cookie = visits.cookie
        assert await visits.page(method="POST", path="/login") == ["later"], fault
        assert visits.cookie == cookie
        heal(emporix, drips)
    assert (await visits.page())[0] == session  # Emporix may have logged the session in, and its answer was lost
    assert await visits.page(method="POST", path="/login") == ["welcome"]
    await visits.page(
        method="POST"
    )  # chosen once more, as Emporix may have put the customer's preferences in its place
    assert await visits.page() == [session, "CHF", "C0001"]

    operation = "customer.refresh"
    for fault in FAULTS.values():
        strike(emporix, drips, operation, fault)
        drips.on = drips.on and "/refreshauthtoken"
        emporix.fault("context.get", Fault(status=401))
        hours.passed += 61.0
        cookie = visits.cookie
        await visits.page()
        assert visits.cookie == cookie, fault
        heal(emporix, drips)
        hours.passed += 61.0
        assert await visits.page() == [session, "CHF", "C0001"], fault

    for fault in [FAULTS["500"], FAULTS["429"], FAULTS["reset"], FAULTS["dripping"], Fault(status=401)]:
        strike(emporix, drips, "customer.logout", fault)
        assert await visits.page(method="POST", path="/logout") == ["bye"]
        heal(emporix, drips)
        assert (await visits.page())[1:] == ["CHF", GUEST], fault
        assert await visits.page(method="POST", path="/login") == ["welcome"]
    await visits.aclose()
