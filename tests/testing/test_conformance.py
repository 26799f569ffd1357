from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from session_ctx_middleware.testing.routes import _ROUTES

from .conftest import JANE, ME, Platform
from .orders import IN_FRANCS, ORDER
from .shapes import SUCCESS, misfits

Success = Callable[[Platform], Awaitable[Any]]


async def _with_cart(platform: Platform) -> tuple[str, str]:
    token = platform.emporix.new_session().token
    cart = f"/cart/acme/carts/{(await platform.cart(token)).json()['cartId']}"
    await platform.call("POST", f"{cart}/items", token, json={"itemYrn": "kettle", "quantity": 2})
    return token, cart


async def _own(platform: Platform, method: str, path: str = "", **options: Any) -> Any:
    session = platform.emporix.new_session(attributes={"gift": "yes"}, cart_id="cart")
    return await platform.call(method, ME + path, session.token, **options)


async def _managed(platform: Platform, method: str, path: str = "", **options: Any) -> Any:
    session = platform.emporix.new_session(attributes={"gift": "yes"})
    target = f"/session-context/acme/context/{session.session_id}{path}"
    return await platform.call(method, target, await platform.service_token(), **options)


async def _on_cart(platform: Platform, method: str, path: str = "", **options: Any) -> Any:
    token, cart = await _with_cart(platform)
    return await platform.call(method, cart + path, token, **options)


async def _customer(platform: Platform, path: str, parameter: str = "", field: str = "access_token") -> Any:
    jane = (await platform.login(JANE)).json()
    query = {parameter: jane[field]} if parameter else {}
    return await platform.call("GET", f"/customer/acme/{path}", jane["access_token"], params=query)


async def _by_code(platform: Platform, method: str, path: str, parameter: str = "") -> Any:
    token, code = platform.emporix.new_session().token, platform.emporix.login_code(JANE["email"])
    query = {parameter: code, "redirect_uri": "https://shop.example/back"} if parameter else {}
    return await platform.call(method, f"/customer/acme/{path}" + ("" if parameter else code), token, params=query)


async def _assisted(platform: Platform) -> Any:
    body = {"customerNumber": "C0001"}
    return await platform.call(
        "POST", "/customer/acme/assisted-buying-login", await platform.service_token(), json=body
    )


async def _merge(platform: Platform) -> Any:
    session = platform.emporix.new_session()
    guests = (await platform.cart(session.token)).json()["cartId"]
    jane = (await platform.login(JANE, session.token)).json()["access_token"]
    own = (await platform.cart(jane)).json()["cartId"]
    return await platform.call("POST", f"/cart/acme/carts/{own}/merge", jane, json={"carts": [guests]})


async def _anonymous_login(platform: Platform) -> Any:
    query = {"tenant": "acme", "client_id": "storefront"}
    return await platform.call("GET", "/customerlogin/auth/anonymous/login", params=query)


async def _anonymous_refresh(platform: Platform) -> Any:
    return await platform.refresh((await platform.anonymous())["refresh_token"])


async def _find_cart(platform: Platform) -> Any:
    token, _ = await _with_cart(platform)
    return await platform.call("GET", "/cart/acme/carts", token, params={"siteCode": "main"})


async def _reference(platform: Platform, path: str) -> Any:
    return await platform.call("GET", path, platform.emporix.new_session().token)


async def _prices(platform: Platform, path: str, **criteria: Any) -> Any:
    item = {"itemId": {"itemType": "PRODUCT", "id": "cup"}, "quantity": {"quantity": 3, "unitCode": "piece"}}
    token = platform.emporix.new_session().token
    return await platform.call("POST", f"/price/acme/{path}", token, json={"items": [item], **criteria})


async def _order(platform: Platform) -> Any:
    token, cart = await _with_cart(platform)
    order = {**ORDER, "cartId": cart.rpartition("/")[2]}
    return await platform.call("POST", "/checkout/acme/checkouts/order", token, json=order)


