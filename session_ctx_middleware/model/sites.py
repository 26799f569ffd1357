"""What the sites of a shop offer: values of the switches that go together. Pure: no I/O, no clock.

Site Settings has the sites; which values a site allows follows from the lists that it has (schema SiteDto): an empty
list allows everything, the site's own currency and its home country always belong to theirs, and languages differ in
nothing but their primary subtag, as sites have no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..errors import InvalidChange
from .fields import checked_switch

__all__ = ["OFFERED", "Site", "Sites"]

MAX_VALUES: Final = 512
MAX_NAME: Final = 256
MAX_SCALE: Final = 10
OFFERED: Final[Mapping[str, str]] = {
    "currency": "currencies",
    "language": "languages",
    "target_location": "locations",
}
"""The lists of a site, by the switch whose values they have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site.

    Args:
        code: as in `site_code`.
        name: for people.
        currency: that its prices have by default (ISO 4217).
        currencies: that may be chosen, the default one first; empty where any may.
        language: that it speaks by default.
        languages: that may be chosen, the default one first; empty where any may.
        location: its home country (ISO 3166-1 alpha-2), where it is known.
        locations: the countries that it ships to, the home country first; empty where any may be chosen.
        includes_tax: whether its prices are shown with tax.
        time_zone: of its home (IANA name), where it is known.
        decimals: that carts are calculated with.
        is_default: whether it is the tenant's default site.
    """

    code: str
    name: str = ""
    currency: str | None = None
    currencies: tuple[str, ...] = ()
    language: str | None = None
    languages: tuple[str, ...] = ()
    location: str | None = None
    locations: tuple[str, ...] = ()
    includes_tax: bool = True
    time_zone: str | None = None
    decimals: int = 2
    is_default: bool = False

    @classmethod
    def parse(cls, data: object) -> Site | None:
        """Return a site as Site Settings describes it, `None` for one without a code or that is not active.

        A value that is odd costs that value, not the site.

        Args:
            data: one element of the answer.
        """
        if not isinstance(data, Mapping) or data.get("active") is False:
            return None
        code = _switch("site_code", data.get("code"))
        if code is None:
            return None
        home = _mapping(data.get("homeBase"))
        currency, language = _switch("currency", data.get("currency")), _switch("language", data.get("defaultLanguage"))
        location = _switch("target_location", _mapping(home.get("address")).get("country"))
        zone = _text(home.get("timezone"), "")
        scale = data.get("cartCalculationScale")
        return cls(
            code=code,
            name=_text(data.get("name"), code)[:MAX_NAME],
            currency=currency,
            currencies=_values("currency", currency, data.get("availableCurrencies")),
            language=language,
            languages=_values("language", language, data.get("languages")),
            location=location,
            locations=_values("target_location", location, data.get("shipToCountries")),
            includes_tax=data.get("includesTax") is not False,
            time_zone=zone if 0 < len(zone) <= MAX_NAME else None,
            decimals=scale if isinstance(scale, int) and 0 <= scale <= MAX_SCALE and scale is not True else 2,
            is_default=data.get("default") is True,
        )

    def only(self, currencies: Collection[str] | None, locations: Collection[str] | None) -> Site:
        """Return the site without what is not active in the tenant.

        Args:
            currencies: that are; `None` where nobody knows.
            locations: that are; `None` where nobody knows.
        """
        return replace(
            self,
            currencies=_active(self.currencies, currencies, self.currency),
            locations=_active(self.locations, locations, self.location),
        )

    def default(self, field: str) -> str | None:
        """Return what the site has where nobody has chosen; `None` where it says nothing."""
        value: str | None = getattr(self, {"target_location": "location"}.get(field, field))
        return value

    def offered(self, field: str) -> tuple[str, ...]:
        """Return the values of a switch that may be chosen, empty where any may."""
        values: tuple[str, ...] = getattr(self, OFFERED[field])
        return values

    def offers(self, field: str, value: str) -> bool:
        """Tell whether a value of a switch may be chosen."""
        values = self.offered(field)
        if not values:
            return True
        return value in values if field != "language" else _primary(value) in map(_primary, values)


class Sites:
    """The sites of a tenant, as they were at one moment.

    Args:
        sites: in the order of the service.
    """

    __slots__ = ("_by_code", "default")

    def __init__(self, sites: Iterable[Site]) -> None:
        self._by_code = {site.code: site for site in sites}
        every = tuple(self._by_code.values())
        self.default: Site | None = next((site for site in every if site.is_default), every[0] if every else None)
        """The tenant's default site."""

    def __len__(self) -> int:
        return len(self._by_code)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._by_code.values())

    def get(self, code: str | None) -> Site | None:
        """Return a site, `None` where there is none of that code."""
        return None if code is None else self._by_code.get(code)

    def refused(self, wanted: Mapping[str, str], shown: Mapping[str, str | None]) -> dict[str, InvalidChange]:
        """Return the changes of switches that cannot be, and why.

        Args:
            wanted: the changes.
            shown: what the shopper has without them.
        """
        site = self.get(wanted.get("site_code", shown.get("site_code")))
        if site is None:
            text = f"site_code must be one of the shop's sites: {_listed(self._by_code)}."
            return {"site_code": InvalidChange(text)} if "site_code" in wanted else {}
        return {
            field: InvalidChange(f"{field} must be offered by the site: {_listed(site.offered(field))}.")
            for field in OFFERED
            if field in wanted and not site.offers(field, wanted[field])
        }

    def following(self, wanted: Mapping[str, str], shown: Mapping[str, str | None]) -> dict[str, str]:
        """Return what has to go with another site: its own values, where it does not offer what the shopper has.

        Args:
            wanted: the changes.
            shown: what the shopper has without them.
        """
        site = self.get(wanted.get("site_code"))
        if site is None:
            return {}
        others = {field: shown.get(field) for field in OFFERED if field not in wanted}
        return {
            field: default
            for field, value in others.items()
            if value is None or not site.offers(field, value)
            if (default := site.default(field)) is not None
        }


