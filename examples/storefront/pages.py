"""What each page and each form does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from session_ctx_middleware import SessionContext, SessionContextError, get_session_context
from session_ctx_middleware.emporix import SiteCatalog
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.switcher import same_origin_only, switcher_routes

from .catalog import Catalog
from .costs import Ledger
from .models import Cart, Price, Product
from .platform import Platform, PlatformError
from .rendering import Renderer
from .visit import Visit, get_visit

__all__ = ["Basics", "Shop", "add_to_cart", "back_to", "begin", "cart", "home", "switch"]

SWITCHER = switcher_routes()[0]

PATIENCE = 1.0
"""Seconds that a page waits for the sites, when they are loaded for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What all pages share; `app.state.shop`."""

    platform: Platform
    catalog: Catalog
    sites: SiteCatalog
    sessions: StorefrontSessions
    ledger: Ledger
    renderer: Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Basics:
    """What every page begins with."""

    shop: Shop
    visit: Visit
    ctx: SessionContext
    products: Sequence[Product]

    @property
    def is_offline(self) -> bool:
        """Whether Emporix has just failed to answer: then the page does not wait for it once more."""
        return self.visit.is_offline or self.ctx.is_degraded or self.ctx.is_stale


async def home(request: Request) -> Response:
    """Show all products, with prices for this shopper."""
    basics = await begin(request)
    prices = await _prices(basics, {product.product_id: 1 for product in basics.products})
    return await basics.shop.renderer.page(
        request,
        "home.html",
        basics.ctx,
        products=basics.products,
        prices=prices,
        currencies={price.currency for price in prices.values()},
    )


async def cart(request: Request) -> Response:
    """Show what is in the cart, at today's prices."""
    basics = await begin(request)
    held = await _cart(basics)
    prices = await _prices(basics, held.quantities if held else {})
    return await basics.shop.renderer.page(
        request,
        "cart.html",
        basics.ctx,
        cart=held,
        quantities=held.quantities if held else {},
        products={product.product_id: product for product in basics.products},
        prices=prices,
        totals=_totals(prices),
        currencies={price.currency for price in prices.values()},
    )


@same_origin_only
async def switch(request: Request) -> Response:
    """Switch what the shopper has changed; the cart comes along, and the page that he was on is next."""
    await begin(request)  # so that the calls count as his
    return await SWITCHER.endpoint(request)  # type: ignore[no-any-return]


@same_origin_only
async def add_to_cart(request: Request) -> Response:
    """Put a product into the cart; the first one creates it."""
    basics = await begin(request)
    product_id = str((await request.form()).get("product", ""))
    auth, platform = basics.ctx.auth, basics.shop.platform
    try:
        # A new cart begins where the old one was ordered. With its first one, the session gets its context at Emporix,
        # and what the shopper chose before goes there: prices that are asked for after this line are in his currency.
        cart_id = await basics.ctx.open_cart()
        price = (await platform.prices(auth, {product_id: 1})).get(product_id)
        if price is None:
            return back_to("/", note="no-price")
        await platform.add_item(auth, cart_id, product_id, price)
    except (PlatformError, SessionContextError) as error:
        _note(basics.visit, error)
        return back_to("/", note="not-added")
    return back_to("/cart")


async def begin(request: Request) -> Basics:
    """Load the context, and what all shoppers share."""
    shop: Shop = request.app.state.shop
    visit = get_visit(request)
    ctx = await get_session_context(request).load()
    visit.is_offline = not ctx.has_token  # then there is no session either: Emporix could not be asked for one
    if ctx.has_token:
        shop.ledger.knows(visit.bill, shop.platform.authorization(ctx.auth))
    _, products = await asyncio.gather(
        shop.sites.load(PATIENCE), shop.catalog.products(ctx.auth if ctx.has_token else None)
    )
    return Basics(shop=shop, visit=visit, ctx=ctx, products=products)


async def _prices(basics: Basics, quantities: Mapping[str, float]) -> Mapping[str, Price]:
    """Return prices; without Emporix, or without enough in the session, there are none: "price on request"."""
    if not quantities or basics.is_offline:
        return {}
    try:
        return await basics.shop.platform.prices(basics.ctx.auth, quantities)
    except PlatformError as error:
        _note(basics.visit, error)
        return {}


async def _cart(basics: Basics) -> Cart | None:
    cart_id = basics.ctx.cart_id
    if cart_id is None or basics.is_offline:
        return None
    try:
        return await basics.shop.platform.cart(basics.ctx.auth, cart_id)
    except PlatformError as error:
        _note(basics.visit, error)
        return None


def _note(visit: Visit, error: PlatformError | SessionContextError) -> None:
    """Remember why a call failed: the page says so, and does not wait for Emporix once more."""
    visit.is_offline = visit.is_offline or not getattr(error, "is_refusal", False)


def _totals(prices: Mapping[str, Price]) -> Mapping[str, float]:
    totals: dict[str, float] = {}
    for price in prices.values():
        totals[price.currency] = totals.get(price.currency, 0.0) + price.total
    return totals


def back_to(path: str, *, note: str = "") -> Response:
    """Answer a form: the browser fetches a page with GET, so reloading that sends nothing twice."""
    return RedirectResponse(f"{path}?note={note}" if note else path, status_code=303)
