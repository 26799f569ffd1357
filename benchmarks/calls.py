"""Calls per page view: one visit to a shop, played with several ways to handle the session context.

The other ways are written anew from what their sources are known to do, no further than this visit goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import httpx
import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from session_ctx_middleware import ContextDefaults, ContinuityPolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix
from tests.support.virtual_time import WALL_START, VirtualClock, VirtualTimeLoop

from .figures import Effort, Figure, Plot, Section

__all__ = ["run"]

ContextAt = Literal["cart", "login"]
Values = Mapping[str, str | None]

THINK_SECONDS: Final = 20.0
TEMPLATES: Final = 5
WORKERS: Final = 3
PLATFORM: Final = "https://emporix.test"
CONTEXT: Final = "/session-context/acme/me/context"
START: Final[Mapping[str, str]] = {"currency": "EUR", "language": "en", "target_location": "DE"}
WIRE: Final[Mapping[str, str]] = {
    "currency": "currency",
    "language": "language",
    "target_location": "targetLocation",
}

SCRIPT: Final[Sequence[tuple[str, Mapping[str, str]]]] = (
    *[("page", {})] * 9,  # lands and browses
    ("switch", {"currency": "CHF"}),
    *[("page", {})] * 3,
    ("cart", {}),
    *[("page", {})] * 3,
    ("switch", {"language": "de", "target_location": "AT"}),
    *[("page", {})] * 4,  # browses on, and checks out
    ("login", {}),
    *[("page", {})] * 2,
)
"""What the shopper does; after each `switch`, `cart` and `login` the browser is sent on to a page at once."""


class Handling(Protocol):
    """One way to handle the session context."""

    async def page(self, token: str) -> Values:
        """Render a page; return what its templates have shown."""
        ...

    async def switch(self, token: str, values: Mapping[str, str]) -> None:
        """Do what the form of the switcher asks for."""
        ...

    async def cart_created(self, token: str, cart_id: str) -> None:
        """Go on after the first item has gone into the cart."""
        ...


class Upstream:
    """The two calls, as plain as they can be."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, token: str) -> dict[str, Any] | None:
        """Return the context, `None` where there is none."""
        answer = await self._client.get(PLATFORM + CONTEXT, headers={"Authorization": f"Bearer {token}"})
        return answer.json() if answer.status_code == 200 else None

    async def patch(self, token: str, context: Mapping[str, Any], values: Mapping[str, str]) -> bool:
        """Change a context; tell whether Emporix has taken it."""
        body: dict[str, Any] = {"metadata": {"version": context["metadata"]["version"]}}
        body |= {WIRE[name]: value for name, value in values.items()}
        headers = {"Authorization": f"Bearer {token}"}
        return (await self._client.patch(PLATFORM + CONTEXT, headers=headers, json=body)).status_code == 204