def _listed(values: Iterable[str]) -> str:
    first, *others = [*values][:20]
    return ", ".join([first, *others])


def _primary(tag: str) -> str:
    """Return the language of a tag, without region and case (RFC 5646, section 2.1.1)."""
    return tag.replace("_", "-").partition("-")[0].lower()


def _switch(field: str, value: object) -> str | None:
    if isinstance(value, Mapping):  # a currency may come as an object
        value = value.get("code", value.get("id"))
    try:
        return checked_switch(
            field, value.replace("_", "-") if field == "language" and isinstance(value, str) else value
        )
    except InvalidChange:
        return None


def _values(field: str, default: str | None, listed: object) -> tuple[str, ...]:
    """Return the values that a list allows, and the default one; none where everything is allowed."""
    values = [_switch(field, each) for each in (listed if isinstance(listed, list) else [])[:MAX_VALUES]]
    found = [value for value in values if value is not None]
    return tuple(dict.fromkeys([*([] if default is None else [default]), *found])) if found else ()


def _text(value: object, otherwise: str) -> str:
    """Return a text if it is one that can be sent: JSON may hold half a character (a lone surrogate)."""
    if not isinstance(value, str):
        return otherwise
    try:
        value.encode()
    except UnicodeEncodeError:
        return otherwise
    return value


def _active(listed: tuple[str, ...], active: Collection[str] | None, default: str | None) -> tuple[str, ...]:
    """Return the listed values that are active; of a list that allows everything, all that are. The default stays.

    A list of which none is active stays as it is: that something is wrong does not mean that everything is allowed.
    """
    if active is None:
        return listed
    found = [value for value in listed or sorted(active) if value in active or value == default]
    if not found:
        return listed
    return tuple(dict.fromkeys([*([] if default is None else [default]), *found]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
