"""What the shop has to say to a shopper when not everything is as it should be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from session_ctx_middleware import SessionContext

from .choices import FIELDS
from .models import Cart
from .visit import Visit

__all__ = ["NOTES", "SOURCES", "notices"]

SOURCES: Final[Mapping[str, str]] = {
    "change": "your choice, on its way to Emporix",
    "parked": "your choice, kept until Emporix can take it",
    "document": "your session at Emporix",
    "default": "the shop's default",
    "unset": "nobody has said",
}

NOTES: Final[Mapping[str, str]] = {
    "not-you": "That is not an e-mail address and a password that belong together.",
    "not-now": "Emporix cannot be reached, so nothing has changed. Please try again in a moment.",
    "log-in": "Please log in for that.",
    "not-yours": "You do not act for that company.",
    "welcome": "You are logged in.",
    "bye": "You are logged out.",
    "cart-accepted": "Your cart follows in a moment.",
    "cart-half": "Your cart may not have followed your choice. Please choose once more in a moment.",
    "cart-failed": "Your cart could not follow, so that nothing was changed. Please try again in a moment.",
    "not-added": "That could not be put into your cart. Please try again in a moment.",
    "no-price": "There is no price for that at the moment, so it was not put into your cart.",
}
"""What a redirect can say, by the name in its query."""


def notices(
    ctx: SessionContext, visit: Visit, *, note: str = "", currencies: Collection[str] = (), cart: Cart | None = None
) -> Iterator[str]:
    """Say what a shopper should know.

    Args:
        ctx: the loaded context.
        visit: the visit.
        note: the name of what a form has to say.
        currencies: of the prices on the page.
        cart: the cart on the page.
    """
    if note in NOTES:
        yield NOTES[note]
    if visit.is_offline or ctx.is_degraded:
        yield "Emporix cannot be reached right now. You can look around; prices are on request until it is back."
    elif ctx.is_stale:
        yield "Emporix does not answer right now. You see what it said last."
    yield from _pending(ctx)
    strange = sorted(set(currencies) - {ctx.currency})
    if strange:
        yield f"Until Emporix knows your choice, it quotes prices in {', '.join(strange)}."
    if cart is not None and cart.currency != ctx.currency:
        yield f"Your cart is still kept in {cart.currency}."


def _pending(ctx: SessionContext) -> Iterator[str]:
    waiting = [f"{FIELDS[field].lower()} {value}" for field, value in ctx.pending.items() if field in FIELDS]
    if waiting:
        moment = "as soon as it answers again" if ctx.exists or ctx.is_degraded else "with the first thing in your cart"
        yield f"Your choice is kept and will be sent to Emporix {moment}: {', '.join(waiting)}."
