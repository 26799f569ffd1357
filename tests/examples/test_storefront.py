"""The example storefront: what a shopper sees, and what Emporix gets to hear."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx2
import pytest
from starlette.applications import Starlette

from examples.storefront.app import create_app
from examples.storefront.settings import Settings
from session_ctx_middleware import CachePolicy
from session_ctx_middleware.testing import FakeEmporix, Fault

from .conftest import SAME_ORIGIN, Browser, Page, warm


def counted(emporix: FakeEmporix) -> list[str]:
    return sorted(call.operation for call in emporix.calls)


def session_of(emporix: FakeEmporix) -> str:
    (session_id,) = {call.session_id for call in emporix.calls if call.session_id}
    return session_id


def price(product: str, **said: object) -> dict[str, object]:
    return {"priceId": "p", "itemId": {"id": product}, "currency": "EUR", "effectiveValue": 7, "totalValue": 7, **said}


async def test_prices_in_the_currency(browser: Browser, emporix: FakeEmporix) -> None:
    """The product list shows prices in the shop's currency, and costs a call for what changes."""
    page = await browser.get()

    assert page.prices[:2] == ["€49.00", "€89.00"]
    assert len(page.prices) == 8
    assert "Enamel kettle" in page.text
    assert page.chosen("currency") == "EUR"
    assert page.notices == ""
    assert counted(emporix) == ["anonymous.login", "context.get", "price.match_for", "product.list"]
    emporix.clear_calls()
    await browser.get()
    assert counted(emporix) == ["price.match_for"]


async def test_choice_before_the_cart(browser: Browser, emporix: FakeEmporix) -> None:
    """A choice made before the cart shows at once, in texts and prices, and is there after it."""
    await browser.get()

    page = await browser.switch(currency="USD", language="de", target_location="AT", back="/")

    assert (page.chosen("currency"), page.chosen("language")) == ("USD", "de")
    assert "Emaille-Wasserkessel" in page.text
    assert "In den Warenkorb" in page.text
    assert page.prices[0] == "56,84\xa0$"
    assert page.notices == ""
    assert emporix.count("context.patch") == 0

    cart = await browser.add("kettle")

    document = emporix.document(session_of(emporix))
    assert document is not None
    assert (document["currency"], document["language"], document["targetLocation"]) == ("USD", "de", "AT")
    held = emporix.cart(document["cartId"])
    assert held is not None
    assert (held["currency"], held["items"][0]["price"]["effectiveAmount"]) == ("USD", 56.84)
    assert emporix.count("context.patch") == 1
    assert cart.prices == ["56,84\xa0$"]
    assert "In den Warenkorb gelegt." in cart.notices
    assert (await browser.get()).prices[0] == "56,84\xa0$"
    assert emporix.count("context.patch") == 1


async def test_browsers_say_which_language(browser: Browser) -> None:
    """A new visitor reads what his browser asks for, as far as the site speaks it."""
    page = Page(await browser.http.get("/", headers={"Accept-Language": "es, fr;q=0.8"}))

    assert page.chosen("language") == "fr"
    assert '<html lang="fr" dir="ltr">' in page.text
    assert "Bouilloire émaillée" in page.text


async def test_a_product_has_a_page(browser: Browser) -> None:
    """A product has a page, with its price and a quantity."""
    page = await browser.get("/products/grinder")

    assert '<h1><span lang="en">Hand grinder</span></h1>' in page.text
    assert page.prices == ["€89.00"]
    cart = await browser.add("grinder", "3")
    assert cart.prices == ["€267.00"]
    assert cart.quantity("grinder") == "3"


@pytest.mark.parametrize("name", ["a/b", "/a", "a//b/", "a;b", 'a"b', "a?b#c", "50%25", "a\\b", "😀"])
async def test_any_name_of_a_product(browser: Browser, emporix: FakeEmporix, name: str) -> None:
    """A product can be looked at, bought and taken out again, whatever Emporix calls it."""
    emporix.fault("product", Fault(body=json.dumps([{"id": name}]).encode()), times=None)
    emporix.fault("price", Fault(body=json.dumps([price(name)]).encode()), times=None)

    (link,) = re.findall(r'href="(/products/[^"]*)"', (await browser.get()).response.text)
    assert f'name="product" value="{name}"' in (await browser.get(link)).text
    cart = await browser.add(name)
    assert cart.prices == ["€7.00"]
    (form,) = re.findall(r'action="(/cart/items/[^"]*)"', cart.response.text)
    assert "changed" in (await browser.submit(form, quantity="2")).notices
    assert "nothing in your cart" in (await browser.submit(form, remove="1")).text


