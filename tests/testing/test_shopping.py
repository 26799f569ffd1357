from __future__ import annotations

from typing import Any

import pytest

from .conftest import Platform, expect_fault

PRICES = "/price/acme/match-prices-by-context"


async def _cart_path(platform: Platform, token: str, **fields: str) -> str:
    return f"/cart/acme/carts/{(await platform.cart(token, **fields)).json()['cartId']}"


async def test_second_cart_is_a_conflict(platform: Platform) -> None:
    """A second cart of a session and site is a conflict."""
    token = platform.emporix.new_session().token
    assert (await platform.cart(token)).status_code == 201
    conflict = await platform.cart(token, siteCode="main", currency="USD")
    assert (conflict.status_code, conflict.json()["status"]) == (409, "Conflict")
    assert (await platform.cart(token, siteCode="us")).status_code == 201
    assert (await platform.cart(platform.emporix.new_session().token)).status_code == 201


async def test_cart_is_noted(platform: Platform) -> None:
    """A cart is noted in a context that exists."""
    token = platform.emporix.new_session(currency="CHF").token
    cart_id = (await platform.cart(token)).json()["cartId"]
    context = await platform.context(token)
    assert (context["cartId"], context["currency"], context["metadata"]["version"]) == (cart_id, "CHF", 2)


@pytest.mark.parametrize("currency", ["eur", "EURO", "", None, 978])
async def test_a_cart_needs_a_currency(currency: Any, platform: Platform) -> None:
    """A cart needs a currency."""
    token = platform.emporix.new_session(exists=False).token
    answer = await platform.cart(token, currency=currency)
    assert (answer.status_code, answer.json()["status"]) == (400, "Bad Request")


async def test_a_cart_is_found_or_created(platform: Platform) -> None:
    """A cart is found or created."""
    token = platform.emporix.new_session(exists=False).token
    missing = await platform.call("GET", "/cart/acme/carts", token, params={"siteCode": "us"})
    assert (missing.status_code, missing.json()["status"]) == (404, "Not Found")
    query = {"siteCode": "us", "create": "true"}
    created = (await platform.call("GET", "/cart/acme/carts", token, params=query)).json()
    assert (created["siteCode"], created["currency"], created["items"]) == ("us", "USD", [])
    assert (await platform.call("GET", "/cart/acme/carts", token, params=query)).json() == created
    assert (await platform.context(token))["cartId"] == created["id"]


async def test_items_are_kept_in_the_cart(platform: Platform) -> None:
    """Items are kept in the cart."""
    token = platform.emporix.new_session().token
    cart = await _cart_path(platform, token)
    for number, code in enumerate(("kettle", "cup")):
        answer = await platform.call("POST", f"{cart}/items", token, json={"itemYrn": code, "quantity": 2})
        assert (answer.status_code, answer.json()["itemId"]) == (201, str(number))
    items = (await platform.call("GET", cart, token)).json()["items"]
    assert [(item["id"], item["itemYrn"], item["quantity"]) for item in items] == [("0", "kettle", 2), ("1", "cup", 2)]


async def test_cart_changes_alone(platform: Platform) -> None:
    """Changing a cart's site or currency leaves the session alone."""
    session = platform.emporix.new_session()
    cart = await _cart_path(platform, session.token)
    before = platform.emporix.document(session.session_id)
    assert (
        await platform.call("POST", f"{cart}/changeSite", session.token, json={"siteCode": "us"})
    ).status_code == 200
    moved = (await platform.call("GET", cart, session.token)).json()
    assert (moved["siteCode"], moved["currency"]) == ("us", "USD")
    body = {"currency": "CAD"}
    assert (await platform.call("POST", f"{cart}/changeCurrency", session.token, json=body)).status_code == 200
    assert (await platform.call("GET", cart, session.token)).json()["currency"] == "CAD"
    assert platform.emporix.document(session.session_id) == before


async def test_session_changes_alone(platform: Platform) -> None:
    """Changing the session leaves its cart alone."""
    token = platform.emporix.new_session().token
    cart = await _cart_path(platform, token)
    before = (await platform.call("GET", cart, token)).json()
    assert (await platform.patch(token, 2, siteCode="us", currency="USD")).status_code == 204
    assert (await platform.call("GET", cart, token)).json() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("changeSite", {"siteCode": "nowhere"}),
        ("changeSite", {}),
        ("changeCurrency", {"currency": "CAD"}),
        ("changeCurrency", {"currency": ["EUR"]}),
        ("changeCurrency", {}),
    ],
    ids=str,
)
async def test_known_sites_and_currencies(path: str, body: Any, platform: Platform) -> None:
    """A cart knows sites and their currencies only."""
    token = platform.emporix.new_session().token
    cart = await _cart_path(platform, token)
    answer = await platform.call("POST", f"{cart}/{path}", token, json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "Bad Request")
    assert (await platform.call("GET", cart, token)).json()["currency"] == "EUR"


