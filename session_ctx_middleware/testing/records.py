"""What the fake platform keeps: sessions, tokens and carts. No HTTP in here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .catalogue import Customer

__all__ = ["Cart", "CartKey", "Session", "Token"]


@dataclass(slots=True, repr=False)
class Session:
    """A browser session, with or without a context.

    Args:
        session_id: its id.
        seed: fields, by Emporix' names, that its context begins with.
        customer: who is logged in.
        context: the context as it is now.
        history: what the context was since when, in seconds since the epoch; the last 20 states.
        appears_at: when a context appears by itself, in seconds since the epoch; `None` for never.
    """

    session_id: str
    seed: dict[str, Any] = field(default_factory=dict)
    customer: Customer | None = None
    context: dict[str, Any] | None = None
    history: list[tuple[float, dict[str, Any] | None]] = field(default_factory=list)
    appears_at: float | None = None

    def log_in(self, customer: Customer) -> None:
        """Make the session a customer's."""
        self.customer = customer

    def write(self, context: dict[str, Any] | None, moment: float) -> None:
        """Replace the context, and note since when it is what it is."""
        if not self.history:
            self.history.append((float("-inf"), self.context))
        self.context = copy.deepcopy(context)  # the caller, and the recorded call, keep their own
        self.history.append((moment, copy.deepcopy(context)))
        del self.history[:-20]

    def take_appearance(self, now: float) -> float | None:
        """Return since when a context should be there that is not, and count it as there; `None` for none."""
        due = self.appears_at
        if self.context is not None or due is None or now < due:
            return None
        self.appears_at = None
        return due

    def cancel_appearance(self) -> None:
        """Let no context appear by itself."""
        self.appears_at = None


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token that was handed out.

    Args:
        ends_at: when it ends, in seconds since the epoch.
        session: whose it is; `None` for a service token.
        scope: what it allows, in words that a blank separates.
        customer: who it is of; `None` for a token of an anonymous session, also after somebody has logged in there.
        company: the legal entity that the customer acts for.
    """

    ends_at: float
    session: Session | None = None
    scope: str = ""
    customer: Customer | None = None
    company: str | None = None


class CartKey(NamedTuple):
    """What no two open carts have in common.

    Args:
        site_code: the site.
        kind: the type, ``shopping`` or ``wishlist`` for example; `None` for a cart without one.
        company: the legal entity.
        customer_id: whose cart it is; `None` for a guest's.
        session_id: of which session a guest's cart is; `None` for a customer's, which all sessions share.
    """

    site_code: str
    kind: str | None
    company: str | None
    customer_id: str | None
    session_id: str | None


@dataclass(slots=True, repr=False)
class Cart:
    """A cart.

    Args:
        cart_id: its id.
        key: what no other open cart has.
        currency: what it is priced in.
        created_at: as the platform writes it.
        items: what is in it.
        announced: a currency that was asked for and is not yet seen, and when it will be, in seconds since the epoch.
    """

    cart_id: str
    key: CartKey
    currency: str
    created_at: str
    items: list[dict[str, Any]] = field(default_factory=list)
    announced: tuple[str, float] | None = None

    def move(self, site_code: str, currency: str) -> None:
        """Move the cart to another site, with that site's currency."""
        self.key = self.key._replace(site_code=site_code)
        self.currency, self.announced = currency, None

    def change_currency(self, currency: str, seen_at: float) -> None:
        """Have everything priced in another currency, from a moment on."""
        self.announced = currency, seen_at

    def shown_currency(self, now: float) -> str:
        """Return the currency that whoever looks now sees."""
        if self.announced is not None and now >= self.announced[1]:
            self.currency, self.announced = self.announced[0], None
        return self.currency

    def add(self, item: Mapping[str, Any]) -> str:
        """Put an item into the cart, and return its id."""
        item_id = str(1 + max((int(each["id"]) for each in self.items), default=-1))
        self.items.append({"quantity": 1, "effectiveQuantity": 1, **item, "id": item_id})
        return item_id

    def item(self, item_id: str) -> dict[str, Any] | None:
        """Return an item, `None` where there is none of this id."""
        return next((each for each in self.items if each["id"] == item_id), None)