@pytest.mark.parametrize("path", ["/nowhere", "/products/spoon", "/products/%F0%9F%8D%B5"])
async def test_not_found(browser: Browser, path: str) -> None:
    """What is not there is said in the shop's own words, with the way back."""
    await browser.switch(language="fr", back="/")
    page = await browser.get(path)

    assert page.response.status_code == 404
    assert "Cette page n'existe pas" in page.text
    assert "Tous les produits" in page.text


async def test_quantities(browser: Browser, emporix: FakeEmporix) -> None:
    """Quantities are changed, also of a product that was put into the cart twice, and things are taken out."""
    await browser.add("cup")
    await browser.add("kettle")
    cart = await browser.add("cup")
    assert cart.quantity("cup") == "2"

    cart = await browser.submit("/cart/items/cup", quantity="5")

    assert "changed" in cart.notices
    assert (cart.quantity("cup"), cart.quantity("kettle")) == ("5", "1")
    assert cart.prices == ["€92.50", "€49.00"]
    assert "€141.50" in cart.text
    cart = await browser.submit("/cart/items/cup", quantity="5", remove="1")
    assert "Taken out" in cart.notices
    assert "Stoneware cup" not in cart.text
    cart = await browser.submit("/cart/items/kettle", quantity="0")
    assert "nothing in your cart" in cart.text
    assert emporix.count("cart.remove_item") == 3


@pytest.mark.parametrize("quantity", ["", "-1", "1.5", "100", "0001234", "9" * 30, "0" * 5000, "²", "many"])
async def test_quantities_that_are_none(browser: Browser, quantity: str) -> None:
    """What is no quantity changes nothing."""
    await browser.add("cup", "2")

    cart = await browser.submit("/cart/items/cup", quantity=quantity)

    assert cart.quantity("cup") == "2"
    assert (await browser.submit("/cart/items/spoon", quantity="1")).quantity("cup") == "2"


async def test_items_that_cannot_be_changed(browser: Browser, emporix: FakeEmporix) -> None:
    """Where Emporix does not change the cart, the page says so."""
    await browser.add("cup")
    emporix.fault("cart.update_item", Fault(status=503), times=None)

    cart = await browser.submit("/cart/items/cup", quantity="2")

    assert "could not be changed" in cart.notices
    assert cart.quantity("cup") == "1"


async def test_no_price_in_a_currency(browser: Browser, emporix: FakeEmporix) -> None:
    """What has no price in a currency is not sold in it, and the cart names it."""
    emporix.unprice("cup", "CHF")
    await browser.add("cup")
    await browser.add("kettle")

    cart = await browser.switch(currency="CHF", back="/cart")

    assert "No price in CHF" in cart.text
    assert cart.prices == ["CHF45.57"]
    assert "no price for that" in (await browser.add("cup")).notices


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


@pytest.mark.parametrize("currency", ["dollar", "CAD"])
async def test_impossible_value(browser: Browser, emporix: FakeEmporix, currency: str) -> None:
    """A value that the site does not offer changes nothing, and the page says so."""
    await browser.get()
    page = await browser.switch(currency=currency, back="/")

    assert "not offered here" in page.notices
    assert page.chosen("currency") == "EUR"
    assert emporix.count("context.patch") == 0


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
        assert "out of order" in page.notices
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
    assert "Votre choix est enregistré." in page.notices
    for path in ("/", "/cart"):
        assert (await browser.get(path)).chosen("language") == "fr"
    assert page.prices == []
    assert "Prix sur demande" in page.text
    assert "Rien n'est perdu" in (await browser.get("/cart")).text


@pytest.fixture
def forgetful_app(emporix: FakeEmporix) -> Starlette:
    """A storefront that asks for a context anew after a moment."""
    return create_app(Settings(), emporix.client(httpx2), cache=CachePolicy(ttl=0.05))


