"""Products and prices."""

from __future__ import annotations

from typing import Any, Final

from .answers import Answer, json_answer
from .catalogue import PRODUCTS, RATES
from .request import Incoming

__all__ = ["list_products", "match_prices"]

PRICED: Final = ("currency", "targetLocation")


def list_products(call: Incoming) -> Answer:
    """Answer the catalogue."""
    if call.token is None:
        return call.unauthorized()
    return json_answer([{k: v for k, v in product.items() if k != "price"} for product in PRODUCTS.values()])


def match_prices(call: Incoming) -> Answer:
    """Answer prices in the currency of the session context; none where the context does not say enough."""
    session = call.session
    if session is None:
        return call.unauthorized()
    context = call.world.current(session) or session.seed
    if not all(context.get(key) for key in PRICED) or str(context["currency"]) not in RATES:
        return json_answer([])
    prices = (_price(item, context) for item in call.objects("items"))
    unpriced = call.world.unpriced
    return json_answer(
        [each for each in prices if each is not None and (each["itemId"]["id"], each["currency"]) not in unpriced]
    )


def _price(item: dict[str, Any], context: dict[str, Any]) -> dict[str, Any] | None:
    wanted, amount = item.get("itemId"), item.get("quantity")
    product = PRODUCTS.get(str(wanted.get("id"))) if isinstance(wanted, dict) else None
    if product is None:
        return None
    value = round(product["price"] * RATES[context["currency"]], 2)
    quantity = amount.get("quantity") if isinstance(amount, dict) else None
    count = quantity if isinstance(quantity, int | float) else 1
    return {
        "priceId": f"price-{product['id']}",
        "itemId": wanted,
        "site": {"code": context.get("siteCode", "main")},
        "currency": context["currency"],
        "location": {"countryCode": context["targetLocation"]},
        "originalValue": value,
        "effectiveValue": value,
        "totalValue": round(value * count, 2),
        "quantity": {"unitCode": "piece", **(amount if isinstance(amount, dict) else {}), "quantity": count},
        "includesTax": True,
        "metadata": {"version": "1"},
    }
