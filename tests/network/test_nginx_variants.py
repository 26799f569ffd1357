"""A real nginx with the rules of the documentation keeps one page for all guests of a variant, and nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from session_ctx_middleware import CookieToken, SessionContextMiddleware, get_session_context
from session_ctx_middleware.testing import FakeEmporix

from ..support.nginx import caching_proxy
from ..support.redis_server import free_port
from .backend import WebServer

pytestmark = [pytest.mark.network, pytest.mark.nginx]

DOCS = Path(__file__).parents[2] / "docs" / "caches.md"


def documented_rules() -> str:
    """Return the rules that the page about caches has for nginx."""
    (rules,) = re.findall(r"^```nginx\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(rules)


async def listing(request: Request) -> Response:
    ctx = await get_session_context(request)
    ctx.share_by_variant(60)
    return HTMLResponse(f"prices in {ctx.currency}, {'welcome' if ctx.is_logged_in else 'log in'}")


async def cart(request: Request) -> Response:
    ctx = await get_session_context(request)
    ctx.share_by_variant(60)  # by mistake
    return HTMLResponse(f"cart {ctx.cart_id}")


async def switch(request: Request) -> Response:
    get_session_context(request).switch_currency(request.query_params["to"])
    return HTMLResponse("")


async def ready(_: Request) -> Response:
    return HTMLResponse("")


@pytest.fixture
async def address(emporix: FakeEmporix, tmp_path: Path, nothing_left: None) -> AsyncIterator[str]:
    """A shop behind nginx with the documented rules."""
    routes = [Route("/", listing), Route("/cart", cart), Route("/ready", ready)]
    routes.append(Route("/switch", switch, methods=["POST"]))
    app = SessionContextMiddleware(
        Starlette(routes=routes), tenant="acme", token=CookieToken("t"), http_client=emporix.client(httpx)
    )
    async with AsyncExitStack() as stack:
        server = WebServer(app)
        stack.push_async_callback(server.aclose)
        await server.start()
        proxy = caching_proxy(tmp_path, free_port(), server.port, rules=documented_rules())
        yield await stack.enter_async_context(proxy)


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix()


def browser(address: str, token: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=address, trust_env=False, timeout=30, cookies={"t": token} if token else {})


async def test_guests_share_pages(emporix: FakeEmporix, address: str) -> None:
    """Guests in turns: each sees his own currency, also right after he has switched; most pages come from the cache."""
    rng, hits, pages = random.Random(7), 0, 0
    async with AsyncExitStack() as stack:
        currencies: dict[httpx.AsyncClient, str] = {}
        for currency in ("EUR", "USD", "CHF") * 4:
            client = browser(address, emporix.new_session(currency=currency).token)
            currencies[await stack.enter_async_context(client)] = currency
        for _ in range(300):
            client = rng.choice([*currencies])
            if rng.random() < 0.1:
                currencies[client] = rng.choice(["EUR", "USD", "CHF"])
                await client.post(f"/switch?to={currencies[client]}")
                continue
            page = await client.get("/")
            assert page.text == f"prices in {currencies[client]}, log in"
            hits, pages = hits + (page.headers["x-cache"] == "HIT"), pages + 1
    assert hits > pages * 0.8


async def test_customers_and_carts_are_never_shared(emporix: FakeEmporix, address: str) -> None:
    """Neither a customer's page nor one with a cart is kept, whatever variant it is asked for with."""
    fields: dict[str, Any] = {"currency": "EUR"}
    tokens = [emporix.new_session(**fields, cart_id=f"cart-{number}").token for number in range(3)]
    customer = emporix.new_session(**fields, customer_id="jane").token
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(browser(address, token)) for token in tokens]
        jane = await stack.enter_async_context(browser(address, customer))
        for _ in range(3):
            for number, client in enumerate(clients):
                assert (await client.get("/")).text == "prices in EUR, log in"
                page = await client.get("/cart")
                assert (page.text, page.headers["x-cache"] != "HIT") == (f"cart cart-{number}", True)
            page = await jane.get("/")
            assert (page.text, page.headers["x-cache"] != "HIT") == ("prices in EUR, welcome", True)


async def test_nobody_poisons_the_cache(emporix: FakeEmporix, address: str) -> None:
    """Who brings the variant of others gets what the cache has for them, and puts nothing of his own there."""
    async with AsyncExitStack() as stack:
        victim = await stack.enter_async_context(browser(address, emporix.new_session(currency="EUR").token))
        await victim.get("/")
        variant = victim.cookies["session_variant"]
        evil = await stack.enter_async_context(browser(address, emporix.new_session(currency="USD").token))
        for headers in ({"Session-Variant": variant}, {"Cookie": f"t={evil.cookies['t']}; session_variant={variant}"}):
            page = await evil.get("/", headers=headers)
            assert (page.text, page.headers["x-cache"]) == ("prices in USD, log in", "MISS")
        assert (await victim.get("/")).text == "prices in EUR, log in"