async def test_late_is_no_outage(forgetful_app: Starlette, emporix: FakeEmporix) -> None:
    """Who comes back when the context is a little old finds prices and cart: it is renewed meanwhile."""
    async with forgetful_app.router.lifespan_context(forgetful_app):
        await warm(forgetful_app)
        browser = Browser(httpx2.ASGITransport(forgetful_app))
        await browser.add("kettle")
        await asyncio.sleep(0.1)

        page = await browser.get("/cart")

        assert page.notices == ""
        assert page.prices == ["€49.00"]
        emporix.fault("*", Fault(status=503), times=None)
        await asyncio.sleep(0.1)
        await browser.get("/cart")  # finds out
        assert "out of order" in (await browser.get("/cart")).notices
        await browser.http.aclose()


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
@pytest.mark.parametrize("path", ["/switch", "/cart/items", "/cart/items/cup", "/checkout"])
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


NONSENSE = [b"[" * 200_000, b'["\\ud800"]', b"[NaN]", b"[1e999]", b"null", b"[null]", b'"x"', b'{"a": 1}', b"{"]


@pytest.mark.parametrize("operation", ["product", "price", "cart.get"])
@pytest.mark.parametrize("body", NONSENSE, ids=lambda body: repr(body[:9]))
async def test_answers_without_sense(browser: Browser, emporix: FakeEmporix, operation: str, body: bytes) -> None:
    """What Emporix says without sense is an outage: pages say so, and none breaks."""
    if operation != "product":  # the shop remembers its products
        await browser.add("kettle")
    emporix.fault(operation, Fault(body=body), times=None)

    for path in ("/", "/cart", "/checkout", "/products/kettle"):
        await browser.get(path)
    await browser.submit("/cart/items", product="kettle")
    await browser.submit("/cart/items/kettle", quantity="3")


@pytest.mark.parametrize(
    "odd",
    [
        price("grinder", currency=None),
        price("grinder", effectiveValue=10**400),
        price("grinder", totalValue=None),
        price("grinder", itemId=None),
        None,
    ],
    ids=lambda odd: str(odd)[-40:],
)
async def test_one_odd_price(browser: Browser, emporix: FakeEmporix, odd: object) -> None:
    """A price without sense costs itself: the others are shown."""
    emporix.fault("price", Fault(body=json.dumps([odd, price("kettle")]).encode()), times=None)

    page = await browser.get()

    assert page.prices == ["€7.00"]
    assert page.notices == ""


@pytest.mark.parametrize("odd", [{"name": "Nameless"}, {"id": None}, {"id": ""}, {"id": "a\x00"}, 1])
async def test_one_odd_product(browser: Browser, emporix: FakeEmporix, odd: object) -> None:
    """A product without sense is not sold: the others are."""
    products = [odd, {"id": "kettle", "name": {"en": 5}, "description": [1]}]
    emporix.fault("product", Fault(body=json.dumps(products).encode()), times=None)

    page = await browser.get()

    assert page.prices == ["€49.00"]
    assert page.text.count("/products/") == 1


@pytest.mark.parametrize("cart", [{"currency": None}, {"items": [{"id": "i", "quantity": 10**400}]}, {"id": 1}])
async def test_an_odd_cart(browser: Browser, emporix: FakeEmporix, cart: dict[str, object]) -> None:
    """A cart without sense is not shown in part: what it hides would be ordered."""
    await browser.add("kettle")
    emporix.fault("cart.get", Fault(body={"id": "c", "currency": "EUR", "items": [], **cart}), times=None)

    assert "Nothing in it is lost" in (await browser.get("/cart")).text


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
    """While Emporix is away, or refuses whatever it is asked, nobody is logged in, and the page says so."""
    await browser.get()
    emporix.fault("customer", Fault(status=503), times=None)
    assert "nothing has changed" in (await browser.submit("/login", **KIM)).notices

    emporix.clear_faults()
    emporix.fault("*", Fault(status=401), times=None)

    assert "nothing has changed" in (await browser.submit("/login", **KIM)).notices


BUYER = {
    "email": "ann@example.com",
    "first_name": "Ann",
    "last_name": "Lee",
    "street": "Main Street",
    "street_number": "1",
    "zip_code": "10115",
    "city": "Berlin",
}


async def filled_in(browser: Browser, **fields: str) -> dict[str, str]:
    """What the form of the checkout holds that is open now."""
    page = await browser.get("/checkout")
    (shown,) = re.findall(r'name="shown" value="(\w+)"', page.text)
    return {**BUYER, "shown": shown, **fields}