VERSION = {"metadata": {"version": 1}}
ATTRIBUTE = {"key": "wrap", "value": {"paper": "red"}}
CALLS: dict[str, Success] = {
    "context.get": lambda platform: _own(platform, "GET"),
    "context.patch": lambda platform: _own(platform, "PATCH", json=VERSION),
    "context.attribute_add": lambda platform: _own(platform, "POST", "/attributes", json=ATTRIBUTE),
    "context.attribute_remove": lambda platform: _own(platform, "DELETE", "/attributes/gift"),
    "managed.get": lambda platform: _managed(platform, "GET"),
    "managed.put": lambda platform: _managed(platform, "PUT", json=VERSION),
    "managed.attribute_add": lambda platform: _managed(platform, "POST", "/attributes", json=ATTRIBUTE),
    "managed.attribute_remove": lambda platform: _managed(platform, "DELETE", "/attributes/gift"),
    "anonymous.login": _anonymous_login,
    "anonymous.refresh": _anonymous_refresh,
    "customer.login": lambda platform: platform.login(JANE),
    "customer.refresh": lambda platform: _customer(platform, "refreshauthtoken", "refreshToken", "refresh_token"),
    "customer.validate": lambda platform: _customer(platform, "validateauthtoken"),
    "customer.profile": lambda platform: _customer(platform, "me"),
    "customer.logout": lambda platform: _customer(platform, "logout", "accessToken"),
    "customer.exchange": lambda platform: _by_code(platform, "POST", "exchangeauthtoken", "subjectAccessToken"),
    "customer.social_login": lambda platform: _by_code(platform, "POST", "socialLogin", "code"),
    "customer.opt_in": lambda platform: _by_code(platform, "GET", "signup/optin/"),
    "customer.assisted_login": _assisted,
    "oauth.token": lambda platform: platform.service(),
    "cart.create": lambda platform: platform.cart(platform.emporix.new_session().token),
    "cart.find": _find_cart,
    "cart.get": lambda platform: _on_cart(platform, "GET"),
    "cart.delete": lambda platform: _on_cart(platform, "DELETE"),
    "cart.add_item": lambda platform: _on_cart(platform, "POST", "/items", json={"itemYrn": "cup"}),
    "cart.update_item": lambda platform: _on_cart(platform, "PUT", "/items/0", json={"quantity": 3}),
    "cart.remove_item": lambda platform: _on_cart(platform, "DELETE", "/items/0"),
    "cart.change_site": lambda platform: _on_cart(platform, "POST", "/changeSite", json={"siteCode": "us"}),
    "cart.change_currency": lambda platform: _on_cart(platform, "POST", "/changeCurrency", json={"currency": "USD"}),
    "cart.refresh": lambda platform: _on_cart(platform, "PUT", "/refresh"),
    "cart.validate": lambda platform: _on_cart(platform, "GET", "/validate"),
    "cart.merge": _merge,
    "country.list": lambda platform: _reference(platform, "/country/acme/countries"),
    "currency.list": lambda platform: _reference(platform, "/currency/acme/currencies"),
    "site.list": lambda platform: _reference(platform, "/site/acme/sites"),
    "site.get": lambda platform: _reference(platform, "/site/acme/sites/us"),
    "product.list": lambda platform: _reference(platform, "/product/acme/products"),
    "product.get": lambda platform: _reference(platform, "/product/acme/products/cup"),
    "price.match": lambda platform: _prices(platform, "match-prices-by-context"),
    "price.match_for": lambda platform: _prices(platform, "match-prices", **IN_FRANCS),
    "checkout.order": _order,
}


def test_operations_are_complete() -> None:
    """Every operation has a shape and a call."""
    operations = {route.operation for route in _ROUTES}
    assert operations == set(SUCCESS) == set(CALLS)


@pytest.mark.parametrize("operation", SUCCESS)
async def test_success_has_its_shape(operation: str, platform: Platform) -> None:
    """A success has the status and the shape of Emporix."""
    answer = await CALLS[operation](platform)
    status, shape = SUCCESS[operation]
    assert answer.status_code == status
    assert platform.emporix.calls[-1].operation == operation
    if shape is None:
        assert answer.content == b""
        return
    assert answer.headers["content-type"] == "application/json"
    assert misfits(shape, answer.json()) == []
    if isinstance(shape, list):
        assert answer.json()


def test_misfits_are_found() -> None:
    """Misfits are found."""
    shape = {"a": str, "b?": [int], "c": {"d": (int, float)}}
    assert misfits(shape, {"a": "x", "b": [1], "c": {"d": 1.5}}) == []
    assert misfits(shape, {"a": 1, "b": [True], "c": {}}) == [
        "answer.a is a int",
        "answer.b[0] is a bool",
        "answer.c.d is missing",
    ]
    assert misfits(shape, []) == ["answer is no object"]
    assert misfits({"b?": [int]}, {"b": 1}) == ["answer.b is no array"]


@pytest.mark.parametrize(
    ("operation", "location"), [("cart.create", "/cart/acme/carts/"), ("cart.add_item", "/items/")]
)
async def test_what_was_created_is_located(operation: str, location: str, platform: Platform) -> None:
    """What was created is located."""
    answer = await CALLS[operation](platform)
    assert location in answer.headers["location"]
    assert (operation == "cart.create") == ("version" in answer.headers)
