"""One browser before workers that share nothing: session, choices and cart are the same on all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .customers import JANE, KIM, CustomerShop, MakeShop, platform


def two_workers(make_shop: MakeShop, **quirks: Any) -> tuple[CustomerShop, CustomerShop]:
    emporix = platform(**quirks)
    one, other = (CustomerShop(make_shop, emporix) for _ in "ab")
    other.shop.browser._cookies = one.shop.browser._cookies
    return one, other


async def test_cart(make_shop: MakeShop) -> None:
    """A cart that one worker has seen shows on the other one at once, whatever that has cached."""
    one, other = two_workers(make_shop)
    await one.page()
    assert (await other.page())["cart_id"] is None

    cart = await one.cart()

    assert (await other.page())["cart_id"] == cart
    assert (await one.page())["cart_id"] == cart


async def test_login(make_shop: MakeShop) -> None:
    """A login on one worker is one on the other, and so are a company and a logout."""
    one, other = two_workers(make_shop)
    guest = await one.page()
    await other.switch(currency="CHF")
    await one.login(KIM)
    assert {each["customer"] for each in (await one.page(), await other.page())} == {"C0003"}
    assert {(await shop.page())["currency"] for shop in (one, other)} == {"CHF"}
    assert (await other.page())["session"] == guest["session"]

    await other.company("le-north")
    for shop in (one, other):
        assert (await shop.page())["attributes"]["legalEntityId"] == "le-north"

    await one.note(iban="secret")
    await other.logout()
    for shop in (one, other):
        seen = await shop.page()
        assert (seen["customer"], seen["attributes"], seen["currency"]) == ("ANONYMOUS", {}, "CHF")


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.3])
async def test_login_while_another_tab_switches(pause: float, make_shop: MakeShop) -> None:
    """What one tab chooses while the other one logs in is not undone by that, on any worker."""
    one, other = two_workers(make_shop)
    await one.page()
    await other.switch(currency="CHF", language="fr")

    async def switch() -> None:
        await asyncio.sleep(pause)
        await other.switch(currency="GBP")

    await asyncio.gather(one.login(JANE), switch())

    for shop in (one, other):
        seen = await shop.page()
        assert (seen["currency"], seen["language"], seen["customer"]) == ("GBP", "fr", "C0001")
