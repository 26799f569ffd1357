"""Carts that follow: where a shopper switches site or currency, his cart goes first, and the session only with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from session_ctx_middleware import ContextDefaults, SessionContext, SessionContextError
from session_ctx_middleware.emporix import CartFollows, CartOutcome, PublicToken, SiteCatalog
from session_ctx_middleware.errors import ChangeRefused, ConfigurationError, NoToken
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from .support.shop import Shop, held

MakeShop = Callable[..., Shop]
CUP = "cup"
MOVES = ("cart.change_currency", "cart.change_site")


class CartShop:
    """A shop with one shopper who has a cup in his cart.

    Args:
        make_shop: builds it.
        emporix: the platform.
        options: keywords of the middleware.
    """

    def __init__(self, make_shop: MakeShop, emporix: FakeEmporix, **options: Any) -> None:
        self.emporix = emporix
        defaults = ContextDefaults(site_code="main", currency="EUR")
        self.shop = make_shop(emporix=emporix, **{"carts": CartFollows(), "defaults": defaults, **options})
        self.session = emporix.new_session(site_code="main", currency="EUR", language="de", target_location="DE")
        self.cart_id = ""

    async def fill(self, **body: str) -> str:
        """Create the shopper's cart, and put a cup into it."""
        created = await self.call("POST", "", {"currency": "EUR", "siteCode": "main", **body})
        self.cart_id = created["cartId"]
        yrn = f"urn:yaas:saasag:caasproduct:product:{self.emporix.tenant};{CUP}"
        await self.call("POST", f"/{self.cart_id}/items", {"itemYrn": yrn, "quantity": 1})
        self.emporix.clear_calls()
        return self.cart_id

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.session.token}", "session-id": self.session.session_id}
        async with self.emporix.client(httpx2, base_url="http://emporix.test") as client:
            url = f"/cart/{self.emporix.tenant}/carts{path}"
            return (await client.request(method, url, json=body, headers=headers)).json()

    async def switch(self, *, commits: bool = True, **values: str) -> CartOutcome | None:
        """Switch in one request, and return what the cart did."""
        seen: list[CartOutcome | None] = []

        async def endpoint(ctx: SessionContext, _: Any) -> None:
            ctx.switch(**values)
            if commits:
                with suppress(SessionContextError):
                    await ctx.commit()
            seen.append(ctx.cart_outcome)

        await self.shop.visit(endpoint, token=self.session.token, method="POST")
        return seen[0]

    async def page(self) -> SessionContext:
        seen: list[SessionContext] = []

        async def endpoint(ctx: SessionContext, _: Any) -> None:
            seen.append(await ctx)

        await self.shop.visit(endpoint, token=self.session.token)
        return seen[0]

    @property
    def currencies(self) -> tuple[str | None, str]:
        """Those of the session, and of its cart."""
        cart = self.emporix.cart(self.cart_id)
        return held(self.emporix, self.session.session_id).get("currency"), "" if cart is None else cart["currency"]

    @property
    def places(self) -> tuple[tuple[str | None, str | None], tuple[str, str]]:
        """Sites and currencies of the session, and of its cart."""
        document, cart = held(self.emporix, self.session.session_id), self.emporix.cart(self.cart_id)
        assert cart is not None
        return (document.get("siteCode"), document.get("currency")), (cart["siteCode"], cart["currency"])

    @property
    def calls(self) -> list[str]:
        return [call.operation for call in self.emporix.calls]


async def nothing(_: SessionContext, __: Any) -> None:
    """Do nothing."""


@pytest.fixture
async def shop(make_shop: MakeShop, emporix: FakeEmporix) -> CartShop:
    shop = CartShop(make_shop, emporix)
    await shop.fill()
    return shop


