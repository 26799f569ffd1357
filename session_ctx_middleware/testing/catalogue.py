"""What the fake tenant sells, where, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["COUNTRIES", "CURRENCIES", "CUSTOMERS", "PRICES", "PRODUCTS", "RATES", "SITES", "Customer"]


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
    "us": _site("us", "United States", ["USD", "CAD"], ["en", "es"], ["US", "CA"]) | {"includesTax": False},
}

RATES: Final[Mapping[str, float]] = {"EUR": 1.0, "USD": 1.16, "CHF": 0.93, "CAD": 1.62}


@dataclass(frozen=True, slots=True)
class _Good:
    """A product: its price in euros, and by language its name and what is said about it."""

    code: str
    price: float
    texts: Mapping[str, tuple[str, str]]


_GOODS: Final = (
    _Good(
        "kettle",
        49.0,
        {
            "en": ("Enamel kettle", "Two litres, whistles in C."),
            "de": ("Emaille-Wasserkessel", "Zwei Liter, pfeift in C."),
            "fr": ("Bouilloire émaillée", "Deux litres, siffle en do."),
            "es": ("Hervidor esmaltado", "Dos litros, silba en do."),
        },
    ),
    _Good(
        "grinder",
        89.0,
        {
            "en": ("Hand grinder", "Steel burrs, walnut handle."),
            "de": ("Handmühle", "Stahlmahlwerk, Griff aus Nuss."),
            "fr": ("Moulin à main", "Meules en acier, manivelle en noyer."),
            "es": ("Molinillo manual", "Muelas de acero, mango de nogal."),
        },
    ),
    _Good(
        "cup",
        18.5,
        {
            "en": ("Stoneware cup", "Fired twice, holds 250 ml."),
            "de": ("Steinzeugtasse", "Zweimal gebrannt, 250 ml."),
            "fr": ("Tasse en grès", "Cuite deux fois, 250 ml."),
            "es": ("Taza de gres", "Cocida dos veces, 250 ml."),
        },
    ),
    _Good(
        "filter",
        12.0,
        {
            "en": ("Linen filter", "Washable, lasts a year."),
            "de": ("Leinenfilter", "Waschbar, hält ein Jahr."),
            "fr": ("Filtre en lin", "Lavable, dure un an."),
            "es": ("Filtro de lino", "Lavable, dura un año."),
        },
    ),
    _Good(
        "scale",
        64.0,
        {
            "en": ("Brew scale", "Reads tenths of a gram."),
            "de": ("Kaffeewaage", "Zeigt Zehntelgramm."),
            "fr": ("Balance à café", "Précise au dixième de gramme."),
            "es": ("Báscula de café", "Mide décimas de gramo."),
        },
    ),
    _Good(
        "tray",
        129.0,
        {
            "en": ("Ash tray table", "Folds flat behind a door."),
            "de": ("Tabletttisch aus Esche", "Passt flach hinter jede Tür."),
            "fr": ("Table plateau en frêne", "Se range à plat derrière une porte."),
            "es": ("Mesa bandeja de fresno", "Se pliega detrás de una puerta."),
        },
    ),
    _Good(
        "beans",
        27.5,
        {
            "en": ("House beans", "One kilogram, roasted on Monday."),
            "de": ("Hausröstung", "Ein Kilo, montags geröstet."),
            "fr": ("Café maison", "Un kilo, torréfié le lundi."),
            "es": ("Café de la casa", "Un kilo, tostado el lunes."),
        },
    ),
    _Good(
        "book",
        22.0,
        {
            "en": ("The slow morning", "96 pages, no screens."),
            "de": ("Der langsame Morgen", "96 Seiten, kein Bildschirm."),
            "fr": ("Le matin lent", "96 pages, aucun écran."),
            "es": ("La mañana lenta", "96 páginas, ninguna pantalla."),
        },
    ),
)


def _product(good: _Good) -> dict[str, Any]:
    return {
        "id": good.code,
        "code": good.code,
        "name": {language: name for language, (name, _) in good.texts.items()},
        "description": {language: text for language, (_, text) in good.texts.items()},
        "published": True,
    }


PRODUCTS: Final[Mapping[str, dict[str, Any]]] = {good.code: _product(good) for good in _GOODS}
PRICES: Final[Mapping[str, float]] = {good.code: good.price for good in _GOODS}
"""What each product costs, in euros."""


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
