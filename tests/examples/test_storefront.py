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


async def test_the_product_list_shows_prices_in_the_shops_currency(browser: Browser) -> None:
    page = await browser.get()

    assert page.prices[:2] == ["€49.00", "€89.00"]
    assert len(page.prices) == 8
    assert "Enamel kettle" in page.text
    assert page.chosen("currency") == "EUR"
    assert page.source("Currency") == "the shop's default"
    assert page.notices == ""


async def test_the_footer_counts_what_emporix_counted(browser: Browser, emporix: FakeEmporix) -> None:
    first = await browser.get()
    assert first.calls == counted(emporix)
    assert first.calls == ["anonymous.login", "context.get", "price.match", "product.list", "site.list"]

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


async def test_a_choice_made_before_the_cart_is_there_after_it(browser: Browser, emporix: FakeEmporix) -> None:
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


async def test_the_cart_follows_a_switch_and_a_site_completes_it(browser: Browser, emporix: FakeEmporix) -> None:
    await browser.add("kettle")

    page = await browser.switch(site_code="us", currency="EUR", language="de", target_location="DE", back="/cart")

    assert [page.chosen(field) for field in ("site_code", "currency", "language", "target_location")] == [
        "us",
        "USD",
        "en",
        "US",
    ]
    assert emporix.count("cart.change_site") == emporix.count("cart.change_currency") == 1
    assert "$56.84" in page.text
    assert page.notices == ""


async def test_items_add_up_in_one_cart(browser: Browser, emporix: FakeEmporix) -> None:
    await browser.add("kettle")
    await browser.add("kettle")
    page = await browser.add("cup")

    assert emporix.count("cart.create") == 1
    assert "€116.50" in page.text


async def test_a_value_that_cannot_be_one_changes_nothing(browser: Browser, emporix: FakeEmporix) -> None:
    emporix.fault("site", Fault(status=503), times=None)  # the shop does not know what it offers

    page = await browser.switch(currency="dollar", back="/")

    assert "nothing was changed" in page.notices
    assert page.chosen("currency") == "EUR"


async def test_two_visitors_do_not_see_each_others_choices(
    new_browser: Callable[[], Browser], emporix: FakeEmporix
) -> None:
    jane, joe = new_browser(), new_browser()
    await asyncio.gather(jane.add("kettle"), joe.add("cup"))

    pages = await asyncio.gather(jane.switch(currency="USD", back="/"), joe.switch(currency="CHF", back="/cart"))

    assert [page.chosen("currency") for page in pages] == ["USD", "CHF"]
    assert "Stoneware cup" not in (await jane.get("/cart")).text
    assert [(await each.get()).prices[0] for each in (jane, joe)] == ["$56.84", "CHF45.57"]
    assert emporix.count("anonymous.login") == 2


async def test_pages_that_do_not_touch_the_context_begin_no_session(browser: Browser, emporix: FakeEmporix) -> None:
    response = await browser.http.get("/health")
    style = await browser.http.get("/static/shop.css")

    assert (response.status_code, style.status_code) == (200, 200)
    assert not browser.http.cookies
    assert emporix.count() == 0


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before"), Fault(body=b"<html>")])
async def test_pages_render_when_emporix_is_down_from_the_start(
    browser: Browser, emporix: FakeEmporix, fault: Fault
) -> None:
    emporix.fault("*", fault, times=None)
    began = time.monotonic()

    for page in [await browser.get(), await browser.get("/cart"), await browser.switch(currency="USD", back="/")]:
        assert "Emporix cannot be reached" in page.notices
    page = await browser.add("kettle")

    assert "could not be put into your cart" in page.notices
    assert time.monotonic() - began < 3
    assert emporix.count("context.patch") == 0


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before")])
async def test_a_choice_made_while_emporix_is_down_is_kept(
    browser: Browser, emporix: FakeEmporix, fault: Fault
) -> None:
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
async def test_a_token_that_emporix_refuses_begins_a_new_session(
    browser: Browser, emporix: FakeEmporix, operation: str
) -> None:
    await browser.add("kettle")
    emporix.fault(operation, Fault(status=401), times=1)
    pages = [await browser.switch(currency="USD", back="/cart"), await browser.get("/cart"), await browser.get()]

    assert pages[-1].prices[0] == "€49.00"
    assert pages[-1].notices == ""
    assert emporix.count("anonymous.login") == 2


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
async def test_forms_from_other_sites_are_refused(
    browser: Browser, emporix: FakeEmporix, path: str, headers: dict[str, str]
) -> None:
    response = await browser.http.post(path, data={"currency": "USD", "product": "kettle"}, headers=headers)

    assert response.status_code == 403
    assert emporix.count() == 0


@pytest.mark.parametrize("headers", [SAME_ORIGIN, {"Origin": "https://shop.test"}, {}])
async def test_own_forms_are_accepted(browser: Browser, headers: dict[str, str]) -> None:
    response = await browser.http.post("/switch", data={"currency": "USD"}, headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test", "/\\evil.test", "/\t/evil.test", "javascript:0"])
async def test_redirects_stay_in_the_shop(browser: Browser, back: str) -> None:
    response = await browser.http.post(
        "/switch", data={"currency": "USD", "back": back}, headers=SAME_ORIGIN, follow_redirects=False
    )

    assert (response.status_code, response.headers["location"]) == (303, "/")


async def test_pages_are_private_and_run_no_scripts(browser: Browser) -> None:
    page = await browser.get()

    assert "no-store" in page.response.headers["cache-control"]
    assert "Cookie" in page.response.headers["vary"]
    assert page.response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    cookie = page.response.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "secure"))
    assert "<script" not in page.text
    assert "set-cookie" not in (await browser.get()).response.headers
    assert "private" in (await browser.get()).response.headers["cache-control"]


async def test_what_emporix_says_is_escaped(browser: Browser, emporix: FakeEmporix) -> None:
    evil = b'[{"id": "kettle", "name": "<b onclick=x>Kettle", "description": {"de": "<i>"}}]'
    emporix.fault("product", Fault(body=evil), times=None)

    response = await browser.http.get("/")

    assert "&lt;b onclick=x&gt;Kettle" in response.text
    assert "<i>" not in response.text
