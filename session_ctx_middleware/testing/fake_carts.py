"""What tests do with the carts and orders of FakeEmporix."""

from __future__ import annotations

import copy
from typing import Any

from .world import World

__all__ = ["FakeCarts"]


class FakeCarts:
    """The part of `FakeEmporix` that is about carts and orders."""

    _world: World

    def cart(self, cart_id: str) -> dict[str, Any] | None:
        """Return site, currency and items of a cart, `None` where there is none of this id.

        Args:
            cart_id: its id.
        """
        cart = self._world.carts.get(cart_id)
        if cart is None:
            return None
        currency = cart.shown_currency(self._world.now())
        return {"siteCode": cart.key.site_code, "currency": currency, "items": copy.deepcopy(cart.items)}

    def unprice(self, product_id: str, currency: str) -> None:
        """Have a product without a price in a currency."""
        self._world.unpriced.add((product_id, currency))

    def end_cart(self, cart_id: str) -> None:
        """Have a cart ordered elsewhere: the session's context still names it."""
        self._world.carts.pop(cart_id, None)

    def order(self, order_id: str) -> dict[str, Any] | None:
        """Return what was ordered: the call of the checkout with site and items; `None` where there is no such order.

        Args:
            order_id: its id.
        """
        return copy.deepcopy(self._world.orders.get(order_id))
