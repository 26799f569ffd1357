"""What the fake tenant sells, where, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["COUNTRIES", "CURRENCIES", "CUSTOMERS", "PRODUCTS", "RATES", "SITES", "Customer"]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer who can log in.

    Args:
        customer_id: the customer's number.
        email: the address.
        password: the password.
        preferences: fields of the context, by Emporix' names, that a login overwrites.
        companies: ids of the legal entities that the customer may act for.
    """

    customer_id: str
    email: str = field(repr=False)
    password: str = field(repr=False)
    preferences: Mapping[str, str] = field(default_factory=dict)
    companies: tuple[str, ...] = ()


CUSTOMERS: Final[Mapping[str, Customer]] = {
    "jane@example.com": Customer("C0001", "jane@example.com", "correct-horse", {"currency": "USD"}),
    "joe@example.com": Customer("C0002", "joe@example.com", "battery-staple"),
    "kim@example.com": Customer(
        "C0003",
        "kim@example.com",
        "paper-clips",
        {"siteCode": "us", "currency": "USD", "targetLocation": "US"},
        ("le-north", "le-south"),
    ),
}


def _site(code: str, name: str, currencies: list[str], languages: list[str], countries: list[str]) -> dict[str, Any]:
    return {
        "code": code,
        "name": name,
        "active": True,
        "default": code == "main",
        "includesTax": True,
        "defaultLanguage": languages[0],
        "languages": languages,
        "currency": currencies[0],
        "availableCurrencies": currencies,
        "homeBase": {"address": {"country": countries[0], "zipCode": "10115"}},
        "shipToCountries": countries,
        "taxDeterminationBasedOn": "SHIPPING_ADDRESS",
        "metadata": {"version": 1},
    }


SITES: Final[Mapping[str, dict[str, Any]]] = {
    "main": _site("main", "Europe", ["EUR", "USD", "CHF"], ["en", "de", "fr"], ["DE", "AT", "FR", "US"]),
    "us": _site("us", "United States", ["USD", "CAD"], ["en", "es"], ["US", "CA"]),
}

RATES: Final[Mapping[str, float]] = {"EUR": 1.0, "USD": 1.16, "CHF": 0.93, "CAD": 1.62}

_GOODS: Final = (
    ("kettle", "Enamel kettle", "Emaille-Wasserkessel", "Two litres, whistles in C.", "Zwei Liter, pfeift in C.", 49.0),
    ("grinder", "Hand grinder", "Handmühle", "Steel burrs, walnut handle.", "Stahlmahlwerk, Griff aus Nuss.", 89.0),
    ("cup", "Stoneware cup", "Steinzeugtasse", "Fired twice, holds 250 ml.", "Zweimal gebrannt, 250 ml.", 18.5),
    ("filter", "Linen filter", "Leinenfilter", "Washable, lasts a year.", "Waschbar, hält ein Jahr.", 12.0),
    ("scale", "Brew scale", "Kaffeewaage", "Reads tenths of a gram.", "Zeigt Zehntelgramm.", 64.0),
    ("tray", "Ash tray table", "Tabletttisch", "Folds flat behind a door.", "Flach hinter jeder Tür.", 129.0),
    ("beans", "House beans", "Hausröstung", "One kilogram, roasted on Monday.", "Ein Kilo, montags geröstet.", 27.5),
    ("book", "The slow morning", "Der langsame Morgen", "96 pages, no screens.", "96 Seiten, kein Bildschirm.", 22.0),
)

PRODUCTS: Final[Mapping[str, dict[str, Any]]] = {
    code: {
        "id": code,
        "code": code,
        "name": {"en": english, "de": german},
        "description": {"en": text, "de": german_text},
        "published": True,
        "price": price,
    }
    for code, english, german, text, german_text, price in _GOODS
}


def _codes(text: str, length: int) -> tuple[str, ...]:
    return tuple(text[first : first + length] for first in range(0, len(text), length))


# Enough for several pages.
COUNTRIES: Final = _codes(
    "ADAEAFAGAIALAMAOARATAUAZBABBBDBEBFBGBHBIBJBNBOBRBSBTBWBYBZCACDCFCGCHCICLCMCNCOCRCUCVCYCZDEDJDKDMDODZECEEEGER"
    "ESETFIFJFMFRGAGBGDGEGHGMGNGQGRGTGWGYHNHRHTHUIDIEILINIQIRISITJMJOJPKEUS",
    2,
)
CURRENCIES: Final = _codes(
    "AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBRLBSDBTNBWPBYNBZDCADCDFCHFCLPCNYCOPCRCCUPCVECZKDJF"
    "DKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGNFGTQGYDHKDHNLHTGHUFIDRILSINRIQDIRRISKJMDJPYUSD",
    3,
)