class HandWritten:
    """A dependency that asks with every request, and a form that asks and sends.

    Args:
        upstream: the calls.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def page(self, token: str) -> Values:
        return _shown(await self._read(token))

    async def switch(self, token: str, values: Mapping[str, str]) -> None:
        context = await self._upstream.get(token)
        if context is not None:
            await self._upstream.patch(token, context, values)

    async def cart_created(self, token: str, cart_id: str) -> None:
        """Nothing is remembered, so nothing is to be done."""

    async def _read(self, token: str) -> dict[str, Any] | None:
        return await self._upstream.get(token)


class LikeJas(HandWritten):
    """As Emporix' own Journey Aware Storefront: 5 seconds of cache, and one GET and PATCH for each value.

    A refused PATCH is tried once more after a GET, unless somebody else has changed the value.
    """

    TTL: Final = 5.0

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self._cached: dict[str, tuple[float, dict[str, Any] | None]] = {}

    async def switch(self, token: str, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            context = await self._upstream.get(token)
            if context is not None and not await self._upstream.patch(token, context, {name: value}):
                latest = await self._upstream.get(token)
                if latest is not None and latest.get(WIRE[name]) == context.get(WIRE[name]):
                    await self._upstream.patch(token, latest, {name: value})
        self._cached.pop(token, None)

    async def cart_created(self, token: str, cart_id: str) -> None:
        del cart_id
        self._cached.pop(token, None)

    async def _read(self, token: str) -> dict[str, Any] | None:
        now = asyncio.get_running_loop().time()
        until, context = self._cached.get(token, (0.0, None))
        if now >= until or context is None:
            context = await self._upstream.get(token)
            self._cached[token] = now + self.TTL, context
        return context


class LikeViu(HandWritten):
    """As the TypeScript SDK of VIU: pages show what the browser remembers; a change that finds no context is dropped.

    The site's three values go in one PATCH, each other value in one of its own, and there is no second try.
    """

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self._browser: dict[str, str | None] = dict(START)

    async def page(self, token: str) -> Values:
        del token
        return self._browser

    async def switch(self, token: str, values: Mapping[str, str]) -> None:
        self._browser |= values
        for name, value in values.items():
            await super().switch(token, {name: value})


class Ours:
    """The middleware, in one worker or in several behind a load balancer that takes them in turn.

    Args:
        client: calls Emporix.
        workers: how many.
        cookie: whether they have continuity cookies.
        document: whether the document travels in one of them.
        store: whether they share a store; it is of this process, and knows what Redis would know.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        workers: int,
        *,
        cookie: bool = False,
        document: bool = False,
        store: bool = False,
    ) -> None:
        memory = MemoryStore(shared=True, clock=VirtualClock()) if store else None
        self._apps = [
            _shop(
                client,
                **({"secret_key": "0123456789abcdef" * 2} if cookie else {}),
                continuity=ContinuityPolicy(document=document),
                **({"store": memory.sibling()} if memory else {}),
            )
            for _ in range(workers)
        ]
        self._cookies: dict[str, str] = {}
        self._turn = 0

    async def page(self, token: str) -> Values:
        values: Values = (await self._send(token, "GET", "/", {})).json()
        return values

    async def switch(self, token: str, values: Mapping[str, str]) -> None:
        await self._send(token, "POST", "/switch", values)

    async def cart_created(self, token: str, cart_id: str) -> None:
        await self._send(token, "POST", "/cart", {"id": cart_id})

    async def _send(self, token: str, method: str, path: str, query: Mapping[str, str]) -> httpx2.Response:
        app = self._apps[self._turn % len(self._apps)]
        self._turn += 1
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), cookies=self._cookies) as browser:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await browser.request(method, f"https://shop.test{path}", params=dict(query), headers=headers)
        self._cookies |= dict(answer.cookies)
        return answer.raise_for_status()


def _shop(client: httpx.AsyncClient, **options: Any) -> Starlette:
    async def page(request: Request) -> Response:
        shown: dict[str, str | None] = {}
        for _ in range(TEMPLATES):
            ctx = await request.state.session_ctx
            shown = {name: getattr(ctx, name) for name in START}
        return JSONResponse(shown)

    async def switch(request: Request) -> Response:
        request.state.session_ctx.switch(**request.query_params)
        return Response(status_code=204)

    async def cart(request: Request) -> Response:
        await request.state.session_ctx.cart_created(request.query_params["id"])
        return Response(status_code=204)

    middleware = Middleware(
        SessionContextMiddleware,
        tenant="acme",
        base_url=PLATFORM,
        defaults=ContextDefaults(**START),
        http_client=client,
        clock=VirtualClock(),
        **{"store": MemoryStore(clock=VirtualClock()), **options},  # as if in a process of its own
    )
    routes = [Route("/", page), Route("/switch", switch, methods=["POST"]), Route("/cart", cart, methods=["POST"])]
    return Starlette(routes=routes, middleware=[middleware])


def _shown(context: Mapping[str, Any] | None) -> Values:
    return START if context is None else {name: context.get(wire) for name, wire in WIRE.items()}


@dataclass(slots=True)
class Bill:
    """What a visit has cost, and what it was worth.

    Args:
        pages: page views.
        gets: of the context.
        patches: of the context.
        wrong: page views that showed something else than the shopper has chosen.
        unknown: choices that Emporix, which makes the prices, does not know in the end.
    """

    pages: int = 0
    gets: int = 0
    patches: int = 0
    wrong: int = 0
    unknown: int = 0

    @property
    def calls_per_page(self) -> float:
        return (self.gets + self.patches) / self.pages


