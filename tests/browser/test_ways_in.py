"""Shoppers who use no mouse, run no scripts, or keep no cookies; and browsers that are taken for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Playwright, expect

from . import chromium
from .conftest import NewShopper
from .live_shop import LiveShop
from .shop_pages import ACCOUNT, ACCOUNT_LINK, ADDRESS, BUYER, CART, HOME, LOG_IN, Tab
from .shopper import Shopper

pytestmark = pytest.mark.browser

FURTHEST = 80
NO_COOKIES = {"profile": {"default_content_setting_values": {"cookies": 2}}}
# What is in focus: whether a ring of its own is around it, and whether it can be seen where it is.
FOCUS = """() => {
  const it = document.activeElement, box = it.getBoundingClientRect(), style = getComputedStyle(it);
  const over = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return {
    what: it.outerHTML.slice(0, 80),
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 1 && box.height > 1 && over !== null && (it.contains(over) || over.contains(it)),
  };
}"""


class Keyboard:
    """A shopper who has nothing else.

    Args:
        tab: where he is.
    """

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self._press = tab.page.keyboard.press

    def reach(self, control: Locator) -> None:
        """Press Tab until a control is in focus; each one on the way has to show that it is."""
        for _ in range(FURTHEST):
            self._press("Tab")
            focus = self._tab.page.evaluate(FOCUS)
            assert focus["ring"], focus
            assert focus["seen"], focus
            if control.evaluate("it => it === document.activeElement"):
                return
        pytest.fail(f"{control} cannot be reached with Tab.")

    def choose(self, control: Locator, value: str) -> None:
        """Go through a list with the arrows until it shows a value."""
        self.reach(control)
        for _ in range(FURTHEST):
            if control.input_value() == value:
                return
            self._press("ArrowDown")
        pytest.fail(f"{value} cannot be chosen with the arrows.")

    def enter(self, control: Locator) -> None:
        """Reach what leads to another page, and go there."""
        self.reach(control)
        with self._tab.page.expect_event("load"):
            self._press("Enter")

    def write(self, control: Locator, text: str) -> None:
        self.reach(control)
        self._tab.page.keyboard.type(text)


def buy(tab: Tab) -> None:
    """Shop as far as the shop goes."""
    tab.go().switch(currency="USD", language="de")
    tab.add("Steinzeugtasse")
    expect(tab.line("Steinzeugtasse")).to_contain_text("21,46")
    tab.log_in(BUYER)
    tab.switch(language="en")
    tab.go(CART)
    tab.leads_on(tab.to_checkout)
    tab.fill_in_address()
    tab.leads_on(tab.order_button)
    expect(tab.order_number).to_be_visible()
    tab.go(ACCOUNT)
    tab.act_for("South")
    expect(tab.company).to_have_value("le-south")
    tab.log_out()
    tab.is_logged_in(yes=False)


def test_skip_link(shopper: Shopper) -> None:
    """The first thing that Tab reaches leads past everything that is on each page."""
    tab = shopper.tab.go()
    expect(tab.skip_link).not_to_be_in_viewport()
    keyboard = Keyboard(tab)
    keyboard.reach(tab.skip_link)
    expect(tab.skip_link).to_be_in_viewport(ratio=1)
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")

    expect(tab.main.locator(":focus")).to_have_count(1)


def test_keyboard_alone(shopper: Shopper, shop: LiveShop) -> None:
    """Choosing, logging in, acting for a company, ordering and logging out need no mouse; focus is always seen."""
    tab = shopper.tab.go()
    keyboard = Keyboard(tab)
    keyboard.reach(tab.chooser)
    tab.page.keyboard.press("Enter")
    keyboard.choose(tab.choice("currency"), "CHF")
    keyboard.enter(tab.apply)
    tab.shows(currency="CHF")
    keyboard.enter(tab.add_button("Hand grinder"))
    expect(tab.line("Hand grinder")).to_contain_text("CHF82.77")
    keyboard.enter(tab.link(LOG_IN))
    keyboard.write(tab.email, BUYER.email)
    keyboard.write(tab.password, BUYER.password)
    with tab.page.expect_event("load"):
        tab.page.keyboard.press("Enter")
    keyboard.enter(tab.link("Cart"))
    keyboard.enter(tab.to_checkout)
    for label, text in ADDRESS.items():
        keyboard.write(tab.field(label), text)
    keyboard.enter(tab.order_button)
    expect(tab.order_number).to_be_visible()
    keyboard.enter(tab.link(ACCOUNT_LINK))
    keyboard.choose(tab.company, "le-south")
    keyboard.enter(tab.act_button)
    expect(tab.company).to_have_value("le-south")
    keyboard.enter(tab.log_out_button)

    tab.is_logged_in(yes=False)
    assert shop.emporix.count("customer.login") == 1


def test_no_scripts(new_shopper: NewShopper, shop: LiveShop) -> None:
    """Everything works where JavaScript is off."""
    buy(new_shopper(java_script_enabled=False).tab)

    assert shop.emporix.count("cart.create") == 1


def test_with_scripts(shopper: Shopper) -> None:
    """The same works where it is on."""
    buy(shopper.tab)


@pytest.fixture
def shopper_without_cookies(
    browser: Browser, path_of_chromium: str, playwright: Playwright, shop: LiveShop, tmp_path: Path
) -> Iterator[Shopper]:
    """Somebody whose browser takes no cookies at all."""
    profile = tmp_path / "Default"
    profile.mkdir()
    (profile / "Preferences").write_text(json.dumps(NO_COOKIES), "utf-8")
    context = playwright.chromium.launch_persistent_context(
        tmp_path,
        executable_path=path_of_chromium,
        args=[*chromium.FLAGS],
        user_agent=chromium.user_agent(browser.version),
    )
    shopper = Shopper(context, shop.address)
    yield shopper
    assert context.cookies() == []
    shopper.leave()
    assert not shopper.errors


def test_no_cookies(shopper_without_cookies: Shopper, shop: LiveShop) -> None:
    """Where cookies are blocked, pages show the shop's own values, no form fails, and the shopper is told why."""
    tab = shopper_without_cookies.tab.go()
    expect(tab.price("Enamel kettle")).to_contain_text("49")
    tab.switch(currency="USD")
    assert tab.path == HOME
    tab.shows(currency="EUR")
    tab.add("Enamel kettle")
    assert tab.path == CART
    expect(tab.nothing_in_cart).to_be_visible()
    expect(tab.notices).to_contain_text("keeps no cookies")
    tab.log_in(BUYER)

    tab.is_logged_in(yes=False)
    expect(tab.notices).to_contain_text("keeps no cookies")


def test_headless_is_no_crawler(new_shopper: NewShopper, browser: Browser, shop: LiveShop) -> None:
    """A browser that says that it is run by a program gets a session as everybody does: tests of shops need one."""
    automatic = chromium.user_agent(browser.version).replace("Chrome/", "HeadlessChrome/")
    tab = new_shopper(user_agent=automatic).tab.go()

    expect(tab.price("Enamel kettle")).to_contain_text("49")
    tab.add("Enamel kettle")
    expect(tab.line("Enamel kettle")).to_be_visible()


def test_crawlers_get_the_defaults(new_shopper: NewShopper, shop: LiveShop) -> None:
    """A crawler, which may well be a real browser, gets a page, and neither a session nor a cookie."""
    crawler = new_shopper(user_agent="Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    crawler.tab.go()

    expect(crawler.tab.heading).to_be_visible()
    assert crawler.context.cookies() == []
    assert shop.emporix.count("context") == 0
