"""The shop in a shopper's words: whatever tests know of its pages is here, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from playwright.sync_api import Locator, Page, expect

from session_ctx_middleware.testing import FakeEmporix, Fault

__all__ = [
    "ACCOUNT",
    "ACCOUNT_LINK",
    "ADDRESS",
    "BUYER",
    "CART",
    "CUSTOMER",
    "HOME",
    "LOG_IN",
    "PREFERS_DOLLARS",
    "SCREENS",
    "Account",
    "Screen",
    "Tab",
]

HOME: Final = "/"
CART: Final = "/cart"
ACCOUNT: Final = "/account"

CHECKOUT: Final = "/checkout"

ACCOUNT_LINK: Final = re.compile("^(Account|Konto|Compte|Cuenta)$")
LOG_IN: Final = re.compile("^(Log in|Anmelden|Se connecter|Iniciar sesión)$")
LOG_OUT: Final = re.compile("^(Log out|Abmelden|Se déconnecter|Cerrar sesión)$")
ADDRESS: Final[Mapping[str, str]] = {
    "E-mail": "kim@example.com",
    "First name": "Kim",
    "Last name": "Example",
    "Street": "Long Lane",
    "Number": "12",
    "Postal code": "10115",
    "City": "Berlin",
}


@dataclass(frozen=True)
class Account:
    """A customer whom FakeEmporix knows."""

    email: str
    password: str


CUSTOMER: Final = Account("joe@example.com", "battery-staple")
PREFERS_DOLLARS: Final = Account("jane@example.com", "correct-horse")
BUYER: Final = Account("kim@example.com", "paper-clips")


class Tab:
    """One tab of a shopper's browser.

    Args:
        page: what is in it.
        address: the shop's.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address

    # Going somewhere

    def go(self, path: str = HOME, *, status: int = 200) -> Tab:
        """Type an address."""
        answer = self.page.goto(self._address + path)
        assert answer is not None
        assert answer.status == status
        return self

    def link(self, name: str | re.Pattern[str]) -> Locator:
        """One of the links at the top."""
        return self.page.get_by_role("banner").get_by_role("link", name=name)

    def back(self) -> None:
        self.page.go_back()

    def reload(self) -> None:
        self.page.reload()

    def leads_on(self, control: Locator) -> None:
        """Click, and wait for the next page."""
        with self.page.expect_event("load"):
            control.click()

    def leads_on_impatiently(self, control: Locator) -> None:
        """Click once more while the shop is still busy with the form that the first click has sent."""
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        assert box is not None
        # With the mouse itself: the driver's own click would wait until the first one has led somewhere.
        where = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        with self.page.expect_event("load"):
            for _ in range(2):
                with self.page.expect_request(lambda request: request.method == "POST"):
                    self.page.mouse.click(*where)

    @property
    def path(self) -> str:
        """Where the shopper is, without what a form has added to say something."""
        return self.page.url.removeprefix(self._address).partition("?")[0]

    # What every page has

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def notices(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def skip_link(self) -> Locator:
        return self.page.get_by_role("link", name="Skip to content")

    @property
    def chooser(self) -> Locator:
        """What opens the lists that a shopper chooses in."""
        return self.page.get_by_role("banner").locator("summary")

    @property
    def apply(self) -> Locator:
        return self.page.get_by_role("banner").get_by_role("button")

    def choice(self, name: str) -> Locator:
        """A list, by what its form calls it: labels are in the language of the page."""
        return self.page.get_by_role("banner").locator(f"select[name={name}]")

    def select(self, **values: str) -> None:
        """Choose in the lists, and send nothing yet."""
        if not self.apply.is_visible():
            self.chooser.click()
        for name, value in values.items():
            self.choice(name).select_option(value)

    def switch(self, **values: str) -> None:
        """Choose, and apply."""
        self.select(**values)
        self.leads_on(self.apply)

    def shows(self, **values: str) -> None:
        """Expect these choices in the lists."""
        for name, value in values.items():
            expect(self.choice(name)).to_have_value(value)

    # Products and cart

    def add_button(self, product: str) -> Locator:
        return self.main.get_by_role("button", name=re.compile(f": {product}$"))

    def add(self, product: str) -> None:
        """Put a product of the page into the cart."""
        self.leads_on(self.add_button(product))

    def price(self, product: str) -> Locator:
        return self.main.get_by_role("listitem").filter(has_text=product).locator(".price")

    def line(self, product: str) -> Locator:
        return self.main.get_by_role("listitem").filter(has_text=product)

    def quantity(self, product: str) -> Locator:
        return self.line(product).get_by_role("spinbutton")

    def change_quantity(self, product: str, pieces: int) -> None:
        self.quantity(product).fill(str(pieces))
        self.leads_on(self.line(product).get_by_role("button").first)

    def remove(self, product: str) -> None:
        self.leads_on(self.line(product).get_by_role("button").last)

    @property
    def total(self) -> Locator:
        return self.main.locator(".sum")

    @property
    def to_checkout(self) -> Locator:
        return self.main.get_by_role("link", name="To the checkout")

    @property
    def order_button(self) -> Locator:
        return self.main.get_by_role("button", name="Order and pay")

    @property
    def order_number(self) -> Locator:
        """What the shop says after an order."""
        return self.main.get_by_text("Your order has the number")

    def fill_in_address(self) -> None:
        """Write into the form of the checkout."""
        for label, text in ADDRESS.items():
            self.field(label).fill(text)

    def field(self, label: str) -> Locator:
        return self.main.get_by_label(label, exact=True)

    @property
    def nothing_in_cart(self) -> Locator:
        return self.main.get_by_text("There is nothing in your cart yet.")

    # The account

    @property
    def email(self) -> Locator:
        return self.main.locator("input[name=email]")

    @property
    def password(self) -> Locator:
        return self.main.locator("input[name=password]")

    @property
    def log_in_button(self) -> Locator:
        return self.main.get_by_role("button", name=LOG_IN)

    @property
    def log_out_button(self) -> Locator:
        return self.main.get_by_role("button", name=LOG_OUT)

    @property
    def company(self) -> Locator:
        return self.main.locator("select[name=company]")

    def fill_in(self, who: Account) -> None:
        """Write into the form of the page what logs somebody in."""
        self.email.fill(who.email)
        self.password.fill(who.password)

    def log_in(self, who: Account) -> None:
        self.go(ACCOUNT)
        self.fill_in(who)
        self.leads_on(self.log_in_button)

    def log_out(self) -> None:
        self.go(ACCOUNT)
        self.leads_on(self.log_out_button)

    @property
    def act_button(self) -> Locator:
        return self.company.locator("xpath=ancestor::form").get_by_role("button")

    def act_for(self, company: str) -> None:
        """Choose a company on the page of the account."""
        self.company.select_option(label=company)
        self.leads_on(self.act_button)

    def is_logged_in(self, *, yes: bool = True) -> None:
        """Expect that the page is that of somebody who is logged in, or of a guest."""
        expect(self.link(ACCOUNT_LINK if yes else LOG_IN)).to_be_visible()


@dataclass(frozen=True)
class Screen:
    """One state of one page, which has to be accessible, to fit everywhere, and to look well.

    Args:
        name: of its pictures.
        arrange: brings a new shopper there.
        pictures: the files of the documentation that show it: ``phone``, ``desk`` or ``dark``, and its name there.
    """

    name: str
    arrange: Callable[[Tab, FakeEmporix], None]
    pictures: Mapping[str, str] = field(default_factory=dict)


def _home(tab: Tab, _: FakeEmporix) -> None:
    tab.go()


def _german(tab: Tab, _: FakeEmporix) -> None:
    tab.go().switch(language="de")


def _outage(tab: Tab, emporix: FakeEmporix) -> None:
    tab.go()
    emporix.fault("*", Fault(status=503), times=None)
    tab.reload()


def _product(tab: Tab, _: FakeEmporix) -> None:
    tab.go("/products/kettle")


def _spanish(tab: Tab, _: FakeEmporix) -> None:
    tab.go().switch(site_code="us")
    tab.switch(language="es")


def _choosing(tab: Tab, _: FakeEmporix) -> None:
    tab.go().chooser.click()


def _not_found(tab: Tab, _: FakeEmporix) -> None:
    tab.go("/nothing", status=404)


def _checkout(tab: Tab, emporix: FakeEmporix) -> None:
    _cart(tab, emporix)
    tab.go(CHECKOUT)


def _thanks(tab: Tab, emporix: FakeEmporix) -> None:
    _checkout(tab, emporix)
    tab.fill_in_address()
    tab.leads_on(tab.order_button)


def _empty_cart(tab: Tab, _: FakeEmporix) -> None:
    tab.go(CART)


def _cart(tab: Tab, _: FakeEmporix) -> None:
    for product in ("Enamel kettle", "Ash tray table", "Stoneware cup"):
        tab.go().add(product)


def _login(tab: Tab, _: FakeEmporix) -> None:
    tab.go(ACCOUNT)


def _refused_login(tab: Tab, _: FakeEmporix) -> None:
    tab.log_in(Account(CUSTOMER.email, "something else"))


def _account(tab: Tab, _: FakeEmporix) -> None:
    tab.go().add("Enamel kettle")
    tab.log_in(BUYER)
    tab.go(ACCOUNT)


SCREENS: Final = (
    Screen("home", _home, {"desk": "demo.png"}),
    Screen("home-german", _german),
    Screen("home-spanish", _spanish),
    Screen("home-choosing", _choosing),
    Screen("home-outage", _outage),
    Screen("product", _product),
    Screen("not-found", _not_found),
    Screen("cart-empty", _empty_cart),
    Screen("cart", _cart),
    Screen("checkout", _checkout),
    Screen("thanks", _thanks),
    Screen("login", _login),
    Screen("login-refused", _refused_login),
    Screen("account", _account),
)
"""The table of all pages: who adds one to the shop adds a line here."""
