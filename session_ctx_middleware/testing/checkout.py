"""The Checkout Service: a cart becomes an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .answers import Answer, json_answer, service_error
from .carts import customer_refusal, own_cart
from .records import Cart
from .request import Incoming

__all__ = ["place_order"]

ADDRESSES: Final = frozenset({"SHIPPING", "BILLING"})
PERSON: Final = ("firstName", "lastName", "email")


def place_order(call: Incoming) -> Answer:
    """Order what is in a cart, and close the cart; the session's context goes on naming it."""
    token = call.token
    if token is None or call.session is None:
        return call.unauthorized()
    refusal = customer_refusal(call, token) if token.customer is not None else None
    if refusal is not None:
        return refusal
    cart = own_cart(call, str(call.data.get("cartId")))
    if not isinstance(cart, Cart):
        return cart
    fault = _fault(call, cart)
    if fault:
        return service_error(400, fault, status="Bad Request")
    del call.world.carts[cart.cart_id]
    order_id = call.world.new_order({**call.data, "siteCode": cart.key.site_code, "items": cart.items})
    return json_answer({"orderId": order_id, "paymentDetails": None, "checkoutId": call.world.new_id()})


def _fault(call: Incoming, cart: Cart) -> str:
    """Return what keeps a cart from becoming an order; nothing where it may."""
    order, customer = call.data, call.data.get("customer")
    person = customer if isinstance(customer, Mapping) else {}
    rules = (
        (bool(cart.items), "Cart is empty"),
        (order.get("currency") == cart.shown_currency(call.world.now()), "The cart has another currency"),
        (len(call.objects("paymentMethods")) == 1, "Exactly one payment method has to be given"),
        (isinstance(order.get("shipping"), Mapping), "Shipping has to be given"),
        ({str(each.get("type")) for each in call.objects("addresses")} == ADDRESSES, "Two addresses have to be given"),
        (all(_is_text(person.get(name)) for name in PERSON), "Customer data is missing"),
    )
    return next((message for holds, message in rules if not holds), "")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
