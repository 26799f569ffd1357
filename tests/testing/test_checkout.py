"""Quantities, removal, explicit prices and orders at FakeEmporix."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import JANE, Platform, expect_fault
from .orders import IN_FRANCS, ORDER

ORDERS = "/checkout/acme/checkouts/order"
KETTLE = {"itemYrn": "kettle", "quantity": 2, "price": {"priceId": "p", "currency": "EUR"}}


async def _filled(platform: Platform, token: str) -> str:
    cart = f"/cart/acme/carts/{(await platform.cart(token)).json()['cartId']}"
    for item in (KETTLE, {"itemYrn": "cup"}):
        await platform.call("POST", f"{cart}/items", token, json=item)
    return cart


async def _order(platform: Platform, token: str, cart: str, **fields: Any) -> Any:
    order = {**ORDER, "cartId": cart.rpartition("/")[2], **fields}
    return await platform.call("POST", ORDERS, token, json=order)


async def test_a_part_of_an_item_is_changed(platform: Platform) -> None:
    """With ``partial`` the rest of an item stays, without it nothing but what was sent does."""
    token = platform.emporix.new_session().token
    cart = await _filled(platform, token)
    answer = await platform.call("PUT", f"{cart}/items/0", token, json={"quantity": 5}, params={"partial": "true"})
    assert answer.status_code == 204
    first, _ = (await platform.call("GET", cart, token)).json()["items"]
    assert first == {**KETTLE, "id": "0", "quantity": 5, "effectiveQuantity": 5}
    await platform.call("PUT", f"{cart}/items/0", token, json={"quantity": 3, "id": "7"})
    first, _ = (await platform.call("GET", cart, token)).json()["items"]
    assert first == {"id": "0", "quantity": 3, "effectiveQuantity": 3}


async def test_an_item_is_taken_out(platform: Platform) -> None:
    """What is taken out is gone, and its id goes to nothing else."""
    token = platform.emporix.new_session().token
    cart = await _filled(platform, token)
    assert (await platform.call("DELETE", f"{cart}/items/0", token)).status_code == 204
    await platform.call("POST", f"{cart}/items", token, json=KETTLE)
    items = (await platform.call("GET", cart, token)).json()["items"]
    assert [(item["id"], item["itemYrn"]) for item in items] == [("1", "cup"), ("2", "kettle")]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_items_that_are_not_there(method: str, platform: Platform) -> None:
    """An unknown item, and one of somebody else's cart, is not found."""
    token = platform.emporix.new_session().token
    cart = await _filled(platform, token)
    answer = await platform.call(method, f"{cart}/items/9", token, json={"quantity": 1})
    assert (answer.status_code, answer.json()["message"]) == (404, "Cart item not found")
    stranger = platform.emporix.new_session().token
    answer = await platform.call(method, f"{cart}/items/0", stranger, json={"quantity": 1})
    assert (answer.status_code, answer.json()["message"]) == (404, "Cart not found")


@pytest.mark.parametrize("quantity", [0, -1, "2", None])
async def test_a_quantity_is_more_than_nothing(quantity: Any, platform: Platform) -> None:
    """A quantity is more than nothing."""
    token = platform.emporix.new_session().token
    cart = await _filled(platform, token)
    answer = await platform.call("PUT", f"{cart}/items/0", token, json={"quantity": quantity})
    assert answer.status_code == 400
    assert (await platform.call("GET", cart, token)).json()["items"][0]["quantity"] == 2


async def test_prices_for_what_is_asked(platform: Platform) -> None:
    """Explicit prices are those of the call, whatever the session says."""
    item = {"itemId": {"itemType": "PRODUCT", "id": "kettle"}, "quantity": {"quantity": 2}}
    body = {**IN_FRANCS, "items": [item]}
    token = platform.emporix.new_session(currency="USD").token
    (price,) = (await platform.call("POST", "/price/acme/match-prices", token, json=body)).json()
    assert (price["currency"], price["effectiveValue"], price["totalValue"]) == ("CHF", 45.57, 91.14)
    expect_fault(await platform.call("POST", "/price/acme/match-prices", json=body), 401, "oauth.v2.InvalidAccessToken")


@pytest.mark.parametrize("missing", IN_FRANCS)
async def test_explicit_prices_need_all_of_it(missing: str, platform: Platform) -> None:
    """Explicit prices need site, currency and location."""
    token = platform.emporix.new_session().token
    body = {name: value for name, value in IN_FRANCS.items() if name != missing}
    assert (await platform.call("POST", "/price/acme/match-prices", token, json=body)).status_code == 400


async def test_a_product(platform: Platform) -> None:
    """A product has a page of its own, in four languages."""
    token = platform.emporix.new_session().token
    product = (await platform.call("GET", "/product/acme/products/cup", token)).json()
    assert (product["id"], {*product["name"]}) == ("cup", {"en", "de", "fr", "es"})
    assert (await platform.call("GET", "/product/acme/products/spoon", token)).status_code == 404
    expect_fault(await platform.call("GET", "/product/acme/products/cup"), 401, "oauth.v2.InvalidAccessToken")


async def test_an_order_closes_the_cart(platform: Platform) -> None:
    """An order keeps what was ordered; its cart is gone, though the context goes on naming it."""
    session = platform.emporix.new_session()
    cart = await _filled(platform, session.token)
    answer = await _order(platform, session.token, cart)
    order = platform.emporix.order(answer.json()["orderId"])
    assert order is not None
    assert [item["itemYrn"] for item in order["items"]] == ["kettle", "cup"]
    assert (order["siteCode"], order["customer"]["email"]) == ("main", "ann@example.com")
    assert (await platform.call("GET", cart, session.token)).status_code == 404
    assert (await platform.context(session.token))["cartId"] == cart.rpartition("/")[2]
    assert (await _order(platform, session.token, cart)).status_code == 404
    assert platform.emporix.order("EON0") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"currency": "USD"},
        {"currency": None},
        {"paymentMethods": []},
        {"paymentMethods": [{}, {}]},
        {"shipping": None},
        {"addresses": []},
        {"addresses": [{"type": "BILLING"}]},
        {"customer": None},
        {"customer": {"firstName": "Ann", "lastName": " ", "email": "ann@example.com"}},
    ],
    ids=str,
)
async def test_orders_that_lack_something(fields: dict[str, Any], platform: Platform) -> None:
    """What lacks something is refused, and the cart stays."""
    token = platform.emporix.new_session().token
    cart = await _filled(platform, token)
    assert (await _order(platform, token, cart, **fields)).status_code == 400
    assert (await platform.call("GET", cart, token)).status_code == 200


async def test_an_empty_cart_is_no_order(platform: Platform) -> None:
    """An empty cart is no order."""
    token = platform.emporix.new_session().token
    cart = f"/cart/acme/carts/{(await platform.cart(token)).json()['cartId']}"
    assert (await _order(platform, token, cart)).json()["message"] == "Cart is empty"
    assert (await _order(platform, token, "unknown")).status_code == 404
    expect_fault(await platform.call("POST", ORDERS, json=ORDER), 401, "oauth.v2.InvalidAccessToken")


async def test_a_customer_orders_with_a_saas_token(platform: Platform) -> None:
    """A customer's order needs his ``saas-token``."""
    jane = (await platform.login(JANE)).json()
    headers = {"saas-token": jane["saas_token"]}
    order = {**ORDER, "cartId": "unknown"}
    answer = await platform.call("POST", ORDERS, jane["access_token"], json=order)
    assert answer.status_code == 400
    answer = await platform.call("POST", ORDERS, jane["access_token"], json=order, headers=headers)
    assert answer.status_code == 404
