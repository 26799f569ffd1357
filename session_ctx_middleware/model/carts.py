"""Carts, and what becomes of them when their shopper switches or logs in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .personal import Personal

__all__ = ["Cart", "CartMerge", "CartOutcome", "CartState", "MergeState", "unpriced_items"]

CartState: TypeAlias = Literal["moved", "accepted", "half", "failed"]
MergeState: TypeAlias = Literal["merged", "kept", "nothing", "failed"]

NO_PRICE: Final = "CART-ITEM-UNIT-PRICE-100001"
"""What the validation of a cart says of an item whose price was not found."""


@dataclass(frozen=True, slots=True, repr=False)
class CartOutcome(Personal):
    """What became of the cart when its shopper switched site or currency.

    Args:
        state: ``moved``: cart and session agree. ``accepted``: the Cart Service has taken the change, and does not show
            it yet. ``half``: they do not agree, or nobody can say; switching once more mends it. ``failed``: the cart
            stayed, and so did site and currency of the session.
        unpriced: the ids of the cart's items that have no price now.
        reason: why it is not ``moved``, in a few words without any value; empty where it is.
    """

    state: CartState
    unpriced: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to be done."""
        return self.state in {"moved", "accepted"}

    def _outline(self) -> str:
        return self.state


@dataclass(frozen=True, slots=True, repr=False)
class CartMerge(Personal):
    """What became of a guest's cart when he logged in.

    Args:
        state: ``merged``: its items are in the customer's cart. ``kept``: the customer had none, and goes on with it.
            ``nothing``: there was none. ``failed``: the two were left as they are.
        cart_id: the cart that the customer goes on with; `None` where nobody can say.
        reason: why it failed, in a few words without any value.
    """

    state: MergeState
    cart_id: str | None = None
    reason: str = ""

    def _outline(self) -> str:
        return self.state


@dataclass(frozen=True, slots=True, repr=False)
class Cart(Personal):
    """A cart, as far as a switch has to know it.

    Args:
        cart_id: its id.
        site_code: the site that it is of.
        currency: what it is priced in.
        is_open: whether anything can be put into it: not once it was ordered.
        has_items: whether anything is in it.
    """

    cart_id: str | None
    site_code: str | None
    currency: str | None
    is_open: bool = True
    has_items: bool = False

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> Cart:
        """Return the cart that an answer of the Cart Service holds; what is odd in it counts as not told."""
        status = data.get("status")
        return cls(
            _text(data.get("id")),
            _text(data.get("siteCode")),
            _text(data.get("currency")),
            is_open=not isinstance(status, str) or status.upper() == "OPEN",
            has_items=bool(data.get("items")),
        )

    def is_on(self, site_code: str | None) -> bool:
        """Tell whether it is of a site; what nobody wants to know is right."""
        return site_code is None or self.site_code == site_code

    def is_in(self, currency: str | None) -> bool:
        """Tell whether it is priced in a currency; what nobody wants to know is right."""
        return currency is None or self.currency == currency


def unpriced_items(validation: Mapping[str, object]) -> tuple[str, ...]:
    """Return the ids of the items that have no price, as the validation of their cart says."""
    details = validation.get("itemsValidationDetails")
    return tuple(
        str(each["id"])
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and isinstance(each.get("id"), str | int) and _lacks_price(each.get("errors"))
    )


def _lacks_price(errors: object) -> bool:
    every = errors if isinstance(errors, list) else ()
    return any(isinstance(each, dict) and each.get("errorCode") == NO_PRICE for each in every)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