async def test_an_order(browser: Browser, emporix: FakeEmporix) -> None:
    """From the cart to the order; the cart is empty then, and the next thing goes into a new one."""
    await browser.add("kettle", "2")
    await browser.switch(currency="CHF", back="/")
    page = await browser.get("/checkout")
    assert "CHF91.14" in page.text
    assert "deliver to Germany" in page.text

    page = await browser.submit("/checkout", **await filled_in(browser))

    assert "Thank you" in page.text
    number = page.text.partition("has the number ")[2].partition(".")[0]
    order = emporix.order(number)
    assert order is not None
    assert (order["currency"], order["siteCode"], order["customer"]["email"]) == ("CHF", "main", "ann@example.com")
    assert [address["country"] for address in order["addresses"]] == ["DE", "DE"]
    assert "nothing in your cart" in (await browser.get("/cart")).text
    assert "Stoneware cup" in (await browser.add("cup")).text


async def test_an_order_that_is_sent_twice(browser: Browser, emporix: FakeEmporix) -> None:
    """A second click orders nothing more, and leads to the order of the first one."""
    await browser.add("kettle")
    form = await filled_in(browser)

    first, second = await asyncio.gather(
        *(browser.http.post("/checkout", data=form, headers=SAME_ORIGIN) for _ in "12")
    )
    third = await browser.submit("/checkout", **form)

    assert emporix.count("checkout.order") <= 2
    assert len(emporix._world.orders) == 1
    assert third.response.url.path == "/thanks"
    assert "/thanks" in {first.url.path, second.url.path}


async def test_a_cart_that_was_ordered_meanwhile(browser: Browser, emporix: FakeEmporix) -> None:
    """Where somebody else has ordered the cart, the shopper is told that nobody knows."""
    await browser.add("kettle")
    (cart_id,) = emporix._world.carts
    emporix.end_cart(cart_id)

    page = await browser.submit("/checkout", **BUYER)

    assert page.response.url.path == "/cart"
    assert "cannot tell whether" in page.notices


@pytest.mark.parametrize("fault", [Fault(delay=0.3), Fault(delay_after=0.3)])
async def test_an_impatient_click(browser: Browser, emporix: FakeEmporix, fault: Fault) -> None:
    """A click while the order is on its way is never told that nothing was ordered: browsers show its answer alone."""
    await browser.add("kettle")
    form = await filled_in(browser)
    emporix.fault("checkout", fault, times=None)

    first = asyncio.create_task(browser.http.post("/checkout", data=form, headers=SAME_ORIGIN))
    await asyncio.sleep(0.1)
    second = await browser.http.post("/checkout", data=form, headers=SAME_ORIGIN)

    assert "Thank you" in (await first).text
    assert len(emporix._world.orders) == 1
    assert "Thank you" in second.text or "cannot tell whether your order has reached us" in second.text
    assert "could not be ordered" not in second.text


@pytest.mark.parametrize(
    "fault", [Fault(status=400), Fault(status=403), Fault(status=413), Fault(status=409), Fault(status=503)]
)
async def test_an_order_that_nobody_keeps(browser: Browser, emporix: FakeEmporix, fault: Fault) -> None:
    """Whoever has ordered is told the number, also where Emporix does not take it into the session."""
    await browser.add("kettle")
    emporix.fault("context.patch", fault, times=None)

    response = await browser.http.post("/checkout", data=await filled_in(browser), headers=SAME_ORIGIN)

    (number,) = emporix._world.orders
    assert f"Your order has the number {number}." in Page(response).text


async def more(browser: Browser, _: FakeEmporix) -> None:
    await browser.add("tray", "50")


async def dollars(browser: Browser, _: FakeEmporix) -> None:
    await browser.switch(currency="USD", back="/")


async def abroad(browser: Browser, _: FakeEmporix) -> None:
    await browser.switch(target_location="AT", back="/")


async def dearer(_: Browser, emporix: FakeEmporix) -> None:
    emporix.fault("price", Fault(body=json.dumps([price("kettle", totalValue=99)]).encode()), times=None)


async def somebody_else(browser: Browser, _: FakeEmporix) -> None:
    await browser.submit("/logout")
    await browser.submit("/login", email="joe@example.com", password="battery-staple")
    await browser.add("kettle")