CART_CALLS = [
    ("GET", "", None),
    ("POST", "/items", {}),
    ("POST", "/changeSite", {"siteCode": "us"}),
    ("POST", "/changeCurrency", {"currency": "USD"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CART_CALLS)
async def test_a_cart_is_its_sessions_own(method: str, path: str, body: Any, platform: Platform) -> None:
    """A cart is its session's own."""
    cart = await _cart_path(platform, platform.emporix.new_session().token)
    stranger = platform.emporix.new_session().token
    for target in (cart, "/cart/acme/carts/unknown"):
        answer = await platform.call(method, target + path, stranger, json=body)
        assert (answer.status_code, answer.json()["message"]) == (404, "Cart not found")
    expect_fault(await platform.call(method, cart + path, json=body), 401, "oauth.v2.InvalidAccessToken")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/cart/acme/carts"),
        ("GET", "/cart/acme/carts"),
        ("GET", "/site/acme/sites"),
        ("GET", "/site/acme/sites/main"),
        ("GET", "/product/acme/products"),
        ("POST", PRICES),
    ],
)
async def test_a_shop_needs_a_token(method: str, path: str, platform: Platform) -> None:
    """A shop needs a token."""
    expect_fault(await platform.call(method, path), 401, "oauth.v2.InvalidAccessToken")


# Prices


async def test_prices_follow_the_context(platform: Platform) -> None:
    """Prices follow the context."""
    session = platform.emporix.new_session()
    assert [(p["currency"], p["effectiveValue"]) for p in await platform.prices(session.token, "kettle")] == [
        ("EUR", 49.0)
    ]
    await platform.patch(session.token, 1, currency="USD", siteCode="us", targetLocation="US")
    (price,) = await platform.prices(session.token, "kettle")
    assert (price["currency"], price["effectiveValue"], price["totalValue"]) == ("USD", 56.84, 113.68)
    assert (price["site"], price["location"]) == ({"code": "us"}, {"countryCode": "US"})
    assert price["itemId"] == {"itemType": "PRODUCT", "id": "kettle"}


@pytest.mark.parametrize("field", ["currency", "targetLocation"])
async def test_no_currency_no_prices(field: str, platform: Platform) -> None:
    """Without currency or location there are no prices, and no error."""
    session = platform.emporix.new_session()
    absent: dict[str, Any] = {field: None}
    platform.emporix.edit(session.session_id, **absent)
    assert await platform.prices(session.token, "kettle", "cup") == []


async def test_seeds_of_the_login_decide(platform: Platform) -> None:
    """Without a context, the seeds of the login decide."""
    plain = (await platform.anonymous())["access_token"]
    assert await platform.prices(plain, "kettle") == []
    seeded = (await platform.anonymous(currency="CHF", targetLocation="DE"))["access_token"]
    assert [price["currency"] for price in await platform.prices(seeded, "kettle")] == ["CHF"]


async def test_currency_without_a_rate(platform: Platform) -> None:
    """A currency without a rate has no prices."""
    assert await platform.prices(platform.emporix.new_session(currency="JPY").token, "kettle") == []


async def test_products_without_a_price(platform: Platform) -> None:
    """Products without a price are left out."""
    prices = await platform.prices(platform.emporix.new_session().token, "nothing", "cup")
    assert [price["itemId"]["id"] for price in prices] == ["cup"]


@pytest.mark.parametrize("items", [None, "cup", {}, [1, None], [{}], [{"itemId": "cup"}]], ids=str)
async def test_not_a_list_of_items(items: Any, platform: Platform) -> None:
    """What is no list of items has no prices."""
    answer = await platform.call("POST", PRICES, platform.emporix.new_session().token, json={"items": items})
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("quantity", [None, 3, {}, {"quantity": "3"}], ids=str)
async def test_default_quantity(quantity: Any, platform: Platform) -> None:
    """Without a quantity, one is priced."""
    item = {"itemId": {"id": "cup"}, "quantity": quantity}
    token = platform.emporix.new_session().token
    (price,) = (await platform.call("POST", PRICES, token, json={"items": [item]})).json()
    assert (price["totalValue"], price["quantity"]["quantity"]) == (18.5, 1)


# Reference data


async def test_sites_say_what_they_sell_in(platform: Platform) -> None:
    """Sites say what they sell in."""
    token = platform.emporix.new_session().token
    sites = (await platform.call("GET", "/site/acme/sites", token)).json()
    assert [(site["code"], site["default"], site["currency"]) for site in sites] == [
        ("main", True, "EUR"),
        ("us", False, "USD"),
    ]
    assert (await platform.call("GET", "/site/acme/sites/us", token)).json() == sites[1]
    missing = await platform.call("GET", "/site/acme/sites/nowhere", token)
    assert (missing.status_code, missing.json()["status"]) == (404, "Not Found")


async def test_products(platform: Platform) -> None:
    """Products have names in four languages, and no price."""
    products = (await platform.call("GET", "/product/acme/products", await platform.service_token())).json()
    assert len(products) == 8
    assert all({"en", "de", "fr", "es"} == set(product["name"]) and "price" not in product for product in products)
