"""Logging in and out and acting for companies, beside other tabs, and what Back shows afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, expect

from session_ctx_middleware.testing import Fault

from . import chromium
from .conftest import NewShopper
from .live_shop import LiveShop
from .shop_pages import ACCOUNT, BUYER, CART, CUSTOMER, PREFERS_DOLLARS, Account
from .shopper import Shopper

pytestmark = pytest.mark.browser

BUSY = Fault(delay_after=1.5)


def test_wrong_password(shopper: Shopper, shop: LiveShop) -> None:
    """Who mistypes his password stays where he can try again, with his cart, and it stands in no address."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.log_in(Account(CUSTOMER.email, "not his"))

    assert tab.path == ACCOUNT
    expect(tab.notices).to_contain_text("belong together")
    tab.is_logged_in(yes=False)
    tab.fill_in(CUSTOMER)
    tab.leads_on(tab.log_in_button)
    tab.is_logged_in()
    tab.go(CART)
    expect(tab.line("Enamel kettle")).to_be_visible()
    assert CUSTOMER.password not in tab.page.url


def test_cart_and_choice_come_along(shopper: Shopper, shop: LiveShop) -> None:
    """A guest's cart and choices are a customer's after the login, whatever he prefers otherwise."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.switch(currency="CHF", language="de")
    tab.log_in(PREFERS_DOLLARS)

    expect(tab.notices).to_contain_text("angemeldet")
    tab.shows(currency="CHF", language="de")
    tab.go(CART)
    expect(tab.line("Emaille-Wasserkessel")).to_be_visible()
    assert (shop.document["currency"], shop.cart["currency"]) == ("CHF", "CHF")


def test_impatient_login(shopper: Shopper, shop: LiveShop) -> None:
    """Two clicks log in, the second one while the first is under way, and leave no broken session."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.go(ACCOUNT)
    tab.fill_in(CUSTOMER)
    shop.emporix.fault("customer.login", BUSY)
    tab.leads_on_impatiently(tab.log_in_button)

    tab.is_logged_in()
    tab.go(CART)
    tab.is_logged_in()
    expect(tab.line("Enamel kettle")).to_be_visible()


def test_impatient_logout(shopper: Shopper, shop: LiveShop) -> None:
    """Two clicks log out."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.log_in(CUSTOMER)
    tab.go(ACCOUNT)
    shop.emporix.fault("customer.logout", BUSY)
    tab.leads_on_impatiently(tab.log_out_button)

    tab.is_logged_in(yes=False)
    tab.go(CART)
    tab.is_logged_in(yes=False)
    expect(tab.nothing_in_cart).to_be_visible()


def test_login_without_a_cart(shopper: Shopper) -> None:
    """Who has nothing in his cart yet is greeted as a customer all the same, and finds his companies."""
    tab = shopper.tab
    tab.log_in(BUYER)

    tab.is_logged_in()
    tab.go(ACCOUNT)
    expect(tab.company).to_be_visible()


def test_companies(shopper: Shopper, shop: LiveShop) -> None:
    """A buyer acts for one of his companies, and for none again; other tabs notice."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.log_in(BUYER)
    other = shopper.new_tab().go(ACCOUNT)
    tab.go(ACCOUNT)
    tab.act_for("North")

    assert shop.document["context"]["legalEntityId"] == "le-north"
    other.reload()
    expect(other.company).to_have_value("le-north")
    tab.act_for("Nobody but yourself")
    expect(tab.company).to_have_value("")


def test_choice_beside_a_login(shopper: Shopper, shop: LiveShop) -> None:
    """What is chosen in one tab while another logs in holds for the customer, too."""
    first = shopper.tab.go()
    first.add("Enamel kettle")
    first.go(ACCOUNT)
    first.fill_in(PREFERS_DOLLARS)
    second = shopper.new_tab().go(CART)
    second.select(currency="CHF")
    shop.emporix.fault("customer.login", BUSY)
    with first.page.expect_event("load"):
        first.log_in_button.click(no_wait_after=True)
        second.leads_on(second.apply)

    first.is_logged_in()
    for tab in (first, second):
        tab.reload()
        tab.shows(currency="CHF")
        tab.is_logged_in()
    assert (shop.document["currency"], shop.cart["currency"]) == ("CHF", "CHF")