@pytest.mark.parametrize("meanwhile", [more, dollars, abroad, dearer, somebody_else])
async def test_an_order_that_has_changed(
    browser: Browser, emporix: FakeEmporix, meanwhile: Callable[[Browser, FakeEmporix], Awaitable[None]]
) -> None:
    """Nothing is ordered that the form has not shown: what another tab has changed is shown first."""
    await browser.add("kettle")
    old = await filled_in(browser)
    await meanwhile(browser, emporix)

    response = await browser.http.post("/checkout", data=old, headers=SAME_ORIGIN)

    assert response.status_code == 422
    assert "has changed meanwhile" in response.text
    assert 'value="Main Street"' in response.text
    assert not emporix._world.orders
    page = await browser.submit("/checkout", **await filled_in(browser))
    assert "Thank you" in page.text


async def test_an_order_without_prices(browser: Browser, emporix: FakeEmporix) -> None:
    """Where prices have gone since the form was shown, nothing is ordered, and nobody says that they have changed."""
    await browser.add("kettle")
    form = await filled_in(browser)
    emporix.fault("price", Fault(status=503), times=None)

    response = await browser.http.post("/checkout", data=form, headers=SAME_ORIGIN)

    assert "cannot do that right now" in response.text
    assert "changed meanwhile" not in response.text
    assert emporix.count("checkout") == 0


async def test_what_is_ordered_in_another_currency(emporix: FakeEmporix, new_browser: Callable[[], Browser]) -> None:
    """A checkout shows prices in the currency of the cart, while that has not followed its shopper yet."""
    emporix._world.quirks = replace(emporix._world.quirks, currency_delay=60.0)
    browser = new_browser()
    await browser.add("kettle")
    await browser.switch(currency="USD", back="/")

    page = await browser.get("/checkout")

    assert "still kept in EUR" in page.notices
    assert page.text.count("€49.00") == 2
    assert "$" not in page.text.partition("<tbody>")[2].partition("</table>")[0]


async def test_an_order_that_lacks_something(browser: Browser, emporix: FakeEmporix) -> None:
    """What was filled in stays, and what is missing is marked."""
    await browser.add("kettle")

    response = await browser.http.post("/checkout", data=await filled_in(browser, city=" "), headers=SAME_ORIGIN)

    assert response.status_code == 422
    assert 'value="Main Street"' in response.text
    assert response.text.count('aria-invalid="true"') == 1
    assert emporix.count("checkout") == 0


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(status=400), "could not be ordered"),
        (Fault(status=500), "cannot tell whether"),
        (Fault(drop="before"), "cannot tell whether"),
        (Fault(body=b"<html>"), "cannot tell whether"),
        (Fault(body={"orderId": None}), "cannot tell whether"),
        (Fault(body={"orderId": "9" * 9000}), "cannot tell whether"),
    ],
)
async def test_an_order_that_fails(browser: Browser, emporix: FakeEmporix, fault: Fault, text: str) -> None:
    """The page says what is known of an order, and keeps what was filled in."""
    await browser.add("kettle")
    emporix.fault("checkout", fault, times=None)

    response = await browser.http.post("/checkout", data=await filled_in(browser), headers=SAME_ORIGIN)

    assert response.status_code == 422
    assert text in response.text
    assert 'value="Main Street"' in response.text


async def test_nothing_to_order(browser: Browser) -> None:
    """Without anything in the cart, or an order, one is back in the cart."""
    assert (await browser.get("/checkout")).response.url.path == "/cart"
    assert (await browser.get("/thanks")).response.url.path == "/cart"


async def test_a_customer_orders(browser: Browser, emporix: FakeEmporix) -> None:
    """A customer orders as the customer, and leaves no order behind for the next one."""
    await browser.submit("/login", email="joe@example.com", password="battery-staple")
    await browser.add("kettle")

    page = await browser.submit("/checkout", **await filled_in(browser))

    (order,) = emporix._world.orders.values()
    assert order["customer"]["id"] == "C0002"
    assert "Thank you" in page.text
    await browser.submit("/logout")
    assert (await browser.get("/thanks")).response.url.path == "/cart"


async def test_tax_as_the_site_says(browser: Browser) -> None:
    """Each site says whether its prices include tax."""
    assert "All prices include tax." in (await browser.get()).text
    assert "Tax is added to all prices." in (await browser.switch(site_code="us", back="/")).text
