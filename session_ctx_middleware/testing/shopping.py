"""Carts, sites, products and prices."""

from __future__ import annotations

from typing import Any, Final

from .answers import Answer, json_answer, service_error
from .catalogue import PRODUCTS, RATES, SITES
from .request import Incoming
from .world import Cart

__all__ = [
    "add_item",
    "change_currency",
    "change_site",
    "create_cart",
    "find_cart",
    "get_cart",
    "get_site",
    "list_products",
    "list_sites",
    "match_prices",
]

PRICED: Final = ("currency", "targetLocation")


def create_cart(call: Incoming) -> Answer:
    """Create a cart: the first one makes the session context appear."""
    session = call.session
    if session is None:
        return call.unauthorized()
    currency = call.data.get("currency")
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isupper():
        return service_error(400, "Currency has to be given as three upper-case letters", status="Bad Request")
    site = str(call.data.get("siteCode", "main"))
    if call.world.open_cart(session, site) is not None:
        return service_error(409, "A cart of this session and site is open already", status="Conflict")
    cart = call.world.new_cart(session, site, currency)
    location = f"/cart/{call.values['tenant']}/carts/{cart.cart_id}"
    body = {"cartId": cart.cart_id, "yrn": _yrn(call, "cart", cart.cart_id)}
    return json_answer(body, 201, {"location": location, "version": "1"})


def find_cart(call: Incoming) -> Answer:
    """Find the session's cart of a site, or create it where the query says so."""
    session = call.session
    if session is None:
        return call.unauthorized()
    site = call.query.get("siteCode", "main")
    cart = call.world.open_cart(session, site)
    if cart is None and call.query.get("create") == "true":
        cart = call.world.new_cart(session, site, SITES.get(site, SITES["main"])["currency"])
    return service_error(404, "Cart not found", status="Not Found") if cart is None else json_answer(_cart(cart))


def get_cart(call: Incoming) -> Answer:
    """Answer a cart of the session."""
    cart = _own_cart(call)
    return json_answer(_cart(cart)) if isinstance(cart, Cart) else cart


def add_item(call: Incoming) -> Answer:
    """Put an item into a cart."""
    cart = _own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    item_id = cart.add(call.data)
    location = f"/cart/{call.values['tenant']}/carts/{cart.cart_id}/items/{item_id}"
    body = {"itemId": item_id, "yrn": _yrn(call, "cartItem", f"{cart.cart_id};{item_id}")}
    return json_answer(body, 201, {"location": location})


def change_site(call: Incoming) -> Answer:
    """Move a cart to another site, with that site's currency; the session stays as it is."""
    cart = _own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    site = SITES.get(str(call.data.get("siteCode")))
    if site is None:
        return service_error(400, "Site not found", status="Bad Request")
    cart.move(site["code"], site["currency"])
    return Answer(200)


def change_currency(call: Incoming) -> Answer:
    """Change a cart's currency; the session stays as it is."""
    cart = _own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    currency = call.data.get("currency")
    if str(currency) not in SITES.get(cart.site_code, SITES["main"])["availableCurrencies"]:
        return service_error(400, "Currency is not available on this site", status="Bad Request")
    cart.change_currency(str(currency))
    return Answer(200)


def list_sites(call: Incoming) -> Answer:
    """Answer all active sites."""
    return call.unauthorized() if call.token is None else json_answer(list(SITES.values()))


def get_site(call: Incoming) -> Answer:
    """Answer one site."""
    if call.token is None:
        return call.unauthorized()
    site = SITES.get(call.values["code"])
    return service_error(404, "Site not found", status="Not Found") if site is None else json_answer(site)


def list_products(call: Incoming) -> Answer:
    """Answer the catalogue."""
    if call.token is None:
        return call.unauthorized()
    return json_answer([{k: v for k, v in product.items() if k != "price"} for product in PRODUCTS.values()])


def match_prices(call: Incoming) -> Answer:
    """Answer prices in the currency of the session context; none where the context does not say enough."""
    session = call.session
    if session is None:
        return call.unauthorized()
    context = call.world.current(session) or session.seed
    if not all(context.get(key) for key in PRICED) or str(context["currency"]) not in RATES:
        return json_answer([])
    return json_answer([price for item in call.objects("items") if (price := _price(item, context)) is not None])


def _price(item: dict[str, Any], context: dict[str, Any]) -> dict[str, Any] | None:
    wanted, amount = item.get("itemId"), item.get("quantity")
    product = PRODUCTS.get(str(wanted.get("id"))) if isinstance(wanted, dict) else None
    if product is None:
        return None
    value = round(product["price"] * RATES[context["currency"]], 2)
    quantity = amount.get("quantity") if isinstance(amount, dict) else None
    count = quantity if isinstance(quantity, int | float) else 1
    return {
        "priceId": f"price-{product['id']}",
        "itemId": wanted,
        "site": {"code": context.get("siteCode", "main")},
        "currency": context["currency"],
        "location": {"countryCode": context["targetLocation"]},
        "originalValue": value,
        "effectiveValue": value,
        "totalValue": round(value * count, 2),
        "quantity": {"unitCode": "piece", **(amount if isinstance(amount, dict) else {}), "quantity": count},
        "includesTax": True,
        "metadata": {"version": "1"},
    }


def _own_cart(call: Incoming) -> Cart | Answer:
    if call.session is None:
        return call.unauthorized()
    cart = call.world.carts.get(call.values["cart_id"])
    if cart is None or cart.session_id != call.session.session_id:
        return service_error(404, "Cart not found", status="Not Found")
    return cart


def _yrn(call: Incoming, kind: str, name: str) -> str:
    return f"urn:yaas:saasag:cart:{kind}:{call.values['tenant']};{name}"


def _cart(cart: Cart) -> dict[str, Any]:
    return {
        "id": cart.cart_id,
        "siteCode": cart.site_code,
        "currency": cart.currency,
        "type": "shopping",
        "status": "OPEN",
        "items": cart.items,
        "metadata": {"version": 1, "createdAt": cart.created_at, "modifiedAt": cart.created_at},
    }
