"""The example storefront: what a shopper sees, and what Emporix gets to hear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from session_ctx_middleware.testing import FakeEmporix, Fault

from .conftest import SAME_ORIGIN, Browser


def counted(emporix: FakeEmporix) -> list[str]:
    return sorted(call.operation for call in emporix.calls)


def session_of(emporix: FakeEmporix) -> str:
    (session_id,) = {call.session_id for call in emporix.calls if call.session_id}
    return session_id


async def test_prices_in_the_currency(browser: Browser) -> None:
    """The product list shows prices in the shop's currency."""
    page = await browser.get()

    assert page.prices[:2] == ["€49.00", "€89.00"]
    assert len(page.prices) == 8
    assert "Enamel kettle" in page.text
    assert page.chosen("currency") == "EUR"
    assert page.source("Currency") == "the shop's default"
    assert page.notices == ""


async def test_footer_counts_calls(browser: Browser, emporix: FakeEmporix) -> None:
    """The footer counts what Emporix counted."""
    first = await browser.get()
    assert first.calls == counted(emporix)
    assert first.calls == ["anonymous.login", "context.get", "price.match", "product.list"]

    emporix.clear_calls()
    assert (await browser.get()).calls == counted(emporix) == ["price.match"]
    emporix.clear_calls()
    page = await browser.add("cup")
    assert sorted(page.calls + page.earlier) == counted(emporix)
    emporix.clear_calls()
    page = await browser.switch(currency="CHF", back="/cart")
    assert sorted(page.calls + page.earlier) == counted(emporix)
    assert "context.patch" in page.earlier
    emporix.clear_calls()
    page = await browser.get("/cart")
    assert page.calls == counted(emporix)
    assert page.earlier == []


async def test_choice_before_the_cart(browser: Browser, emporix: FakeEmporix) -> None:
    """A choice made before the cart is there after it."""
    await browser.get()

    page = await browser.switch(currency="USD", language="de", target_location="AT", back="/")

    assert (page.chosen("currency"), page.chosen("language")) == ("USD", "de")
    assert page.source("Currency") == "your choice, kept until Emporix can take it"
    assert "Emaille-Wasserkessel" in page.text
    # Emporix still knows the session's first currency only, and a price is never relabelled.
    assert page.prices[0] == "49,00\xa0€"
    assert "will be sent to Emporix with the first thing in your cart: currency USD" in page.notices
    assert "quotes prices in EUR" in page.notices
    assert emporix.count("context.patch") == 0

    cart = await browser.add("kettle")

    document = emporix.document(session_of(emporix))
    assert document is not None
    assert (document["currency"], document["language"], document["targetLocation"]) == ("USD", "de", "AT")
    assert emporix.count("context.patch") == 1
    assert "56,84\xa0$" in cart.text
    assert cart.chosen("currency") == "USD"
    assert cart.source("Currency") == "your session at Emporix"
    assert (await browser.get()).prices[0] == "56,84\xa0$"
    assert emporix.count("context.patch") == 1


async def test_cart_follows_a_switch(browser: Browser, emporix: FakeEmporix) -> None:
    """The cart follows a switch, and a site completes it."""
    await browser.add("kettle")

    page = await browser.switch(site_code="us", back="/cart")

    assert [page.chosen(field) for field in ("site_code", "currency", "language", "target_location")] == [
        "us",
        "USD",
        "en",
        "US",
    ]
    assert (emporix.count("cart.change_site"), emporix.count("cart.change_currency")) == (1, 0)
    assert "$56.84" in page.text
    assert page.notices == ""


async def test_items_add_up_in_one_cart(browser: Browser, emporix: FakeEmporix) -> None:
    """Items add up in one cart."""
    await browser.add("kettle")
    await browser.add("kettle")
    page = await browser.add("cup")

    assert emporix.count("cart.create") == 1
    assert "€116.50" in page.text


