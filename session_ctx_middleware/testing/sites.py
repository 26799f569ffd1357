"""Sites, countries and currencies, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .answers import Answer, json_answer, service_error
from .catalogue import COUNTRIES, CURRENCIES
from .request import Incoming

__all__ = ["get_site", "list_countries", "list_currencies", "list_sites"]

SITES_ON_A_PAGE: Final = 16
NAMES_ON_A_PAGE: Final = 60
SELF_EVIDENT: Final[dict[str, Any]] = {"availableCurrencies": [], "shipToCountries": []}


def list_sites(call: Incoming) -> Answer:
    """Answer the active sites of one page."""
    sites = [_site(call, site) for site in call.world.sites.values()]
    return _page(call, sites, SITES_ON_A_PAGE, {"x-count": str(len(sites))})


def get_site(call: Incoming) -> Answer:
    """Answer one site."""
    if call.token is None:
        return call.unauthorized()
    site = call.world.sites.get(call.values["code"])
    if site is not None:
        return json_answer(_site(call, site))
    if call.world.quirks.site_missing == "bare":
        return json_answer({"status": 404, "type": "application/json", "message": "Site not found"}, 404)
    return service_error(404, "Site not found", status="Not Found")


def list_countries(call: Incoming) -> Answer:
    """Answer the countries of one page; a name is always a map."""
    countries = [{"code": code, "name": {"en": f"Country {code}"}, "active": True} for code in COUNTRIES]
    return _page(call, countries, NAMES_ON_A_PAGE, _total(call, countries))


def list_currencies(call: Incoming) -> Answer:
    """Answer the currencies of one page; a name is a text in one language, a map in all of them (``*``)."""
    every = call.headers.get("accept-language") == "*"
    names = ((code, f"Currency {code}") for code in CURRENCIES)
    currencies = [{"code": code, "name": {"en": name} if every else name} for code, name in names]
    return _page(call, currencies, NAMES_ON_A_PAGE, _total(call, currencies))


def _site(call: Incoming, site: dict[str, Any]) -> dict[str, Any]:
    if call.world.quirks.site_lists == "complete":
        return site
    return {key: value for key, value in site.items() if key != "taxDeterminationBasedOn"} | SELF_EVIDENT


def _page(call: Incoming, items: Sequence[Any], size: int, headers: dict[str, str]) -> Answer:
    if call.token is None:
        return call.unauthorized()
    asked, number = call.query.get("pageSize", str(size)), call.query.get("pageNumber", "1")
    if not (asked.isdecimal() and number.isdecimal() and int(asked) > 0 and int(number) > 0):
        return service_error(400, "A page has a number and a size from 1", status="Bad Request")
    first = (int(number) - 1) * int(asked)
    return json_answer(items[first : first + int(asked)], headers=headers)


def _total(call: Incoming, items: Sequence[Any]) -> dict[str, str]:
    return {"x-total-count": str(len(items))} if call.headers.get("x-total-count") == "true" else {}
