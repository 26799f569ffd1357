"""Logins that the shop makes by other ways: social login, token exchange, and the end of a sign-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from session_ctx_middleware.errors import MalformedAnswer
from session_ctx_middleware.testing import Fault

from .customers import JANE, CustomerShop, MakeShop, platform

WAYS = {
    "social": ("POST", "/customer/acme/socialLogin", "code", {"redirect_uri": "https://shop.test/back"}),
    "exchange": ("POST", "/customer/acme/exchangeauthtoken", "subjectAccessToken", {}),
    "opt-in": ("GET", "/customer/acme/signup/optin/{code}", "", {}),
}


async def log_in(shop: CustomerShop, way: str, *, left_out: str = "") -> Any:
    """Log in as a shop does: its own call goes out with the shopper's credentials, and its answer comes in."""
    method, path, parameter, query = WAYS[way]
    code = shop.emporix.login_code(JANE[0])

    async def work(request: Any) -> Any:
        auth = request.state.session_ctx.auth
        params = {**query, **({parameter: code} if parameter else {})}
        async with shop.emporix.client(httpx2, base_url="http://emporix.test") as client:
            url = f"http://emporix.test{path.format(code=code)}"
            headers = auth.headers(method, f"https://api.emporix.io{path.format(code=code)}")
            headers.pop(left_out, None)
            answer = await client.request(method, url, params=params, headers=headers)
        assert answer.status_code == 200
        return await shop.sessions.login_with(request, answer.json())

    return await shop.do(lambda request: _loaded(request, work))


async def _loaded(request: Any, work: Any) -> Any:
    await request.state.session_ctx
    return await work(request)


@pytest.mark.parametrize("way", WAYS)
async def test_every_way(way: str, make_shop: MakeShop) -> None:
    """Session, cart and choices stay, whether or not the answer tells the session's id, and a refresh keeps them."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    guest = await shop.page()
    await shop.switch(currency="CHF")
    cart = await shop.cart()

    moved = await log_in(shop, way)

    assert (moved.kind, moved.session_kept, moved.dropped) == ("login", True, ())
    assert {"cart_id", "currency"} <= set(moved.kept)
    for hours in (0.0, 13.0):
        await shop.shop.clock.sleep(hours * 3600.0)
        seen = await shop.page()
        found = (seen["session"], seen["customer"], seen["cart_id"], seen["currency"])
        assert found == (guest["session"], "C0001", cart, "CHF")
    assert not (await shop.account()).needs_login_for_checkout or hours


async def test_another_session(make_shop: MakeShop) -> None:
    """Where Emporix goes on with a session of its own, choices and what waits follow to it, and nothing else."""
    emporix = platform(social_session="header")
    shop = CustomerShop(make_shop, emporix)
    guest = await shop.page()
    await shop.switch(currency="CHF")
    await shop.cart()
    emporix.fault("context.patch", Fault(status=503), times=None)
    await shop.note(gift="yes")
    emporix.clear_faults()

    moved = await log_in(shop, "social", left_out="session-id")

    assert (moved.kind, moved.session_kept) == ("login", False)
    assert set(moved.kept) == {"currency", "attributes.gift"}
    assert "cart_id" in moved.dropped
    seen = await shop.page()
    assert seen["session"] != guest["session"]
    assert (seen["currency"], seen["cart_id"], seen["attributes"].get("gift")) == ("CHF", None, "yes")


async def test_over_another_customer(make_shop: MakeShop) -> None:
    """Whoever comes in where somebody else is logged in finds nothing of him."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    await shop.login(JANE)
    await shop.note(iban="secret")
    answer = emporix.assisted_buying("joe@example.com")

    moved = await shop.do(
        lambda request: shop.sessions.login_with(request, {"accessToken": answer["customerToken"], "expiresIn": "3600"})
    )

    assert moved.kind == "login"
    seen = await shop.page()
    assert (seen["customer"], seen["attributes"]) == ("C0002", {})


@pytest.mark.parametrize("answer", [{}, {"access_token": ""}, {"access_token": "a b"}, {"error": "invalid"}])
async def test_no_answer(answer: Mapping[str, object], make_shop: MakeShop) -> None:
    """An answer without a token is said, and changes nothing."""
    shop = CustomerShop(make_shop, platform())
    before, jar = await shop.page(), shop.jar()

    with pytest.raises(MalformedAnswer):
        await shop.do(lambda request: shop.sessions.login_with(request, answer))

    assert shop.jar() == jar
    assert (await shop.page())["session"] == before["session"]
