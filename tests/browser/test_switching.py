"""Choosing: before and after there is a cart, twice, with Back, and in several tabs."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from session_ctx_middleware.testing import Fault

from .conftest import NewShopper
from .live_shop import LiveShop
from .shop_pages import CART, HOME
from .shopper import Shopper

pytestmark = pytest.mark.browser

BUSY = Fault(delay_after=1.5)


def versions(shop: LiveShop) -> list[object]:
    """Return the versions that changes were made from."""
    return [each["metadata"]["version"] for each in shop.patches]


def test_choice_before_the_cart(shopper: Shopper, shop: LiveShop) -> None:
    """A choice shows at once, and reaches Emporix with the first thing in the cart, as one change."""
    tab = shopper.tab.go()
    tab.switch(currency="USD", target_location="AT")

    tab.shows(currency="USD", target_location="AT")
    expect(tab.price("Enamel kettle")).to_contain_text("$56.84")
    assert not shop.patches

    tab.add("Enamel kettle")

    expect(tab.total).to_contain_text("$56.84")
    tab.shows(currency="USD", target_location="AT")
    (patch,) = shop.patches
    assert (patch["currency"], patch["targetLocation"]) == ("USD", "AT")
    assert (shop.document["currency"], shop.cart["currency"]) == ("USD", "USD")


def test_choice_after_the_cart(shopper: Shopper, shop: LiveShop) -> None:
    """The cart follows, with one change that names the version it was made from."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    before = shop.document["metadata"]["version"]
    tab.switch(currency="CHF")

    expect(tab.total).to_contain_text("CHF45.57")
    tab.shows(currency="CHF")
    assert tab.path == CART
    assert versions(shop) == [before]
    assert (shop.document["currency"], shop.cart["currency"]) == ("CHF", "CHF")


def test_site_brings_its_own(shopper: Shopper, shop: LiveShop) -> None:
    """Another site comes with a currency, a language and a country that it has, as one change."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(site_code="us")

    tab.shows(site_code="us", currency="USD", language="en", target_location="US")
    expect(tab.total).to_contain_text("$56.84")
    assert len(shop.patches) == 1
    assert (shop.document["siteCode"], shop.cart["siteCode"]) == ("us", "us")


def test_language_keeps_the_page(shopper: Shopper) -> None:
    """Who changes the language stays where he was."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(language="de")

    assert tab.path == CART
    expect(tab.line("Emaille-Wasserkessel")).to_be_visible()


def test_impatient_choice(shopper: Shopper, shop: LiveShop) -> None:
    """Two clicks, the second one while the first is under way, make one change."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.select(currency="USD")
    shop.emporix.fault("context.patch", BUSY)
    tab.leads_on_impatiently(tab.apply)

    tab.shows(currency="USD")
    expect(tab.total).to_contain_text("$56.84")
    shop.finish()
    assert len(shop.patches) == 1
    assert (shop.document["currency"], shop.cart["currency"]) == ("USD", "USD")


def test_impatient_first_product(shopper: Shopper, shop: LiveShop) -> None:
    """Two clicks on a shopper's first product make one cart."""
    tab = shopper.tab.go()
    shop.emporix.fault("cart.create", BUSY)
    tab.leads_on_impatiently(tab.add_button("Enamel kettle"))

    expect(tab.line("Enamel kettle")).to_be_visible()
    shop.finish()
    assert [call.status for call in shop.emporix.calls if call.operation == "cart.create"].count(201) == 1
    assert shop.cart["items"]


def test_double_click(shopper: Shopper, shop: LiveShop) -> None:
    """Two clicks at once put one piece into the cart."""
    tab = shopper.tab.go()
    with tab.page.expect_event("load"):
        tab.add_button("Enamel kettle").dblclick()

    expect(tab.line("Enamel kettle")).to_contain_text("€49.00")
    shop.finish()
    assert shop.emporix.count("cart.add_item") == 1


def test_reload_sends_nothing_twice(shopper: Shopper, shop: LiveShop) -> None:
    """Reloading what a form has led to is no second order."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(currency="USD")
    tab.reload()

    expect(tab.total).to_contain_text("$56.84")
    assert (shop.emporix.count("cart.add_item"), len(shop.patches)) == (1, 1)


def test_back_and_a_stale_form(shopper: Shopper, shop: LiveShop) -> None:
    """A form from before a choice, reached with Back, changes what the shopper changes there and nothing else."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(currency="USD")
    tab.back()
    tab.switch(language="de")

    tab.shows(currency="USD", language="de")
    assert "currency" not in shop.patches[-1]
    assert (shop.document["currency"], shop.cart["currency"]) == ("USD", "USD")


def test_back_over_two_choices(shopper: Shopper, shop: LiveShop) -> None:
    """The last choice stays, however far back the form was that something else is chosen in."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(currency="USD")
    tab.switch(currency="CHF")
    tab.back()
    tab.back()
    tab.switch(language="de")

    tab.shows(currency="CHF", language="de")
    assert (shop.document["currency"], shop.cart["currency"]) == ("CHF", "CHF")


def test_reload_shows_what_holds(shopper: Shopper) -> None:
    """A list shows what holds after a reload, not what was selected there and never applied."""
    tab = shopper.tab.go()
    tab.select(currency="CHF")
    tab.reload()

    tab.shows(currency="EUR")


def test_two_tabs(shopper: Shopper, shop: LiveShop) -> None:
    """Two tabs that were opened together change different things, and both hold."""
    first = shopper.tab.go()
    first.add("Enamel kettle")
    second = shopper.new_tab().go()
    first.switch(currency="USD")
    second.switch(language="de")

    second.shows(currency="USD", language="de")
    first.reload()
    first.shows(currency="USD", language="de")
    assert (shop.document["currency"], shop.document["language"]) == ("USD", "de")
    assert [sorted(each.keys() - {"metadata", "context"}) for each in shop.patches] == [["currency"], ["language"]]


def test_two_tabs_before_the_cart(shopper: Shopper, shop: LiveShop) -> None:
    """The same holds where Emporix can take nothing yet: both come with the first cart, as one change."""
    first, second = shopper.tab.go(), shopper.new_tab().go()
    first.switch(currency="USD")
    second.switch(target_location="AT")
    second.shows(currency="USD", target_location="AT")
    first.go(HOME).add("Enamel kettle")

    first.shows(currency="USD", target_location="AT")
    assert len(shop.patches) == 1
    assert (shop.document["currency"], shop.document["targetLocation"]) == ("USD", "AT")


def test_two_shoppers(new_shopper: NewShopper, shopper: Shopper) -> None:
    """Nobody sees what somebody else has chosen or put into a cart."""
    other = new_shopper().tab.go()
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(currency="USD")
    other.go(CART)

    other.shows(currency="EUR")
    expect(other.nothing_in_cart).to_be_visible()
