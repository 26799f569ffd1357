"""What the shop has to say to a shopper, in English; `texts` has the other languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from .models import Cart

if TYPE_CHECKING:
    from .visit import Visit

__all__ = ["NOTES", "Notice", "marked", "notices"]

Notice = tuple[str, Mapping[str, str]]
"""A text that templates translate, and what stands in its places."""


def marked(text: str) -> str:
    """Return a text as it is; it is marked for who collects what is to be translated."""
    return text


NOTES: Final[Mapping[str, str]] = {
    "added": marked("Added to your cart."),
    "changed": marked("Your cart has been changed."),
    "removed": marked("Taken out of your cart."),
    "not-added": marked("That could not be put into your cart. Please try again in a moment."),
    "not-changed": marked("Your cart could not be changed. Please try again in a moment."),
    "no-price": marked("There is no price for that at the moment, so it was not put into your cart."),
    "not-you": marked("That is not an e-mail address and a password that belong together."),
    "not-now": marked("We cannot do that right now, so nothing has changed. Please try again in a moment."),
    "log-in": marked("Please log in for that."),
    "not-yours": marked("You do not act for that company."),
    "not-offered": marked("That is not offered here, so nothing has changed."),
    "welcome": marked("You are logged in."),
    "bye": marked("You are logged out."),
    "cart-accepted": marked("Your cart follows in a moment."),
    "cart-half": marked("Your cart may not have followed your choice. Please choose once more in a moment."),
    "cart-failed": marked("Your cart could not follow, so that nothing was changed. Please try again in a moment."),
    "cookies": marked("Your browser keeps no cookies of this shop. Without them there is no cart, and no login."),
    "away": marked("Something is out of order here. You can look around; prices and your cart are back in a moment."),
    "order-refused": marked("That could not be ordered. Please look through your cart, and try again."),
    "order-changed": marked(
        "What you order, or its price, has changed meanwhile. Please look through it, and order again."
    ),
    "order-unknown": marked(
        "We cannot tell whether your order has reached us. Please look for our e-mail before you order again."
    ),
}
"""What a redirect can say, by the name in its query."""


def notices(visit: Visit, note: str, cart: Cart | None) -> Iterator[Notice]:
    """Say what a shopper should know.

    Args:
        visit: the visit.
        note: the name of what a form has to say.
        cart: the cart on the page.
    """
    if note in {"added", "welcome"} and not visit.request.cookies:
        yield NOTES["cookies"], {}  # what a form has just done is gone
    elif note in NOTES:
        yield NOTES[note], {}
    if visit.is_offline:
        yield (
            marked("Something is out of order here. You can look around; prices and your cart are back in a moment."),
            {},
        )
        if visit.ctx.pending:
            yield marked("Your choice is kept."), {}
    if cart is not None and cart.lines and cart.currency != visit.ctx.currency:
        yield marked("Your cart is still kept in %(currency)s."), {"currency": cart.currency}
