"""What the sites of a shop offer, by whatever Site Settings says of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_ctx_middleware.model.sites import Site, Sites

EUROPE = {
    "code": "main",
    "name": "Europe",
    "active": True,
    "default": True,
    "includesTax": True,
    "defaultLanguage": "en",
    "languages": ["de", "en"],
    "currency": "EUR",
    "availableCurrencies": ["CHF"],
    "homeBase": {"address": {"country": "DE"}, "timezone": "Europe/Berlin"},
    "shipToCountries": ["AT"],
    "cartCalculationScale": 3,
}
STATES = {"code": "us", "currency": "USD", "defaultLanguage": "en", "includesTax": False, "languages": ["en", "es"]}


def site(**changes: Any) -> Site:
    parsed = Site.parse({**EUROPE, **changes})
    assert parsed is not None
    return parsed


def test_site() -> None:
    """The default of a list always belongs to it, and comes first."""
    assert site() == Site(
        code="main",
        name="Europe",
        currency="EUR",
        currencies=("EUR", "CHF"),
        language="en",
        languages=("en", "de"),
        location="DE",
        locations=("DE", "AT"),
        includes_tax=True,
        time_zone="Europe/Berlin",
        decimals=3,
        is_default=True,
    )
    assert Site.parse({"code": "bare"}) == Site(code="bare", name="bare")
    unusable: list[Any] = [{**EUROPE, "active": False}, {**EUROPE, "code": "a b"}, {}, None, []]
    for nothing in unusable:
        assert Site.parse(nothing) is None


@pytest.mark.parametrize("odd", [None, 7, True, "", [], {}, [[]], ["EURO", 3, None], {"address": "DE"}, 10**400])
def test_odd_values(odd: Any) -> None:
    """An odd value costs that value, not the site."""
    for field in EUROPE:
        parsed = Site.parse({**EUROPE, field: odd})
        assert parsed is None or field == "active" or parsed.code == "main"
    assert site(availableCurrencies=odd).offers("currency", "EUR")


def test_half_a_character() -> None:
    """What no page could be encoded with, a lone surrogate of JSON, costs that value, not the page that shows it."""
    parsed = site(name="Eu\ud800rope", homeBase={"timezone": "Europe/\ud800"})
    assert (parsed.name, parsed.time_zone) == ("main", None)
    assert Site.parse({"code": "ma\ud800in"}) is None
    assert site(availableCurrencies=["\ud800"], languages=["de-\ud800"]).languages == ()


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.sampled_from(sorted(EUROPE)), st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=3)
    )
)
def test_any_answer(changes: dict[str, Any]) -> None:
    """Whatever comes, it is a site or none."""
    assert isinstance(Site.parse({**EUROPE, **changes}), Site | None)


@pytest.mark.parametrize(("tag", "offered"), [("DE", True), ("de-CH", True), ("en_US", True), ("fr", False)])
def test_languages(tag: str, offered: bool) -> None:
    """Sites have no regions: a language is offered in each of its regions, in whatever case."""
    assert site().offers("language", tag) is offered


def test_empty_lists_allow_everything() -> None:
    """Who lists nothing allows everything, or all that is active in the tenant."""
    bare = site(availableCurrencies=[], shipToCountries=None)
    assert bare.offers("currency", "JPY")
    assert bare.offers("target_location", "JP")

    active = bare.only({"EUR", "USD"}, {"DE", "FR"})
    assert (active.currencies, active.locations) == (("EUR", "USD"), ("DE", "FR"))
    assert site().only({"USD"}, {"AT"}).currencies == ("EUR",), "its own stays"
    assert site().only(None, None) == site()


def test_list_of_which_nothing_is_active() -> None:
    """A list that the tenant's own contradicts allows what it has, and not everything."""
    parsed = Site.parse({"code": "main", "availableCurrencies": ["CHF", "SEK"], "shipToCountries": ["CH"]})
    assert parsed is not None
    found = parsed.only({"EUR"}, {"DE"})
    assert [found.offers("currency", value) for value in ("CHF", "EUR", "JPY")] == [True, False, False]
    assert (found.currencies, found.locations) == (("CHF", "SEK"), ("CH",))


def test_switches() -> None:
    """Values go together: what a site does not offer is refused, and what it needs comes along."""
    states = Site.parse(STATES)
    assert states is not None
    sites = Sites([site(), states])
    here: dict[str, str | None] = {"site_code": "main", "currency": "CHF", "language": "de-CH", "target_location": "AT"}

    assert (len(sites), sites.default, [each.code for each in sites]) == (2, site(), ["main", "us"])
    assert sites.refused({"currency": "EUR", "language": "en"}, here) == {}
    assert "EUR, CHF" in str(sites.refused({"currency": "USD"}, here)["currency"])
    assert "main, us" in str(sites.refused({"site_code": "uk"}, here)["site_code"])
    assert list(sites.refused({"site_code": "us", "language": "de", "currency": "USD"}, here)) == ["language"]
    assert sites.refused({"currency": "USD"}, {"site_code": "unknown"}) == {}
    assert sites.following({"site_code": "us"}, here) == {"language": "en"}, "it lists no currencies"
    assert sites.following({"site_code": "us"}, {}) == {"currency": "USD", "language": "en"}
    assert sites.following({"site_code": "main"}, {**here, "currency": "USD"}) == {"currency": "EUR"}
    assert sites.following({"currency": "EUR"}, here) == {}
