"""What each page and each form does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from session_ctx_middleware import InvalidChange, SessionContext, get_session_context
from session_ctx_middleware.sessions import StorefrontSessions

from .catalog import Catalog
from .choices import changes_of
from .costs import Ledger
from .models import Cart, Price, Product, Site
from .platform import Platform, PlatformError
from .rendering import Renderer
from .security import local_target, same_origin_only
from .visit import Visit, get_visit

__all__ = ["Basics", "Shop", "add_to_cart", "back_to", "begin", "cart", "home", "switch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What all pages share; `app.state.shop`."""

    platform: Platform
    catalog: Catalog
    sessions: StorefrontSessions
    ledger: Ledger
    renderer: Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Basics:
    """What every page begins with."""

    shop: Shop
    visit: Visit
    ctx: SessionContext
    sites: Sequence[Site]
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
        basics.sites,
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
        basics.sites,
        cart=held,
        quantities=held.quantities if held else {},
        products={product.product_id: product for product in basics.products},
        prices=prices,
        totals=_totals(prices),
        currencies={price.currency for price in prices.values()},
    )


@same_origin_only
async def switch(request: Request) -> Response:
    """Switch site, currency, language and location, together; the cart comes along."""
    basics = await begin(request)
    form = await request.form()
    changes = changes_of(form, basics.ctx, basics.sites)
    try:
        # This only records. The middleware sends one PATCH just before the redirect leaves, and keeps the choice
        # where Emporix cannot take it yet.
        basics.ctx.switch(**changes)
    except InvalidChange:
        return back_to(form.get("back"), note="invalid")
    followed = await _move_cart(basics, changes)
    return back_to(form.get("back"), note="" if followed else "cart-behind")


@same_origin_only
async def add_to_cart(request: Request) -> Response:
    """Put a product into the cart; the first one creates it."""
    basics = await begin(request)
    product_id = str((await request.form()).get("product", ""))
    auth, platform = basics.ctx.auth, basics.shop.platform
    try:
        cart_id = basics.ctx.cart_id or await _new_cart(basics)
        price = (await platform.prices(auth, {product_id: 1})).get(product_id)
        if price is None:
            return back_to("/", note="no-price")
        await platform.add_item(auth, cart_id, product_id, price)
    except PlatformError as error:
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
    auth = ctx.auth if ctx.has_token else None
    sites, products = await asyncio.gather(shop.catalog.sites(auth), shop.catalog.products(auth))
    return Basics(shop=shop, visit=visit, ctx=ctx, sites=sites, products=products)


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


async def _new_cart(basics: Basics) -> str:
    ctx = basics.ctx
    cart_id = await basics.shop.platform.create_cart(ctx.auth, ctx.site_code or "", ctx.currency or "")
    # With its first cart, the session gets its context at Emporix. Said aloud, the middleware reads it at once and
    # sends what the shopper chose before; prices that are asked for after this line are in the chosen currency.
    await ctx.cart_created(cart_id)
    return cart_id


async def _move_cart(basics: Basics, changes: Mapping[str, str]) -> bool:
    """Let the cart follow the session (Emporix keeps the two apart), and tell whether it did."""
    auth, cart_id = basics.ctx.auth, basics.ctx.cart_id
    if cart_id is None:
        return True
    try:
        if "site_code" in changes:
            await basics.shop.platform.move_cart(auth, cart_id, changes["site_code"])
        if "currency" in changes:
            await basics.shop.platform.convert_cart(auth, cart_id, changes["currency"])
    except PlatformError as error:
        _note(basics.visit, error)
        return False
    return True


def _note(visit: Visit, error: PlatformError) -> None:
    """Remember why a call failed: the page says so, and does not wait for Emporix once more."""
    visit.is_offline = visit.is_offline or not error.is_refusal


def _totals(prices: Mapping[str, Price]) -> Mapping[str, float]:
    totals: dict[str, float] = {}
    for price in prices.values():
        totals[price.currency] = totals.get(price.currency, 0.0) + price.total
    return totals


def back_to(target: object, *, note: str = "") -> Response:
    """Answer a form: the browser fetches a page with GET, so reloading that sends nothing twice."""
    path = local_target(target).partition("?")[0]
    return RedirectResponse(f"{path}?note={note}" if note else path, status_code=303)
