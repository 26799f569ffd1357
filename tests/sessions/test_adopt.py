"""`ctx.adopt`: a shop with token code of its own gives a request another token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import (
    CookieToken,
    SessionContext,
    StorefrontToken,
    Transition,
)
from session_ctx_middleware.errors import ConfigurationError, ContextSealed
from session_ctx_middleware.testing import FakeEmporix
from session_ctx_middleware.testing.fake_session import FakeSession

from ..support.shop import Shop, held, patches

SECRET = "a secret that all workers of this shop share"
MakeShop = Callable[..., Shop]


@pytest.fixture
def adopting(make_shop: MakeShop) -> Callable[..., Shop]:
    """A shop that keeps its tokens in a cookie of its own."""
    return lambda **options: make_shop(token=CookieToken("shop_token"), secret_key=SECRET, **options)


def begin(shop: Shop, token: str) -> None:
    shop.browser.cookies.set("shop_token", token, domain="shop.test")


async def adopt(shop: Shop, token: StorefrontToken) -> Transition:
    """Go over to a token as a login page does, and have the browser bring it from then on."""
    done: list[Transition] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        done.append(await ctx.adopt(token))

    answer = await shop.visit(endpoint, method="POST")
    assert answer.status_code == 200
    assert "private" in answer.headers["cache-control"]
    shop.browser.cookies.delete("shop_token")
    begin(shop, token.value)
    return done[0]


async def switch(shop: Shop, **values: str) -> None:
    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(**values)

    await shop.visit(endpoint, method="POST")


async def note(shop: Shop, **attributes: str) -> None:
    async def endpoint(ctx: SessionContext, _: Any) -> None:
        for key, value in attributes.items():
            ctx.set_attribute(key, value)

    await shop.visit(endpoint, method="POST")


async def page(shop: Shop) -> dict[str, Any]:
    async def endpoint(ctx: SessionContext, _: Any) -> str:
        await ctx
        seen.update(ctx.to_dict(), customer=ctx.customer_id, session=ctx.session_id)
        return ""

    seen: dict[str, Any] = {}
    await shop.visit(endpoint)
    return seen


def customer(emporix: FakeEmporix, **fields: Any) -> FakeSession:
    return emporix.new_session(**{"customer_id": "C1", "currency": "USD", **fields})


async def test_login_overwrites_nothing_chosen(adopting: Any, emporix: FakeEmporix) -> None:
    """What a guest has chosen stays though the customer's preferences overwrite it; what he has not is theirs."""
    shop, session = adopting(), emporix.new_session(currency="EUR", language="en", cart_id="cart-1")
    begin(shop, session.token)
    await switch(shop, currency="CHF")
    emporix.edit(session.session_id, customerId="C1", currency="USD", language="de")

    moved = await adopt(shop, StorefrontToken(emporix.new_token(session.session_id)))

    assert moved == Transition("login", session_kept=True, kept=("cart_id", "currency"))
    assert held(emporix, session.session_id)["currency"] == "CHF"
    seen = await page(shop)
    assert (seen["currency"], seen["language"], seen["cart_id"]) == ("CHF", "de", "cart-1")


async def test_login_to_another_session(adopting: Any, emporix: FakeEmporix) -> None:
    """What a guest has chosen, and what waits, goes along to another session; attributes of the old one do not."""
    shop, guest = adopting(), emporix.new_session(attributes={"theme": "dark"}, cart_id="cart-1")
    begin(shop, guest.token)
    await switch(shop, currency="CHF")
    emporix.delete_context(guest.session_id)
    await asyncio.sleep(100.0)
    await note(shop, gift="yes")
    other = customer(emporix)

    moved = await adopt(shop, StorefrontToken(other.token, other.session_id))

    assert (moved.kind, moved.session_kept) == ("login", False)
    assert set(moved.kept) == {"currency", "attributes.gift"}
    document = held(emporix, other.session_id)
    assert (document["currency"], document["context"]["gift"]) == ("CHF", "yes")
    assert "theme" not in document["context"]


async def test_logout(adopting: Any, emporix: FakeEmporix) -> None:
    """After a logout the four switches stay; cart, attributes and the customer himself are gone, waiting ones too."""
    shop = adopting()
    old = customer(emporix, currency="CHF", language="fr", attributes={"iban": "secret"}, cart_id="cart-1")
    begin(shop, old.token)
    emporix.fault("context.patch", _down(), times=None)
    await note(shop, gift="waiting secret")
    emporix.clear_faults()
    guest = emporix.new_session(currency="EUR", language="en")

    moved = await adopt(shop, StorefrontToken(guest.token, guest.session_id))

    assert (moved.kind, moved.session_kept) == ("logout", False)
    assert set(moved.kept) == {"site_code", "currency", "language", "target_location"}
    assert set(moved.dropped) == {"cart_id", "attributes", "customer_id", "attributes.gift"}
    seen = await page(shop)
    assert (seen["currency"], seen["language"], seen["attributes"], seen["cart_id"]) == ("CHF", "fr", {}, None)
    assert (held(emporix, guest.session_id).get("context") or {}).keys() <= {"_session_ctx"}