async def test_impossible_value(browser: Browser) -> None:
    """A value that the shop does not offer changes nothing."""
    response = await browser.http.post("/switch", data={"currency": "dollar"}, headers=SAME_ORIGIN)

    assert response.status_code == 422
    assert (await browser.get()).chosen("currency") == "EUR"


async def test_cart_that_cannot_follow(browser: Browser, emporix: FakeEmporix) -> None:
    """The page says so, and shopper and cart stay together."""
    await browser.add("kettle")
    emporix.fault("cart.change_currency", Fault(status=400), times=None)
    page = await browser.switch(currency="USD", back="/cart")

    assert "Your cart could not follow" in page.notices
    assert page.chosen("currency") == "EUR"


async def test_cart_that_was_ordered_elsewhere(browser: Browser, emporix: FakeEmporix) -> None:
    """The next thing goes into a new one."""
    await browser.add("kettle")
    (cart_id,) = emporix._world.carts
    emporix.end_cart(cart_id)
    page = await browser.add("cup")

    assert "Stoneware cup" in page.text
    assert "Enamel kettle" not in page.text


async def test_visitors_are_apart(new_browser: Callable[[], Browser], emporix: FakeEmporix) -> None:
    """Two visitors do not see each other's choices."""
    jane, joe = new_browser(), new_browser()
    await asyncio.gather(jane.add("kettle"), joe.add("cup"))

    pages = await asyncio.gather(jane.switch(currency="USD", back="/"), joe.switch(currency="CHF", back="/cart"))

    assert [page.chosen("currency") for page in pages] == ["USD", "CHF"]
    assert "Stoneware cup" not in (await jane.get("/cart")).text
    assert [(await each.get()).prices[0] for each in (jane, joe)] == ["$56.84", "CHF45.57"]
    assert emporix.count("anonymous.login") == 2


async def test_plain_pages_begin_no_session(browser: Browser, emporix: FakeEmporix) -> None:
    """Pages that do not touch the context begin no session."""
    response = await browser.http.get("/health")
    style = await browser.http.get("/static/shop.css")

    assert (response.status_code, style.status_code) == (200, 200)
    assert not browser.http.cookies
    assert emporix.count() == 0


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before"), Fault(body=b"<html>")])
async def test_down_from_the_start(browser: Browser, emporix: FakeEmporix, fault: Fault) -> None:
    """Pages render when Emporix is down from the start."""
    emporix.fault("*", fault, times=None)
    began = time.monotonic()

    for page in [await browser.get(), await browser.get("/cart"), await browser.switch(currency="USD", back="/")]:
        assert "Emporix cannot be reached" in page.notices
    page = await browser.add("kettle")

    assert "could not be put into your cart" in page.notices
    assert time.monotonic() - began < 7
    assert emporix.count("context.patch") == 0


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before")])
async def test_choice_while_down(browser: Browser, emporix: FakeEmporix, fault: Fault) -> None:
    """A choice made while Emporix is down is kept."""
    await browser.add("kettle")
    emporix.fault("*", fault, times=None)

    page = await browser.switch(language="fr", back="/")

    assert page.chosen("language") == "fr"
    assert "will be sent to Emporix as soon as it answers again: language fr" in page.notices
    for path in ("/", "/cart"):
        assert (await browser.get(path)).chosen("language") == "fr"
    assert page.prices == []
    assert "price on request" in page.text


@pytest.mark.parametrize("operation", ["context", "price", "cart"])
async def test_refused_token(browser: Browser, emporix: FakeEmporix, operation: str) -> None:
    """A token that Emporix refuses is refreshed, and neither the cart nor a choice is lost."""
    await browser.add("kettle")
    emporix.fault(operation, Fault(status=401), times=1)
    pages = [await browser.switch(currency="USD", back="/cart"), await browser.get("/cart"), await browser.get()]

    assert pages[-1].prices[0] == "$56.84"
    assert "Enamel kettle" in pages[1].text
    assert pages[-1].notices == ""
    assert emporix.count("anonymous.login") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://shop.test"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/switch", "/cart/items"])
