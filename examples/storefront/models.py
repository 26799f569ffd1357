"""What the platform tells the shop, reduced to what the shop uses.

Everything is read with care: a field that is missing or of another type costs a detail of a page, not the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Cart", "Line", "Price", "Product", "Text", "localized", "named"]

LONGEST_NAME: Final = 120


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and its language where it is known."""

    value: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """A product; name and description are a text, or a mapping from languages to texts."""

    product_id: str
    name: object
    description: object

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Product:
        """Read one product of the Product Service."""
        product_id = named(data["id"])
        return cls(product_id, data.get("name") or product_id, data.get("description") or "")


@dataclass(frozen=True, slots=True)
class Price:
    """What a quantity of a product costs, as the Price Service matched it for the shopper."""

    price_id: str
    currency: str
    original: float
    effective: float
    total: float

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Price:
        """Read one matched price."""
        effective = float(data["effectiveValue"])
        return cls(
            named(data["priceId"]),
            named(data["currency"]),
            float(data.get("originalValue", effective)),
            effective,
            float(data.get("totalValue", effective)),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """How much of a product is in a cart, and the items of the cart that say so: it may hold several of one product."""

    quantity: float
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart: its currency, and its lines by product."""

    cart_id: str
    currency: str
    lines: Mapping[str, Line]

    @property
    def quantities(self) -> Mapping[str, float]:
        """How much of which product is in it."""
        return {product_id: line.quantity for product_id, line in self.lines.items()}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Cart:
        """Read a cart of the Cart Service."""
        lines: dict[str, Line] = {}
        for item in data.get("items") or ():
            product_id = str(item.get("itemYrn", "")).partition(";")[2]
            known = lines.get(product_id, Line(0, ()))
            quantity = known.quantity + float(item.get("quantity", 1))
            lines[product_id] = Line(quantity, (*known.item_ids, named(item["id"])))
        return cls(named(data["id"]), named(data["currency"]), lines)


def named(value: object) -> str:
    """Return what Emporix calls something, such as an id.

    Raises:
        ValueError: that names nothing, or cannot be shown.
    """
    if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable():
        return value
    raise ValueError("There is no name.")


def localized(text: object, language: str | None) -> Text:
    """Return a text in a language, else in the language it is a dialect of, else in English, else in any.

    Args:
        text: a text, or a mapping from languages to texts.
        language: a BCP 47 tag.
    """
    if not isinstance(text, Mapping):
        return Text(str(text))
    wanted = language or ""
    for candidate in (wanted, wanted.partition("-")[0], "en", *text):
        if text.get(candidate):
            return Text(str(text[candidate]), str(candidate))
    return Text("")