def test_stale_form_after_a_login(shopper: Shopper, shop: LiveShop) -> None:
    """A tab that a guest has opened changes what is chosen in it, for the customer, and nothing else."""
    stale = shopper.tab.go()
    stale.add("Enamel kettle")
    tab = shopper.new_tab()
    tab.log_in(PREFERS_DOLLARS)
    tab.shows(currency="USD")
    stale.switch(language="fr")

    stale.is_logged_in()
    stale.shows(currency="USD", language="fr")


def test_logout_leaves_nothing(shopper: Shopper) -> None:
    """After a logout no tab shows or does anything of the customer; his choices stay for the guest."""
    tab = shopper.tab
    tab.log_in(BUYER)
    tab.go().add("Enamel kettle")
    other = shopper.new_tab().go(ACCOUNT)
    tab.log_out()

    expect(tab.notices).to_contain_text("You are logged out")
    tab.is_logged_in(yes=False)
    tab.shows(site_code="us", currency="USD")
    tab.go(CART)
    expect(tab.nothing_in_cart).to_be_visible()
    other.act_for("North")
    expect(other.notices).to_contain_text("Please log in")
    other.is_logged_in(yes=False)


def test_next_customer(shopper: Shopper) -> None:
    """Who logs in at the same browser after somebody else finds nothing of him."""
    tab = shopper.tab
    tab.log_in(BUYER)
    tab.go().add("Enamel kettle")
    tab.log_out()
    tab.log_in(CUSTOMER)

    tab.go(CART)
    expect(tab.nothing_in_cart).to_be_visible()
    tab.go(ACCOUNT)
    expect(tab.company).to_have_count(0)


def test_back_after_a_logout(shopper: Shopper) -> None:
    """Back shows no page of the customer once he has logged out."""
    tab = shopper.tab
    tab.log_in(BUYER)
    tab.go().add("Enamel kettle")
    tab.go(ACCOUNT)
    tab.leads_on(tab.log_out_button)
    tab.back()

    tab.is_logged_in(yes=False)
    expect(tab.company).to_have_count(0)
    tab.back()
    tab.is_logged_in(yes=False)
    expect(tab.line("Enamel kettle")).to_have_count(0)


@pytest.fixture(scope="package")
def browser_that_remembers(path_of_chromium: str, playwright: Playwright) -> Iterator[Browser]:
    """A browser that shows pages from memory after Back, as those of shoppers do; what drives it switches that off."""
    with playwright.chromium.launch(
        executable_path=path_of_chromium,
        args=[*chromium.FLAGS],
        ignore_default_args=["--disable-back-forward-cache"],
    ) as running:
        yield running


def test_memory_after_a_logout(new_shopper: NewShopper, browser_that_remembers: Browser) -> None:
    """Nor does a browser show such a page from its memory."""
    tab = new_shopper(browser_that_remembers).tab.go()
    tab.add("Enamel kettle")
    tab.log_in(BUYER)
    tab.go(ACCOUNT)
    tab.leads_on(tab.log_out_button)
    tab.page.evaluate("history.back()")
    tab.page.wait_for_url(lambda url: ACCOUNT in url, wait_until="commit")

    tab.is_logged_in(yes=False)
    expect(tab.company).to_have_count(0)


def test_two_customers(new_shopper: NewShopper) -> None:
    """Two customers at two browsers have nothing of each other's."""
    one, two = new_shopper().tab, new_shopper().tab
    one.log_in(BUYER)
    two.log_in(CUSTOMER)
    one.go().add("Enamel kettle")
    two.go().add("Stoneware cup")

    for tab, own, foreign in ((one, "Enamel kettle", "Stoneware cup"), (two, "Stoneware cup", "Enamel kettle")):
        tab.reload()
        expect(tab.line(own)).to_be_visible()
        expect(tab.line(foreign)).to_have_count(0)