async def test_foreign_forms(browser: Browser, emporix: FakeEmporix, path: str, headers: dict[str, str]) -> None:
    """Forms from other sites are refused."""
    response = await browser.http.post(path, data={"currency": "USD", "product": "kettle"}, headers=headers)

    assert response.status_code == 403
    assert emporix.count() == 0


@pytest.mark.parametrize("headers", [SAME_ORIGIN, {"Origin": "https://shop.test"}, {}])
async def test_own_forms_are_accepted(browser: Browser, headers: dict[str, str]) -> None:
    """Own forms are accepted."""
    response = await browser.http.post("/switch", data={"currency": "USD"}, headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test", "/\\evil.test", "/\t/evil.test", "javascript:0"])
async def test_redirects_stay_in_the_shop(browser: Browser, back: str) -> None:
    """Redirects stay in the shop."""
    response = await browser.http.post(
        "/switch", data={"currency": "USD", "back": back}, headers=SAME_ORIGIN, follow_redirects=False
    )

    assert (response.status_code, response.headers["location"]) == (303, "/")


async def test_private_and_without_scripts(browser: Browser) -> None:
    """Pages are private and run no scripts."""
    page = await browser.get()

    assert "private" in page.response.headers["cache-control"]
    assert "Cookie" in page.response.headers["vary"]
    assert page.response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    cookie = page.response.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "secure"))
    assert "<script" not in page.text
    assert "set-cookie" not in (await browser.get()).response.headers
    assert "private" in (await browser.get()).response.headers["cache-control"]


async def test_what_emporix_says_is_escaped(browser: Browser, emporix: FakeEmporix) -> None:
    """What Emporix says is escaped."""
    evil = b'[{"id": "kettle", "name": "<b onclick=x>Kettle", "description": {"de": "<i>"}}]'
    emporix.fault("product", Fault(body=evil), times=None)

    response = await browser.http.get("/")

    assert "&lt;b onclick=x&gt;Kettle" in response.text
    assert "<i>" not in response.text


KIM = {"email": "kim@example.com", "password": "paper-clips"}


async def test_logging_in_and_out(browser: Browser, emporix: FakeEmporix) -> None:
    """A customer keeps cart and choice, acts for a company, and leaves nothing but the choice behind."""
    await browser.add("kettle")
    await browser.switch(currency="CHF", back="/")
    wrong = await browser.submit("/login", email="kim@example.com", password="something else")
    assert "belong together" in wrong.notices

    home = await browser.submit("/login", **KIM)

    assert "You are logged in" in home.notices
    assert ">Account</a>" in home.text
    # His own site, as he prefers it, has no francs; nor is the choice lost for another site.
    assert (home.chosen("site_code"), home.chosen("currency")) == ("us", "USD")
    assert "Enamel kettle" in (await browser.get("/cart")).text
    account = await browser.submit("/company", company="le-north")
    assert '<option value="le-north" selected>' in account.text
    document = emporix.document(session_of(emporix))
    assert document is not None
    assert document["context"]["legalEntityId"] == "le-north"
    assert "do not act for that" in (await browser.submit("/company", company="le-west")).notices

    home = await browser.submit("/logout")

    assert "You are logged out" in home.notices
    assert ">Log in</a>" in home.text
    assert (home.chosen("site_code"), home.chosen("currency")) == ("us", "USD")
    assert "Enamel kettle" not in (await browser.get("/cart")).text
    assert "Please log in" in (await browser.submit("/company", company="le-north")).notices


async def test_login_in_an_outage(browser: Browser, emporix: FakeEmporix) -> None:
    """While Emporix is away nobody is logged in, and the page says so."""
    await browser.get()
    emporix.fault("customer", Fault(status=503), times=None)

    assert "nothing has changed" in (await browser.submit("/login", **KIM)).notices
