"""The Cart Service: one open cart per site, type, company, and session or customer."""

from __future__ import annotations

from typing import Any, Final

from .answers import Answer, json_answer, no_content, service_error
from .records import Cart, CartKey, Session, Token
from .request import Incoming

__all__ = [
    "add_item",
    "change_currency",
    "change_site",
    "create_cart",
    "customer_refusal",
    "delete_cart",
    "find_cart",
    "get_cart",
    "merge_carts",
    "own_cart",
    "refresh_cart",
    "remove_item",
    "update_item",
    "validate_cart",
]

NOT_FOUND: Final = "Cart not found"
CURRENCIES_DIFFER: Final = "All the items must have the same currency when merging carts"


def create_cart(call: Incoming) -> Answer:
    """Create a cart: the first one makes the session context appear."""
    session = call.session
    if session is None:
        return call.unauthorized()
    refusal = _header_refusal(call)
    if refusal is not None:
        return refusal
    currency = call.data.get("currency")
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isupper():
        return _bad_request("Currency has to be given as three upper-case letters")
    key = _key(call, session, call.data)
    if call.world.open_cart(key) is not None:
        return service_error(409, "A cart of this session and site is open already", status="Conflict")
    cart = call.world.new_cart(session, key, currency)
    location = f"/cart/{call.values['tenant']}/carts/{cart.cart_id}"
    body = {"cartId": cart.cart_id, "yrn": _yrn(call, "cart", cart.cart_id)}
    return json_answer(body, 201, {"location": location, "version": "1"})


def find_cart(call: Incoming) -> Answer:
    """Find the cart of a site, type and company, or create it where the query says so, in the site's currency."""
    session = call.session
    if session is None:
        return call.unauthorized()
    refusal = _header_refusal(call)
    if refusal is not None:
        return refusal
    key = _key(call, session, call.query)
    if call.query.get("sessionId") == session.session_id:
        key = key._replace(company=None, customer_id=None, session_id=session.session_id)
    cart = call.world.open_cart(key)
    if cart is None and call.query.get("create") == "true":
        cart = call.world.new_cart(session, key, call.world.site(key.site_code)["currency"])
    return _no_cart() if cart is None else json_answer(_cart(call, cart))


def get_cart(call: Incoming) -> Answer:
    """Answer a cart of the session."""
    cart = own_cart(call)
    return json_answer(_cart(call, cart)) if isinstance(cart, Cart) else cart


def delete_cart(call: Incoming) -> Answer:
    """Delete a cart of the session; what its context names stays named."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    del call.world.carts[cart.cart_id]
    return no_content()


def add_item(call: Incoming) -> Answer:
    """Put an item into a cart."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    item_id = cart.add(call.data)
    location = f"/cart/{call.values['tenant']}/carts/{cart.cart_id}/items/{item_id}"
    body = {"itemId": item_id, "yrn": _yrn(call, "cartItem", f"{cart.cart_id};{item_id}")}
    return json_answer(body, 201, {"location": location})


def update_item(call: Incoming) -> Answer:
    """Change an item: the fields that are sent where ``partial`` says so, else all of it."""
    found = _own_item(call)
    if isinstance(found, Answer):
        return found
    _, item = found
    quantity = call.data.get("quantity", 1)
    if not isinstance(quantity, int | float) or quantity <= 0:
        return _bad_request("The quantity has to be more than 0")
    kept = item if call.query.get("partial") == "true" else {"quantity": 1, "id": item["id"]}
    changed = {**kept, **call.data, "id": item["id"]}
    item.clear()
    item.update(changed, effectiveQuantity=changed["quantity"])
    return no_content()


def remove_item(call: Incoming) -> Answer:
    """Take an item out of a cart."""
    found = _own_item(call)
    if isinstance(found, Answer):
        return found
    cart, item = found
    cart.items.remove(item)
    return no_content()


def change_site(call: Incoming) -> Answer:
    """Move a cart to another site, with that site's currency; the session stays as it is."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    site = call.world.sites.get(str(call.data.get("siteCode")))
    if site is None:
        return _bad_request("Site not found")
    cart.move(site["code"], site["currency"])
    return Answer(200)


def change_currency(call: Incoming) -> Answer:
    """Change a cart's currency, which may take a while to be seen; the session stays as it is."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    currency = call.data.get("currency")
    if str(currency) not in call.world.site(cart.key.site_code)["availableCurrencies"]:
        return _bad_request("Currency is not available on this site")
    if call.world.quirks.unpriced_items == "refused" and _unpriced(call, cart, str(currency)):
        return _bad_request("No price has been found")
    cart.change_currency(str(currency), call.world.now() + call.world.quirks.currency_delay)
    return Answer(200)


def refresh_cart(call: Incoming) -> Answer:
    """Price a cart anew; a guest's cart does not go with a company."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    if cart.key.customer_id is None and call.token is not None and call.token.company is not None:
        return _bad_request("Anonymous cart cannot be assigned to a legal entity")
    return no_content()


def validate_cart(call: Incoming) -> Answer:
    """Answer which items of a cart have no price."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    unpriced = _unpriced(call, cart, cart.shown_currency(call.world.now()))
    error = {
        "errorCode": "CART-ITEM-UNIT-PRICE-100001",
        "message": "Item's price was not found in the price match",
        "field": "items.unitPrice",
    }
    details = [{"id": item["id"], "errors": [error]} for item in unpriced]
    return json_answer({"isValid": not details, **({"itemsValidationDetails": details} if details else {})})


