"""What each page shows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from .visit import back_to, begin

__all__ = ["home", "not_found", "not_offered", "product"]


async def home(request: Request) -> Response:
    """Show all products, with prices for this shopper."""
    visit = await begin(request)
    prices = await visit.prices({product.product_id: 1 for product in visit.products})
    return visit.shop.renderer.page(visit, "home.html", prices=prices)


async def product(request: Request) -> Response:
    """Show one product."""
    visit = await begin(request)
    found = visit.product(request.path_params["product_id"])
    if found is None:
        return visit.shop.renderer.page(visit, "not_found.html", status_code=404)
    price = (await visit.prices({found.product_id: 1})).get(found.product_id)
    return visit.shop.renderer.page(visit, "product.html", product=found, price=price)


async def not_found(request: Request, _: Exception) -> Response:
    """Say that there is no such page, as the shop it is."""
    visit = await begin(request)
    return visit.shop.renderer.page(visit, "not_found.html", status_code=404)


async def not_offered(_: Request, __: Exception) -> Response:
    """Answer a choice that the site does not offer any more, as the page was open for long."""
    return back_to("/", "not-offered")