ONE: Final = "this middleware"
DOCUMENT: Final = f"this middleware, {WORKERS} workers, document in the cookie"
HANDLINGS: Final[Mapping[str, Callable[[httpx.AsyncClient], Handling]]] = {
    ONE: lambda client: Ours(client, 1),
    f"this middleware, {WORKERS} workers, cookie": lambda client: Ours(client, WORKERS, cookie=True),
    DOCUMENT: lambda client: Ours(client, WORKERS, cookie=True, document=True),
    f"this middleware, {WORKERS} workers, shared store": lambda client: Ours(client, WORKERS, store=True),
    "like JAS (5 s cache)": lambda client: LikeJas(Upstream(client)),
    "like VIU (values in the browser)": lambda client: LikeViu(Upstream(client)),
    "hand-written, GET per request": lambda client: HandWritten(Upstream(client)),
}


async def visit(name: str, context_at: ContextAt) -> Bill:
    """Play the visit, and count."""
    loop = asyncio.get_running_loop()
    emporix = FakeEmporix(context_at=context_at, now=lambda: WALL_START + loop.time())
    session = emporix.new_session(exists=context_at == "login")
    token, wishes, bill = session.token, dict(START), Bill()
    async with emporix.client(httpx) as client:
        handling = HANDLINGS[name](client)
        for action, values in SCRIPT:
            await asyncio.sleep(THINK_SECONDS)
            if action == "switch":
                wishes |= values
                await handling.switch(token, values)
            elif action == "cart":
                await handling.cart_created(token, await _fill_cart(client, token, wishes["currency"]))
            elif action == "login":
                emporix.edit(session.session_id, customerId="c-1")
                token = emporix.new_token(session.session_id)
            bill.pages += 1
            bill.wrong += await handling.page(token) != wishes
        await asyncio.sleep(THINK_SECONDS)
    known = _shown(emporix.document(session.session_id))
    bill.unknown = sum(known[name] != wish for name, wish in wishes.items())
    bill.gets, bill.patches = emporix.count("context.get"), emporix.count("context.patch")
    return bill


async def _fill_cart(client: httpx.AsyncClient, token: str, currency: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    cart = {"siteCode": "main", "currency": currency}
    answer = await client.post(f"{PLATFORM}/cart/acme/carts", headers=headers, json=cart)
    return str(answer.raise_for_status().json()["cartId"])


def run(effort: Effort) -> Section:
    """Play the visit with each handling; it takes as long as it takes, and has no chance in it."""
    del effort
    bills: dict[ContextAt, dict[str, Bill]] = {}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for context_at in ("login", "cart"):
            bills[context_at] = {name: runner.run(visit(name, context_at)) for name in HANDLINGS}
    when: Mapping[ContextAt, str] = {"login": "exists from the start", "cart": "appears with the cart"}
    per_page = {when[at]: [bill.calls_per_page for bill in bills[at].values()] for at in bills}
    return Section(
        name="calls",
        title="Calls to Emporix per page view",
        method=f"One visit of {len(SCRIPT)} page views, {THINK_SECONDS:g} s apart in virtual time, each of which reads "
        f"the context in {TEMPLATES} templates; three choices, a cart and a login. Counted by FakeEmporix.",
        columns=("the context", "handling", "GETs", "PATCHes", "calls per page view", "pages wrong", "choices unknown"),
        rows=[
            [when[at], name, bill.gets, bill.patches, round(bill.calls_per_page, 2), bill.wrong, bill.unknown]
            for at in bills
            for name, bill in bills[at].items()
        ],
        figures=[
            Figure(
                "calls per page view, 3 workers, document in the cookie",
                bills["login"][DOCUMENT].calls_per_page,
                bills["login"][ONE].calls_per_page,
            )
        ],
        plots=[Plot("calls", "Calls to Emporix per page view", list(HANDLINGS), per_page, "calls per page view")],
        raw={
            at: {name: [bill.pages, bill.gets, bill.patches, bill.wrong, bill.unknown] for name, bill in each.items()}
            for at, each in bills.items()
        },
    )
