"""What becomes of a guest's cart when he logs in: it never keeps him from it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from session_ctx_middleware import ContextDefaults, StorefrontToken, Transition, get_session_context
from session_ctx_middleware.emporix import CartFollows
from session_ctx_middleware.testing import FakeEmporix, Fault

from .customers import JANE, KIM, CustomerShop, MakeShop, platform

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
    assert state(moved) in {"failed", "kept", "merged"}
    assert (await shop.page())["customer"] == "C0001"
    assert emporix.cart(guests) is not None or fault == "breaks after"


async def test_after_somebody_elses_logout(make_shop: MakeShop) -> None:
    """Where a session outlives a logout, its cart may be of the customer before, and is merged into nobody's."""
    emporix = platform()
    world = emporix._world
    own = await customers_cart(emporix)
    shop = make_shop(emporix=emporix, carts=CartFollows(), secret_key="s" * 32)
    session = emporix.new_session(site_code="main", currency="EUR")
    await call(emporix, session.token, "POST", "", {"currency": "EUR", "siteCode": "main"})
    known = world.sessions[session.session_id]
    moved: list[Transition] = []

    def adopting(email: str | None, sent_with: str) -> Any:
        async def endpoint(ctx: Any, _: Any) -> str:
            await ctx
            customer = None if email is None else world.customers[email]
            if customer is None:
                known.customer = None
                world.change(known, {"customerId": "ANONYMOUS"})
            else:
                world.log_in(known, customer)
            token = world.issue(known, 3600.0, customer=customer)
            moved.append(await ctx.adopt(StorefrontToken(token)))
            return token

        return shop.visit(endpoint, token=sent_with, method="POST")

    joes = (await adopting("joe@example.com", session.token)).text
    guests = (await adopting(None, joes)).text
    await adopting(JANE[0], guests)

    assert [each.kind for each in moved] == ["login", "logout", "login"]
    assert state(moved[2]) == "failed"
    cart = emporix.cart(own)
    assert cart is not None
    assert [item["itemYrn"] for item in cart["items"]] == ["kettle"]


@pytest.mark.parametrize("who", [JANE, KIM], ids=["another currency", "another site"])
async def test_kept_cart_follows_preferences(make_shop: MakeShop, who: tuple[str, str]) -> None:
    """Where a login brings another site or currency along, the guest's cart goes there."""
    emporix = platform()
    shop, guests = await guest(make_shop, emporix)
    moved = await shop.login(who)

    assert state(moved) == "kept"
    (session,) = emporix._world.sessions
    document, cart = emporix.document(session), emporix.cart(guests)
    assert document is not None
    assert cart is not None
    assert (document["siteCode"], document["currency"]) == (cart["siteCode"], cart["currency"])


async def test_switch_while_a_login_merges(make_shop: MakeShop) -> None:
    """What another tab chooses meanwhile is where the cart ends up."""
    emporix = platform()
    shop, guests = await guest(make_shop, emporix)
    emporix.fault("cart.find", Fault(delay=1.0), times=1)
    login = asyncio.create_task(shop.login(JANE))
    await asyncio.sleep(0.5)
    await shop.switch(currency="CHF")
    await login
    await asyncio.sleep(60.0)

    cart = emporix.cart(guests)
    assert cart is not None
    assert cart["currency"] == (await shop.page())["currency"]


async def test_cart_of_the_session_that_is_come_to(make_shop: MakeShop) -> None:
    """A shopper who comes to another session with a choice has the cart of that one follow."""
    emporix = platform()
    shop = make_shop(emporix=emporix, carts=CartFollows(), secret_key="s" * 32)
    one, other = (emporix.new_session(site_code="main", currency="EUR") for _ in range(2))
    created = await call(emporix, other.token, "POST", "", {"currency": "EUR", "siteCode": "main"})
    await shop.switch(one.token, currency="CHF")

    async def endpoint(ctx: Any, _: Any) -> None:
        await ctx
        await ctx.adopt(StorefrontToken(other.token))

    await shop.visit(endpoint, token=one.token, method="POST")
    cart, document = emporix.cart(created["cartId"]), emporix.document(other.session_id)
    assert cart is not None
    assert document is not None
    assert cart["currency"] == document["currency"] == "CHF"


async def test_merge_whose_answer_is_lost(make_shop: MakeShop) -> None:
    """A cart that is gone was merged."""
    emporix = platform()
    await customers_cart(emporix)
    shop, guests = await guest(make_shop, emporix)
    await shop.switch(currency="EUR")
    emporix.fault("cart.merge", Fault(drop="after"))

    assert state(await shop.login(JANE)) == "merged"
    assert emporix.cart(guests) is None


async def test_cart_of_another_company(make_shop: MakeShop) -> None:
    """Each company that a customer acts for has a cart of its own, and neither is moved by the other's switches."""
    emporix = platform()
    shop = CustomerShop(
        make_shop, emporix, carts=CartFollows(), defaults=ContextDefaults(site_code="us", currency="USD")
    )

    async def open_cart(request: Any) -> str:
        return await get_session_context(request).open_cart()

    await shop.page()
    await shop.login(KIM)
    carts = []
    for company in ("le-north", "le-south"):
        await shop.company(company)
        carts.append(await shop.do(open_cart))
    await shop.switch(currency="CAD")

    assert carts[0] != carts[1]
    assert [(emporix.cart(each) or {})["currency"] for each in carts] == ["USD", "CAD"]


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
