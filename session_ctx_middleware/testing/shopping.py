"""Products and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .answers import Answer, json_answer, service_error
from .catalogue import PRICES, PRODUCTS, RATES
from .request import Incoming

__all__ = ["get_product", "list_products", "match_prices", "match_prices_by_context"]

LOCATED: Final = "targetLocation"


@dataclass(frozen=True, slots=True)
class _Criteria:
    """For whom prices are matched."""

    site_code: str
    currency: str
    country: str


def list_products(call: Incoming) -> Answer:
    """Answer the catalogue."""
    return call.unauthorized() if call.token is None else json_answer([*PRODUCTS.values()])


def get_product(call: Incoming) -> Answer:
    """Answer one product."""
    if call.token is None:
        return call.unauthorized()
    product = PRODUCTS.get(call.values["product_id"])
    return service_error(404, "Product not found", status="Not Found") if product is None else json_answer(product)


def match_prices_by_context(call: Incoming) -> Answer:
    """Answer prices for the session context; none where that does not say enough."""
    session = call.session
    if session is None:
        return call.unauthorized()
    context = call.world.current(session) or session.seed
    return _matched(call, context.get("siteCode", "main"), context.get("currency"), context.get(LOCATED))


def match_prices(call: Incoming) -> Answer:
    """Answer prices for what the call names, whatever the session says."""
    if call.token is None:
        return call.unauthorized()
    location = call.data.get(LOCATED)
    country = location.get("countryCode") if isinstance(location, Mapping) else None
    site_code, currency = call.data.get("siteCode"), call.data.get("targetCurrency")
    if not site_code or not currency or not country:
        return service_error(400, "Site, currency and location have to be given", status="Bad Request")
    return _matched(call, site_code, currency, country)


def _matched(call: Incoming, site_code: Any, currency: Any, country: Any) -> Answer:
    if not country or str(currency) not in RATES:
        return json_answer([])
    criteria = _Criteria(str(site_code), str(currency), str(country))
    includes_tax = call.world.site(criteria.site_code)["includesTax"]
    prices = (_price(item, criteria, includes_tax) for item in call.objects("items"))
    unpriced = call.world.unpriced
    return json_answer(
        [each for each in prices if each is not None and (each["itemId"]["id"], each["currency"]) not in unpriced]
    )


def _price(item: dict[str, Any], criteria: _Criteria, includes_tax: Any) -> dict[str, Any] | None:
    wanted, amount = item.get("itemId"), item.get("quantity")
    product_id = str(wanted.get("id")) if isinstance(wanted, dict) else ""
    if product_id not in PRICES:
        return None
    value = round(PRICES[product_id] * RATES[criteria.currency], 2)
    quantity = amount.get("quantity") if isinstance(amount, dict) else None
    count = quantity if isinstance(quantity, int | float) else 1
    return {
        "priceId": f"price-{product_id}",
        "itemId": wanted,
        "site": {"code": criteria.site_code},
        "currency": criteria.currency,
        "location": {"countryCode": criteria.country},
        "originalValue": value,
        "effectiveValue": value,
        "totalValue": round(value * count, 2),
        "quantity": {"unitCode": "piece", **(amount if isinstance(amount, dict) else {}), "quantity": count},
        "includesTax": includes_tax,
        "metadata": {"version": "1"},
    }
