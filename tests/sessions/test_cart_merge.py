"""What becomes of a guest's cart when he logs in: it never keeps him from it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from session_ctx_middleware import StorefrontToken, Transition
from session_ctx_middleware.emporix import CartFollows
from session_ctx_middleware.testing import FakeEmporix, Fault

from .customers import JANE, CustomerShop, MakeShop, platform

CUP = "cup"


async def call(emporix: FakeEmporix, token: str, method: str, path: str, body: Any = None) -> Any:
    async with emporix.client(httpx2, base_url="http://emporix.test") as client:
        url = f"/cart/{emporix.tenant}/carts{path}"
        return (await client.request(method, url, json=body, headers={"authorization": f"Bearer {token}"})).json()


async def customers_cart(emporix: FakeEmporix, currency: str = "EUR") -> str:
    """Have Jane put something into a cart, on another day and in another browser."""
    session = emporix.new_session(site_code="main", currency="EUR")
    world = emporix._world
    customer = world.customers[JANE[0]]
    token = world.issue(world.sessions[session.session_id], 3600.0, customer=customer)
    world.log_in(world.sessions[session.session_id], customer)
    created = await call(emporix, token, "POST", "", {"currency": currency, "siteCode": "main"})
    await call(emporix, token, "POST", f"/{created['cartId']}/items", {"itemYrn": "kettle", "quantity": 1})
    return str(created["cartId"])


async def guest(make_shop: MakeShop, emporix: FakeEmporix, **options: Any) -> tuple[CustomerShop, str]:
    """Return a shop whose visitor has a cup in his cart."""
    shop = CustomerShop(make_shop, emporix, carts=CartFollows(), **options)
    await shop.page()
    cart_id = await shop.cart()
    emporix._world.carts[cart_id].add({"itemYrn": CUP, "quantity": 1})
    return shop, cart_id


def state(moved: Transition) -> str:
    assert moved.cart is not None
    return moved.cart.state


@pytest.mark.parametrize("names", [True, False], ids=["the context names it", "it does not"])
async def test_merged(make_shop: MakeShop, names: bool) -> None:
    """What the guest has chosen is in the customer's cart, with what was there."""
    emporix = platform(merge_names_cart=names)
    own = await customers_cart(emporix)
    shop, guests = await guest(make_shop, emporix)
    moved = await shop.login(JANE)

    assert moved.cart is not None
    assert (moved.cart.state, moved.cart.cart_id) == ("merged", own)
    assert "cart_id" in moved.kept
    cart = emporix.cart(own)
    assert cart is not None
    assert sorted(item["itemYrn"] for item in cart["items"]) == ["cup", "kettle"]
    assert emporix.cart(guests) is None
    if names:
        assert (await shop.page())["cart_id"] == own


async def test_kept(make_shop: MakeShop) -> None:
    """A customer who has no cart goes on with the guest's."""
    shop, guests = await guest(make_shop, platform())
    moved = await shop.login(JANE)
    assert moved.cart is not None
    assert (moved.cart.state, moved.cart.cart_id) == ("kept", guests)
    assert (await shop.page())["cart_id"] == guests


async def test_nothing(make_shop: MakeShop) -> None:
    """Who has no cart brings none, and the Cart Service is not asked."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix, carts=CartFollows())
    await shop.page()
    assert state(await shop.login(JANE)) == "nothing"
    assert not [each for each in emporix.calls if each.operation.startswith("cart.")]


async def test_another_currency(make_shop: MakeShop) -> None:
    """A cart in another currency than the shopper sees is moved to it first."""
    emporix = platform()
    own = await customers_cart(emporix, "CHF")
    shop, _ = await guest(make_shop, emporix)
    await shop.switch(currency="EUR")
    assert state(await shop.login(JANE)) == "merged"
    cart = emporix.cart(own)
    assert cart is not None
    assert cart["currency"] == "EUR"


FAULTS = {
    "500": Fault(status=500),
    "400": Fault(status=400),
    "404": Fault(status=404),
    "hangs": Fault(hang=True),
    "breaks": Fault(drop="before"),
    "breaks after": Fault(drop="after"),
    "a page": Fault(body=b"<html>hello</html>"),
}


@pytest.mark.parametrize("operation", ["cart.find", "cart.merge"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_never_blocks(make_shop: MakeShop, fault: str, operation: str) -> None:
    """Whatever is wrong with the Cart Service, the customer is logged in, soon, and is told what is with the cart."""
    emporix = platform()
    await customers_cart(emporix)
    shop, guests = await guest(make_shop, emporix)
    emporix.fault(operation, FAULTS[fault], times=None)
    before = asyncio.get_running_loop().time()
    moved = await shop.login(JANE)

    assert asyncio.get_running_loop().time() - before < 2.5
    assert moved.session_kept
    assert state(moved) in {"failed", "kept"}
    assert (await shop.page())["customer"] == "C0001"
    assert emporix.cart(guests) is not None or fault == "breaks after"


async def test_another_customer(make_shop: MakeShop) -> None:
    """The cart of one customer is never put into another one's."""
    emporix = platform()
    await customers_cart(emporix)
    shop, _ = await guest(make_shop, emporix)
    await shop.login(("joe@example.com", "battery-staple"))
    assert (await shop.login(JANE)).cart is None
    assert emporix.count("cart.merge") == 0


async def test_without_carts(make_shop: MakeShop) -> None:
    """Without `carts`, nothing is merged."""
    shop = CustomerShop(make_shop, platform())
    await shop.page()
    await shop.cart()
    assert (await shop.login(JANE)).cart is None


async def test_adopted(make_shop: MakeShop) -> None:
    """A shop with token code of its own gets the same."""
    emporix = platform()
    own = await customers_cart(emporix)
    shop = make_shop(emporix=emporix, carts=CartFollows(), secret_key="s" * 32)
    session = emporix.new_session(site_code="main", currency="EUR")
    await call(emporix, session.token, "POST", "", {"currency": "EUR", "siteCode": "main"})
    moved: list[Transition] = []

    async def endpoint(ctx: Any, _: Any) -> None:
        await ctx
        world = emporix._world
        known = world.sessions[session.session_id]
        customer = world.customers[JANE[0]]
        world.log_in(known, customer)
        moved.append(await ctx.adopt(StorefrontToken(world.issue(known, 3600.0, customer=customer))))

    await shop.visit(endpoint, token=session.token, method="POST")
    assert moved[0].cart is not None
    assert (moved[0].cart.state, moved[0].cart.cart_id) == ("merged", own)
