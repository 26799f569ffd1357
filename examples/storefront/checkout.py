"""From the cart to the order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from session_ctx_middleware import CommitConflict, ContextUnavailable, SessionContextError
from session_ctx_middleware.switcher import same_origin_only

from .cart import totals
from .models import Cart, Price
from .notices import marked
from .platform import PlatformError
from .visit import Visit, back_to, begin

__all__ = ["place_order", "show", "thanks"]

ORDERED: Final = "lastOrder"
"""The attribute of the session that says which cart has become which order."""
LONGEST: Final = 120
PAUSES: Final = (0.3, 0.6, 1.2, 0.0)
"""Seconds between looks at whether another request has just ordered the cart."""

FIELDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "email": (marked("E-mail"), "email", "email"),
    "first_name": (marked("First name"), "text", "given-name"),
    "last_name": (marked("Last name"), "text", "family-name"),
    "street": (marked("Street"), "text", "address-line1"),
    "street_number": (marked("Number"), "text", "address-line2"),
    "zip_code": (marked("Postal code"), "text", "postal-code"),
    "city": (marked("City"), "text", "address-level2"),
}
"""By name: the label, the type of input, and what browsers fill in (HTML, section 4.10.18.7)."""


async def show(request: Request) -> Response:
    """Show what will be ordered, and ask where to."""
    visit = await begin(request)
    return await _form(visit, await visit.cart(), {})


@same_origin_only
async def place_order(request: Request) -> Response:
    """Order what is in the cart."""
    visit = await begin(request)
    form = await request.form()
    given = {name: str(form.get(name, "")).strip()[:LONGEST] for name in FIELDS}
    cart = await visit.cart()
    if cart is None and visit.ctx.cart_id is not None and not visit.is_offline:
        return await _already(visit)
    if cart is None or not all(given.values()):
        return await _form(visit, cart, given)
    if form.get("shown") != _stands_for(visit, cart, await _prices(visit, cart)):
        return await _form(visit, cart, given, "not-now" if visit.is_offline else "order-changed")
    try:
        order_id = await visit.shop.platform.place_order(visit.ctx.auth, _order(visit, cart, given))
    except (PlatformError, SessionContextError) as error:
        visit.note(error)
        if not visit.is_offline and await visit.cart() is None:  # a click before this one has ordered it
            return await _already(visit)
        # Without an answer nobody knows; a second order of the same cart is refused by Emporix.
        return await _form(visit, cart, given, "order-unknown" if visit.is_offline else "order-refused")
    visit.ctx.set_attribute(ORDERED, {"cart": cart.cart_id, "order": order_id})
    return back_to("/thanks") if await _is_kept(visit) else _thanks(visit, order_id)


async def thanks(request: Request) -> Response:
    """Show the number of the order."""
    visit = await begin(request)
    ordered = visit.ctx.attributes.get(ORDERED)
    if not isinstance(ordered, Mapping):
        return back_to("/cart")
    return _thanks(visit, str(ordered.get("order", "")))


async def _is_kept(visit: Visit) -> bool:
    """Tell whether another page will know of the order; where Emporix refuses that, this one has to name it."""
    try:
        await visit.ctx.commit()
    except (CommitConflict, ContextUnavailable):  # kept until Emporix takes it
        return True
    except SessionContextError:
        return False
    return True


def _thanks(visit: Visit, order_id: str) -> Response:
    return visit.shop.renderer.page(visit, "thanks.html", order_id=order_id)


async def _form(visit: Visit, cart: Cart | None, given: Mapping[str, str], note: str = "") -> Response:
    if cart is None or not cart.lines:
        return back_to("/thanks" if _is_ordered(visit) else "/cart")
    prices = await _prices(visit, cart)
    missing = [name for name, value in given.items() if not value]
    return visit.shop.renderer.page(
        visit,
        "checkout.html",
        note=note,
        status_code=422 if missing or note else 200,
        cart=cart,
        prices=prices,
        totals=totals(prices),
        fields=FIELDS,
        given=given,
        missing=missing,
        shown=_stands_for(visit, cart, prices),
    )


async def _prices(visit: Visit, cart: Cart) -> Mapping[str, Price]:
    """Return prices in the currency of the cart, as that is what is ordered: it may follow its shopper later."""
    return await visit.prices(cart.quantities, cart.currency)


def _stands_for(visit: Visit, cart: Cart, prices: Mapping[str, Price]) -> str:
    """Return what stands for what is ordered, where to and at what price.

    The form brings it along: what was changed in another tab meanwhile, or by another shopper at the same browser, is
    not ordered before it was seen.
    """
    seen = (cart.cart_id, cart.currency, sorted(cart.quantities.items()), visit.ctx.target_location, totals(prices))
    return sha256(repr(seen).encode()).hexdigest()


async def _already(visit: Visit) -> Response:
    """Lead to the order that this cart has become: a second click may come while the first is under way."""
    for pause in PAUSES:
        await visit.ctx.refresh()
        if _is_ordered(visit):
            return back_to("/thanks")
        await asyncio.sleep(pause)
    return back_to("/cart", "order-unknown")


def _is_ordered(visit: Visit) -> bool:
    """Tell whether the cart that the session names has become an order."""
    ordered = visit.ctx.attributes.get(ORDERED)
    return isinstance(ordered, Mapping) and ordered.get("cart") == visit.ctx.cart_id


def _order(visit: Visit, cart: Cart, given: Mapping[str, str]) -> dict[str, Any]:
    ctx = visit.ctx
    person = {"firstName": given["first_name"], "lastName": given["last_name"], "email": given["email"]}
    address = {
        "contactName": f"{given['first_name']} {given['last_name']}",
        "street": given["street"],
        "streetNumber": given["street_number"],
        "zipCode": given["zip_code"],
        "city": given["city"],
        "country": ctx.target_location,
    }
    return {
        "cartId": cart.cart_id,
        "currency": cart.currency,
        "customer": {**person, **({"id": ctx.customer_id} if ctx.is_logged_in else {"guest": True})},
        "addresses": [{**address, "type": "SHIPPING"}, {**address, "type": "BILLING"}],
        "paymentMethods": [{"provider": "none", "method": "invoice"}],
        "shipping": {"methodId": "post", "zoneId": "all", "methodName": "Post", "amount": 0},
    }
