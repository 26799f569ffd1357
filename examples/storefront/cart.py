"""The cart: what is in it, and the forms that change that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from session_ctx_middleware import SessionContextError
from session_ctx_middleware.switcher import same_origin_only

from .models import Line, Price
from .platform import PlatformError
from .visit import Visit, back_to, begin

__all__ = ["MOST", "add", "change", "show", "totals"]

CART: Final = "/cart"
MOST: Final = 99
"""Pieces of one product in a cart."""
LONGEST: Final = 4
"""Digits of a quantity, with zeros ahead."""


async def show(request: Request) -> Response:
    """Show what is in the cart, at today's prices."""
    visit = await begin(request)
    cart = await visit.cart()
    prices = await visit.prices(cart.quantities if cart else {})
    return visit.shop.renderer.page(visit, "cart.html", cart=cart, prices=prices, totals=totals(prices))


@same_origin_only
async def add(request: Request) -> Response:
    """Put a product into the cart; the first one creates it."""
    visit = await begin(request)
    form = await request.form()
    product_id, quantity = str(form.get("product", "")), _quantity(form) or 1
    platform, auth = visit.shop.platform, visit.ctx.auth
    try:
        # A new cart begins where the old one was ordered, and in the currency that the shopper sees.
        cart_id = await visit.ctx.open_cart()
        price = (await visit.prices({product_id: 1})).get(product_id)
        if price is None:
            return back_to("/", "not-now" if visit.is_offline else "no-price")
        await platform.add_item(auth, cart_id, product_id, price, quantity)
    except (PlatformError, SessionContextError):
        return back_to("/", "not-added")
    return back_to(CART, "added")


@same_origin_only
async def change(request: Request) -> Response:
    """Have more or less of a product in the cart, or nothing of it."""
    visit = await begin(request)
    form = await request.form()
    cart = await visit.cart()
    line = cart.lines.get(request.path_params["product_id"]) if cart else None
    wanted = 0 if "remove" in form else _quantity(form)
    if cart is None or line is None or wanted is None:
        return back_to(CART, "not-now" if visit.is_offline else "")
    try:
        await _keep(visit, cart.cart_id, line, wanted)
    except (PlatformError, SessionContextError):
        return back_to(CART, "not-changed")
    return back_to(CART, "changed" if wanted else "removed")


async def _keep(visit: Visit, cart_id: str, line: Line, quantity: int) -> None:
    """Have one item hold the whole quantity of a line, and take out the others."""
    platform, auth = visit.shop.platform, visit.ctx.auth
    kept, rest = (line.item_ids[:1], line.item_ids[1:]) if quantity else ((), line.item_ids)
    for item_id in kept:
        await platform.change_quantity(auth, cart_id, item_id, quantity)
    for item_id in rest:
        await platform.remove_item(auth, cart_id, item_id)


def totals(prices: Mapping[str, Price]) -> Mapping[str, float]:
    """Return what all of it costs, by currency."""
    sums: dict[str, float] = {}
    for price in prices.values():
        sums[price.currency] = sums.get(price.currency, 0.0) + price.total
    return sums


def _quantity(form: FormData) -> int | None:
    """Return the quantity that a form names, `None` where it names none that one can have."""
    text = str(form.get("quantity", "")).strip()
    is_short = text.isascii() and text.isdecimal() and len(text) <= LONGEST
    return int(text) if is_short and int(text) <= MOST else None
