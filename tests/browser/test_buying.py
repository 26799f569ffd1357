"""From the first product to the order: quantities, what is taken out again, two clicks, and what is missing."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from session_ctx_middleware.testing import Fault

from .live_shop import LiveShop
from .shop_pages import ACCOUNT, CART, CHECKOUT, CUSTOMER, Tab
from .shopper import Shopper

pytestmark = pytest.mark.browser

BUSY = Fault(delay_after=1.5)


def to_the_checkout(tab: Tab) -> None:
    """Put something into the cart, and go to where it is ordered."""
    tab.go().add("Enamel kettle")
    tab.leads_on(tab.to_checkout)
    tab.fill_in_address()


def ordered(shop: LiveShop) -> list[dict[str, object]]:
    """Return all orders, in the order in which they came."""
    numbers = (f"EON{1000 + number}" for number in range(shop.emporix.count("checkout.order")))
    return [order for order in map(shop.emporix.order, numbers) if order is not None]


def test_quantities(shopper: Shopper, shop: LiveShop) -> None:
    """More of one thing, another one taken out; the cart says so, and adds it up."""
    tab = shopper.tab.go("/products/cup")
    tab.page.get_by_label("Quantity").fill("3")
    tab.leads_on(tab.main.get_by_role("button", name="Add to cart"))
    expect(tab.notices).to_contain_text("Added to your cart")
    tab.go().add("Enamel kettle")
    tab.change_quantity("Stoneware cup", 4)

    expect(tab.quantity("Stoneware cup")).to_have_value("4")
    expect(tab.total).to_contain_text("€123.00")
    tab.remove("Enamel kettle")
    expect(tab.total).to_contain_text("€74.00")
    expect(tab.line("Enamel kettle")).to_have_count(0)
    assert [item["quantity"] for item in shop.cart["items"]] == [4]


def test_order(shopper: Shopper, shop: LiveShop) -> None:
    """An order is in the currency of the cart, and empties it."""
    tab = shopper.tab.go()
    tab.switch(currency="CHF", target_location="AT")
    to_the_checkout(tab)
    tab.leads_on(tab.order_button)

    expect(tab.order_number).to_contain_text("EON1000")
    (order,) = ordered(shop)
    assert order["currency"] == "CHF"
    tab.go(CART)
    expect(tab.nothing_in_cart).to_be_visible()
    tab.go().add("Stoneware cup")
    expect(tab.line("Stoneware cup")).to_be_visible()


def test_impatient_order(shopper: Shopper, shop: LiveShop) -> None:
    """Two clicks, the second one while the first is under way, make one order, and lead to its number."""
    tab = shopper.tab
    to_the_checkout(tab)
    shop.emporix.fault("checkout.order", BUSY)
    tab.leads_on_impatiently(tab.order_button)

    expect(tab.order_number).to_be_visible()
    shop.finish()
    assert len(ordered(shop)) == 1


def test_what_is_missing(shopper: Shopper, shop: LiveShop) -> None:
    """What was written stays, and the shopper is led to what is missing."""
    tab = shopper.tab
    to_the_checkout(tab)
    tab.field("City").fill(" ")
    tab.leads_on(tab.order_button)

    assert tab.path == CHECKOUT
    expect(tab.field("Street")).to_have_value("Long Lane")
    expect(tab.field("City")).to_be_focused()
    tab.field("City").fill("Berlin")
    tab.leads_on(tab.order_button)
    expect(tab.order_number).to_be_visible()


def test_back_after_an_order(shopper: Shopper, shop: LiveShop) -> None:
    """Who goes back after an order is told its number again, and has nothing to order twice."""
    tab = shopper.tab
    to_the_checkout(tab)
    tab.leads_on(tab.order_button)
    tab.back()

    expect(tab.order_number).to_be_visible()
    assert len(ordered(shop)) == 1


def test_customer_orders(shopper: Shopper, shop: LiveShop) -> None:
    """A guest fills the cart, logs in, and orders as a customer; the next one on this machine sees nothing of it."""
    tab = shopper.tab.go()
    tab.add("Enamel kettle")
    tab.log_in(CUSTOMER)
    to_the_checkout(tab)
    tab.leads_on(tab.order_button)

    expect(tab.order_number).to_be_visible()
    (order,) = ordered(shop)
    customer = order["customer"]
    assert isinstance(customer, dict)
    assert customer["id"] == "C0002"
    tab.go(ACCOUNT)
    tab.leads_on(tab.log_out_button)
    tab.go("/thanks")
    assert tab.path == CART
    expect(tab.nothing_in_cart).to_be_visible()
