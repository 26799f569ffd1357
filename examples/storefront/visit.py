"""What every page and every form begins with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from session_ctx_middleware import SessionContext, SessionContextError, get_session_context
from session_ctx_middleware.emporix import SiteCatalog
from session_ctx_middleware.sessions import Account, StorefrontSessions

from .catalog import Catalog
from .models import Cart, Price, Product
from .platform import Platform, PlatformError

if TYPE_CHECKING:
    from .rendering import Renderer

__all__ = ["Shop", "Visit", "back_to", "begin"]

PATIENCE: Final = 1.0
"""Seconds that a page waits for the sites, when they are loaded for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What all pages share; `app.state.shop`."""

    platform: Platform
    catalog: Catalog
    sites: SiteCatalog
    sessions: StorefrontSessions
    renderer: Renderer


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request of a shopper.

    Args:
        request: the request.
        shop: what all share.
        ctx: the loaded context.
        account: who is logged in.
        products: what the shop sells.
        is_offline: whether Emporix has just failed to answer: then nothing waits for it once more.
    """

    request: Request
    shop: Shop
    ctx: SessionContext
    account: Account
    products: Sequence[Product]
    is_offline: bool

    def product(self, product_id: str) -> Product | None:
        """Return a product, `None` where the shop does not sell it."""
        return next((each for each in self.products if each.product_id == product_id), None)

    async def prices(self, quantities: Mapping[str, float], currency: str | None = None) -> Mapping[str, Price]:
        """Return prices in what the shopper has chosen; without Emporix there are none: "price on request".

        Args:
            quantities: how much of which product.
            currency: another one than the shopper's.
        """
        if not quantities or self.is_offline:
            return {}
        try:
            criteria = {**self.ctx.price_criteria(), **({"targetCurrency": currency} if currency else {})}
            return await self.shop.platform.prices(self.ctx.auth, criteria, quantities)
        except (PlatformError, SessionContextError) as error:
            self.note(error)
            return {}

    async def cart(self) -> Cart | None:
        """Return the shopper's cart, `None` where there is none, or it was ordered, or nobody can tell."""
        cart_id = self.ctx.cart_id
        if cart_id is None or self.is_offline:
            return None
        try:
            return await self.shop.platform.cart(self.ctx.auth, cart_id)
        except (PlatformError, SessionContextError) as error:
            self.note(error)
            return None

    def note(self, error: PlatformError | SessionContextError) -> None:
        """Remember why a call failed: the page says so, and does not wait for Emporix once more."""
        self.is_offline = self.is_offline or not getattr(error, "is_refusal", False)


async def begin(request: Request) -> Visit:
    """Load the context, and what all shoppers share."""
    shop: Shop = request.app.state.shop
    ctx = await get_session_context(request).load()
    _, products = await asyncio.gather(
        shop.sites.load(PATIENCE), shop.catalog.products(ctx.auth if ctx.has_token else None)
    )
    # What is stale is being renewed, as a rule; it is an outage where Emporix has not answered others either.
    is_away = ctx.is_degraded or (ctx.is_stale and not ctx.middleware.health().emporix)
    # Without a token there is no session either: Emporix could not be asked for one.
    is_offline = not ctx.has_token or is_away
    account = await shop.sessions.account(request)
    return Visit(request=request, shop=shop, ctx=ctx, account=account, products=products, is_offline=is_offline)


def back_to(path: str, note: str = "") -> Response:
    """Answer a form: the browser fetches a page with GET, so reloading that sends nothing twice."""
    return RedirectResponse(f"{path}?note={note}" if note else path, status_code=303)