def _down() -> Any:
    from session_ctx_middleware.testing import Fault

    return Fault(status=503)


async def test_another_customer_in_the_old_token(adopting: Any, emporix: FakeEmporix) -> None:
    """Nothing of the one who has logged out is served to whoever still has the old token, not even when all is down."""
    shop, worker = adopting(), adopting()
    store = shop
    old = customer(emporix, attributes={"iban": "secret"})
    begin(shop, old.token)
    await page(shop)
    guest = emporix.new_session()
    await adopt(shop, StorefrontToken(guest.token))
    emporix.fault("*", _down(), times=None)
    shop.browser.cookies.clear()
    begin(shop, old.token)

    seen = await page(shop)

    assert seen["attributes"] == {}
    assert seen["customer"] is None
    assert worker is not store


async def test_company(adopting: Any, emporix: FakeEmporix) -> None:
    """What was cached for one company is asked for anew for another, under the old token, too."""
    shop = adopting()
    session = customer(emporix, attributes={"legalEntityId": "one"}, cart_id="cart-1")
    begin(shop, session.token)
    await switch(shop, currency="CHF")
    assert (await page(shop))["attributes"] == {"legalEntityId": "one"}
    emporix.edit(session.session_id, context={"legalEntityId": "two"})

    moved = await adopt(shop, StorefrontToken(emporix.new_token(session.session_id)))

    assert (moved.kind, moved.session_kept) == ("company", True)
    assert "cart_id" in moved.dropped
    assert "currency" in moved.kept
    assert (await page(shop))["attributes"] == {"legalEntityId": "two"}
    begin(shop, session.token)
    assert (await page(shop))["attributes"] == {"legalEntityId": "two"}


async def test_refreshed(adopting: Any, emporix: FakeEmporix) -> None:
    """A refreshed token of the same session changes nothing, and writes nothing."""
    shop, session = adopting(), emporix.new_session()
    begin(shop, session.token)
    await switch(shop, currency="CHF")
    sent = len(patches(emporix))

    moved = await adopt(shop, StorefrontToken(emporix.new_token(session.session_id), session.session_id))

    assert moved == Transition("refresh", session_kept=True, kept=("currency",))
    assert len(patches(emporix)) == sent
    assert (await page(shop))["currency"] == "CHF"


async def test_emporix_down(adopting: Any, emporix: FakeEmporix) -> None:
    """While nobody can say whose a token is, nothing of a customer goes along but the switches, which wait."""
    shop = adopting()
    old = customer(emporix, currency="CHF", attributes={"iban": "secret"})
    begin(shop, old.token)
    await switch(shop, currency="EUR")
    emporix.fault("*", _down(), times=None)
    guest = emporix.new_session(currency="USD")

    moved = await adopt(shop, StorefrontToken(guest.token))

    assert moved.session_kept is False
    assert "currency" in moved.kept
    seen = await page(shop)
    assert (seen["currency"], seen["attributes"]) == ("EUR", {})
    emporix.clear_faults()
    await asyncio.sleep(10.0)
    await page(shop)
    await page(shop)
    assert held(emporix, guest.session_id)["currency"] == "EUR"


async def test_own_changes(adopting: Any, emporix: FakeEmporix) -> None:
    """What the request has recorded before and after goes to the new session with its end, and is not lost by a 500."""
    shop, guest, other = adopting(), emporix.new_session(), customer(emporix)
    begin(shop, guest.token)

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency="CHF")
        await ctx.adopt(StorefrontToken(other.token, other.session_id))
        ctx.switch(language="fr")
        assert (ctx.currency, ctx.language) == ("CHF", "fr")

    await shop.visit(endpoint, method="POST")

    document = held(emporix, other.session_id)
    assert (document["currency"], document["language"]) == ("CHF", "fr")
    assert held(emporix, guest.session_id)["currency"] != "CHF"


async def test_refuses(adopting: Any, emporix: FakeEmporix) -> None:
    """What is no token, and a response that has started, are said at once."""
    shop, session = adopting(), emporix.new_session()
    wrong: list[Any] = [None, "token", StorefrontToken(""), StorefrontToken("a b")]

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        for each in wrong:
            with pytest.raises(ConfigurationError):
                await ctx.adopt(each)

    await shop.visit(endpoint)
    contexts: list[SessionContext] = []

    async def keep(ctx: SessionContext, _: Any) -> None:
        contexts.append(ctx)

    await shop.visit(keep)
    with pytest.raises(ContextSealed):
        await contexts[0].adopt(StorefrontToken(session.token))