def merge_carts(call: Incoming) -> Answer:
    """Put the items of guests' carts into a customer's, where all have one currency; theirs are closed."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    wanted = call.data.get("carts")
    names = wanted if isinstance(wanted, list) else []
    if cart.cart_id in names:
        return _bad_request("Cart cannot be merged into itself")
    others = [call.world.carts.get(str(name)) for name in names]
    guests = [other for other in others if other is not None and other.key.customer_id is None]
    if cart.key.customer_id is None or len(guests) < len(names):
        return _no_cart()
    now = call.world.now()
    if {other.shown_currency(now) for other in guests} - {cart.shown_currency(now)}:
        return _bad_request(CURRENCIES_DIFFER)
    for other in guests:
        del call.world.carts[other.cart_id]
        for item in other.items:
            cart.add(item)
    if call.session is not None and call.world.quirks.merge_names_cart:
        call.world.change(call.session, {"cartId": cart.cart_id})
    return Answer(200)


def _unpriced(call: Incoming, cart: Cart, currency: str) -> list[dict[str, Any]]:
    """Return the items of a cart whose product has no price in a currency."""
    return [item for item in cart.items if (_product(item), currency) in call.world.unpriced]


def _product(item: dict[str, Any]) -> str:
    return str(item.get("itemYrn", "")).rpartition(";")[2]


def _key(call: Incoming, session: Session, asked: Any) -> CartKey:
    customer = None if call.token is None else call.token.customer
    kind = asked.get("type")
    company = asked.get("legalEntityId")
    return CartKey(
        site_code=str(asked.get("siteCode", call.world.quirks.cart_site)),
        kind=None if kind is None else str(kind),
        company=None if company is None or customer is None else str(company),
        customer_id=None if customer is None else customer.customer_id,
        session_id=session.session_id if customer is None else None,
    )


def _header_refusal(call: Incoming) -> Answer | None:
    token = call.token
    if call.world.quirks.cart_headers == "optional" or token is None or token.session is None:
        return None
    return _guest_refusal(call, token.session) if token.customer is None else customer_refusal(call, token)


def _guest_refusal(call: Incoming, session: Session) -> Answer | None:
    session_id = call.headers.get("session-id") or call.query.get("sessionId")
    if session_id == session.session_id:
        return None
    return _bad_request("Required Header [session-id] is missing" if session_id is None else "session-id is not valid")


def customer_refusal(call: Incoming, token: Token) -> Answer | None:
    """Return why a customer's call is refused that needs a ``saas-token``, `None` where it is not."""
    value = call.headers.get("saas-token")
    if value is None:
        return _bad_request("Required Header [saas-token] is missing")
    known = call.world.valid(call.world.saas, value)
    if known is None or known.customer is not token.customer:
        return service_error(403, "The saas-token has expired, or is another customer's", status="Forbidden")
    return None


def own_cart(call: Incoming, cart_id: str | None = None) -> Cart | Answer:
    """Return a cart of the session, or why it cannot be had.

    Args:
        call: the call.
        cart_id: its id; that of the path unless it is given.
    """
    if call.session is None:
        return call.unauthorized()
    cart = call.world.carts.get(call.values["cart_id"] if cart_id is None else cart_id)
    owner = call.session.customer
    if cart is not None and cart.key.session_id == call.session.session_id:
        return cart
    if cart is not None and owner is not None and cart.key.customer_id == owner.customer_id:
        return cart
    return _no_cart()


def _bad_request(message: str) -> Answer:
    return service_error(400, message, status="Bad Request")


def _no_cart() -> Answer:
    return service_error(404, NOT_FOUND, status="Not Found")


def _own_item(call: Incoming) -> tuple[Cart, dict[str, Any]] | Answer:
    """Return the item of a cart of the session, and the cart, or why it cannot be had."""
    cart = own_cart(call)
    if not isinstance(cart, Cart):
        return cart
    item = cart.item(call.values["item_id"])
    if item is None:
        return service_error(404, "Cart item not found", status="Not Found")
    return cart, item


def _yrn(call: Incoming, kind: str, name: str) -> str:
    return f"urn:yaas:saasag:cart:{kind}:{call.values['tenant']};{name}"


def _cart(call: Incoming, cart: Cart) -> dict[str, Any]:
    key = cart.key
    owner = {"type": key.kind, "customerId": key.customer_id, "legalEntityId": key.company}
    return {
        "id": cart.cart_id,
        "siteCode": key.site_code,
        "currency": cart.shown_currency(call.world.now()),
        **{name: value for name, value in owner.items() if value is not None},
        "status": "OPEN",
        "items": cart.items,
        "metadata": {"version": 1, "createdAt": cart.created_at, "modifiedAt": cart.created_at},
    }