async def test_without_a_cart(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Who has no cart switches as ever, and the Cart Service is not asked."""
    shop = CartShop(make_shop, emporix)
    assert await shop.switch(currency="CHF") is None
    assert held(emporix, shop.session.session_id)["currency"] == "CHF"
    assert not [call for call in shop.calls if call.startswith("cart.")]


async def test_cart_first(shop: CartShop) -> None:
    """The cart is moved before the session is told, and both agree."""
    outcome = await shop.switch(currency="CHF")

    assert outcome is not None
    assert (outcome.state, outcome.unpriced, outcome.reason) == ("moved", (), "")
    assert shop.currencies == ("CHF", "CHF")
    assert shop.calls == ["context.get", "cart.change_currency", "context.patch", "cart.get", "cart.validate"]
    assert (await shop.page()).currency == "CHF"


async def test_at_the_end_of_a_request(shop: CartShop) -> None:
    """It does so too where nobody awaits the commit."""
    await shop.switch(currency="CHF", commits=False)
    assert shop.currencies == ("CHF", "CHF")


async def test_one_call_less(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Which items have no price is asked for only where that is wanted."""
    shop = CartShop(make_shop, emporix, carts=CartFollows(names_unpriced=False))
    await shop.fill()
    await shop.switch(currency="CHF")
    assert "cart.validate" not in shop.calls


async def test_other_switches(shop: CartShop) -> None:
    """Language and country are no matter of the cart."""
    assert await shop.switch(language="fr", target_location="AT") is None
    assert not [call for call in shop.calls if call.startswith("cart.")]


async def test_not_visible_yet(make_shop: MakeShop) -> None:
    """A currency that the Cart Service has taken and does not show yet is accepted, and nobody waits for it."""
    emporix = FakeEmporix(quirks=Quirks(currency_delay=5.0), now=lambda: asyncio.get_running_loop().time())
    shop = CartShop(make_shop, emporix)
    await shop.fill()
    before = asyncio.get_running_loop().time()
    outcome = await shop.switch(currency="CHF")

    assert outcome is not None
    assert outcome.state == "accepted"
    assert asyncio.get_running_loop().time() - before < 1.0
    await asyncio.sleep(6.0)
    assert shop.currencies == ("CHF", "CHF")


async def test_site(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The cart goes to another site, with the currency that the catalog has for it; nothing is asked twice."""
    shop = CartShop(make_shop, emporix, sites=SiteCatalog(PublicToken("storefront")))
    await shop.fill()
    outcome = await shop.switch(site_code="us")

    assert outcome is not None
    assert outcome.state == "moved"
    cart = emporix.cart(shop.cart_id)
    assert cart is not None
    document = held(emporix, shop.session.session_id)
    assert (cart["siteCode"], cart["currency"]) == (document["siteCode"], document["currency"]) == ("us", "USD")
    assert [call for call in shop.calls if call in MOVES] == ["cart.change_site"]


async def test_site_and_another_currency(shop: CartShop) -> None:
    """A cart that reaches the site, and not the currency that was chosen with it, goes back."""
    outcome = await shop.switch(site_code="us", currency="JPY")

    assert outcome is not None
    assert outcome.state == "failed"
    assert shop.places == (("main", "EUR"), ("main", "EUR"))


async def test_site_alone(shop: CartShop) -> None:
    """Without a catalog, a site whose cart cannot stay in the currency brings its own along."""
    outcome = await shop.switch(site_code="us")

    assert outcome is not None
    assert outcome.state == "moved"
    assert shop.places == (("us", "USD"), ("us", "USD"))


async def test_refused(shop: CartShop) -> None:
    """Where the cart cannot follow, the session stays with it, and the other changes of the request are made."""
    seen: list[str] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency="JPY", language="fr")
        ctx.set_attribute("gift", "yes")
        with pytest.raises(ChangeRefused, match="cart"):
            await ctx.commit()
        seen.append(ctx.currency or "")

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")

    document = held(shop.emporix, shop.session.session_id)
    assert shop.currencies == ("EUR", "EUR")
    assert seen == ["EUR"]
    assert (document["language"], document["context"]["gift"]) == ("fr", "yes")
    assert len(shop.shop.named("cart.failed")) == 1


@pytest.mark.parametrize("reading", ["accepted", "refused"])
async def test_items_without_a_price(reading: str, make_shop: MakeShop) -> None:
    """Items that the new currency has no price for are named, or the cart stays: whichever the platform does."""
    emporix = FakeEmporix(quirks=Quirks(unpriced_items=reading))  # type: ignore[arg-type]
    shop = CartShop(make_shop, emporix)
    await shop.fill()
    emporix.unprice(CUP, "CHF")
    outcome = await shop.switch(currency="CHF")

    assert outcome is not None
    assert (outcome.state, outcome.unpriced) == (("moved", ("0",)) if reading == "accepted" else ("failed", ()))
    assert len(set(shop.currencies)) == 1


FAULTS = {
    "500": Fault(status=500),
    "503": Fault(status=503, retry_after=1),
    "429": Fault(status=429, retry_after=1),
    "400": Fault(status=400),
    "403": Fault(status=403),
    "a proxy's 403": Fault(status=403, by="proxy"),
    "401": Fault(status=401),
    "404": Fault(status=404),
    "a gateway's 404": Fault(status=404, by="gateway"),
    "hangs": Fault(hang=True),
    "slow": Fault(delay=0.5),
    "slow afterwards": Fault(delay_after=0.5),
    "breaks before": Fault(drop="before"),
    "breaks after": Fault(drop="after"),
    "a lie": Fault(status=502, apply=True),
    "a page": Fault(body=b"<html>hello</html>"),
    "nothing": Fault(body=b""),
    "odd JSON": Fault(body=b'{"id": 7, "currency": [], "items": "many", "status": 3}'),
}
OFTEN = {"500", "400", "404", "hangs", "breaks after", "odd JSON"}


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("operation", ["cart.change_currency", "cart.get", "cart.validate", "cart", "context.patch"])
@pytest.mark.parametrize(
    "fault", [each if each in OFTEN else pytest.param(each, marks=pytest.mark.slow) for each in FAULTS]
)
async def test_every_fault(shop: CartShop, fault: str, operation: str, times: int | None) -> None:
    """Session and cart agree after every fault of the Cart Service, or are said not to; switching again mends it."""
    shop.emporix.fault(f"{operation}.*" if operation == "cart" else operation, FAULTS[fault], times=times)
    outcome = await shop.switch(currency="CHF")

    if outcome is None:  # twice Emporix' own word that there is no such cart
        assert shop.shop.named("cart.gone")
    elif len(set(shop.currencies)) > 1:
        assert outcome.state in {"half", "accepted"}
    elif outcome.state == "failed":
        assert shop.currencies == ("EUR", "EUR")
    shop.emporix.clear_faults()
    await asyncio.sleep(10.0)
    again = await shop.switch(currency="CHF")
    assert again is not None
    assert again.state == "moved"
    assert shop.currencies == ("CHF", "CHF")


async def test_cart_service_is_slow(shop: CartShop) -> None:
    """A page waits no longer for the cart than a commit may take, and says that nobody knows."""
    shop.emporix.fault("cart.change_currency", Fault(hang=True), times=None)
    before = asyncio.get_running_loop().time()
    outcome = await shop.switch(currency="CHF")

    assert asyncio.get_running_loop().time() - before <= 3.0
    assert outcome is not None
    assert outcome.state == "half"
    assert shop.currencies == ("EUR", "EUR")


async def test_session_follows_later(shop: CartShop) -> None:
    """Where Emporix has moved the cart and cannot take the session's change, that waits, and the two agree by half."""
    shop.emporix.fault("context.patch", Fault(status=429, retry_after=2), times=1)
    outcome = await shop.switch(currency="CHF")
    assert outcome is not None
    assert outcome.state == "half"
    assert shop.currencies == ("EUR", "CHF")
    await asyncio.sleep(4.0)
    await shop.page()
    assert shop.currencies == ("CHF", "CHF")


async def test_choice_before_the_cart(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A cart that Emporix creates in its site's own currency is moved to the one that was chosen before."""
    emporix = FakeEmporix(context_at="cart")
    shop = CartShop(make_shop, emporix, carts=CartFollows())
    shop.session = emporix.new_session(exists=False, site_code="main", currency="EUR")
    await shop.switch(currency="CHF")

    async def add(ctx: SessionContext, _: Any) -> str:
        await ctx
        assert ctx.currency == "CHF"
        found = await shop.call("GET", "?siteCode=main&create=true")
        await ctx.cart_created(found["id"])
        return str(found["id"])

    shop.cart_id = (await shop.shop.visit(add, token=shop.session.token, method="POST")).text
    assert shop.currencies == ("CHF", "CHF")


# Carts that were ordered elsewhere


async def test_ordered_elsewhere(shop: CartShop) -> None:
    """A cart that is not there any more keeps nobody from switching, and the next thing goes into a new one."""
    shop.emporix.end_cart(shop.cart_id)
    assert await shop.switch(currency="CHF") is None
    assert held(shop.emporix, shop.session.session_id)["currency"] == "CHF"
    assert len(shop.shop.named("cart.gone")) == 1

    new = await open_cart(shop)
    assert new != shop.cart_id
    cart = shop.emporix.cart(new)
    assert cart is not None
    assert (cart["siteCode"], cart["currency"], cart["items"]) == ("main", "CHF", [])
    assert (await shop.page()).cart_id == new


async def test_open_cart(shop: CartShop) -> None:
    """A cart that is open is used on, for one call."""
    assert await open_cart(shop) == shop.cart_id
    assert shop.calls == ["context.get", "cart.get"]


async def test_first_cart(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Who has none gets one on the site and in the currency that he sees."""
    shop = CartShop(make_shop, emporix)
    new = emporix.cart(await open_cart(shop))
    assert new is not None
    assert (new["siteCode"], new["currency"]) == ("main", "EUR")


async def test_first_cart_of_a_corrected_currency(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where the session has a currency that its site does not offer, the cart begins in the one that shows."""
    shop = CartShop(make_shop, emporix, sites=SiteCatalog(PublicToken("storefront")))
    shop.session = emporix.new_session(site_code="main", currency="CAD", language="de", target_location="DE")
    await shop.shop.visit(nothing)
    await shop.page()
    await shop.switch(language="fr")  # loads what the sites offer
    assert (await shop.page()).currency == "EUR"
    new = emporix.cart(await open_cart(shop))

    assert new is not None
    assert new["currency"] == "EUR"


async def test_one_there_already(shop: CartShop) -> None:
    """Where the site has an open cart that the session does not name, that one is used."""
    shop.emporix.edit(shop.session.session_id, cartId="another one")
    assert await open_cart(shop) == shop.cart_id


async def test_second_look(shop: CartShop) -> None:
    """A single 404 does not lose a cart: Emporix answers a missing item so, too."""
    shop.emporix.fault("cart.change_currency", Fault(status=404))
    outcome = await shop.switch(currency="CHF")
    assert outcome is not None
    assert outcome.state == "failed"
    assert shop.currencies == ("EUR", "EUR")


async def open_cart(shop: CartShop) -> str:
    async def endpoint(ctx: SessionContext, _: Any) -> str:
        return await ctx.open_cart()

    return (await shop.shop.visit(endpoint, token=shop.session.token, method="POST")).text


# Mistakes


async def test_without_a_token(shop: CartShop) -> None:
    """Nobody has a cart without a token."""

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        with pytest.raises(NoToken):
            await ctx.open_cart()

    await shop.shop.visit(endpoint, method="POST")


async def test_not_configured(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Without `carts`, there is nothing that could open one."""
    shop = CartShop(make_shop, emporix, carts=None)

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        with pytest.raises(ConfigurationError, match="carts="):
            await ctx.open_cart()

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")


@pytest.mark.parametrize("wrong", [True, "yes", CartFollows], ids=str)
async def test_wrong_kind(wrong: Any, make_shop: MakeShop) -> None:
    with pytest.raises(ConfigurationError, match="carts="):
        await make_shop(carts=wrong).visit(nothing)


async def test_one_for_each_middleware() -> None:
    """Two shops do not share one."""
    follows = CartFollows()
    follows.bind("acme", {})
    with pytest.raises(ConfigurationError, match="One CartFollows"):
        follows.bind("acme", {})


async def test_price_criteria(shop: CartShop) -> None:
    """They name what the shopper sees, also what Emporix does not have yet."""
    seen: list[dict[str, str]] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        await ctx
        ctx.switch(currency="CHF")
        seen.append(ctx.price_criteria())

    await shop.shop.visit(endpoint, token=shop.session.token)
    assert seen == [{"siteCode": "main", "targetCurrency": "CHF", "targetLocation": "DE"}]
