"""Assisted buying: staff come in as a customer, with tokens in the address that are seen nowhere afterwards."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from session_ctx_middleware import ConfigurationError, SessionContext
from session_ctx_middleware.testing import FakeEmporix, Fault

from .customers import CustomerShop, MakeShop, platform

DASHBOARD = "https://dashboard.acme.example"


async def come_in(shop: CustomerShop, query: dict[str, str], to: str = "/start", **headers: str) -> httpx2.Response:
    """Open the shop as the dashboard does."""

    async def endpoint(_: SessionContext, request: Any) -> Any:
        answer = await shop.sessions.assisted_login(request, opened_from=[DASHBOARD], to=to)
        assert not request.scope["query_string"]
        return answer

    shop.shop._handlers["assisted"] = endpoint
    headers = {"referer": f"{DASHBOARD}/", "sec-fetch-site": "cross-site", **headers}
    return await shop.shop.browser.get(f"/assisted?{urlencode(query)}", headers=headers)


async def test_staff_come_in(make_shop: MakeShop, caplog: pytest.LogCaptureFixture) -> None:
    """The browser goes on to a clean address as the customer, and nothing of the guest goes along."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    guest = await shop.page()
    await shop.switch(currency="CHF")
    await shop.note(gift="yes")
    await shop.cart()
    query = emporix.assisted_buying("joe@example.com")

    with caplog.at_level(logging.DEBUG):
        answer = await come_in(shop, query)

    assert (answer.status_code, answer.headers["location"]) == (303, "/start")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "no-store" in answer.headers["cache-control"]
    seen = await shop.page()
    assert (seen["customer"], seen["currency"], seen["attributes"], seen["cart_id"]) == ("C0002", "EUR", {}, None)
    assert seen["session"] != guest["session"]
    account = await shop.account()
    assert account.is_assisted
    assert not account.needs_login_for_checkout
    assert emporix.count("cart.merge") == 0
    said = "".join(each.getMessage() for each in caplog.records if "shop.test" not in each.getMessage())
    assert "session.assisted" in said
    assert not [secret for secret in query.values() if len(secret) > 10 and secret in said]

    await shop.logout()
    assert not (await shop.account()).is_assisted


@pytest.mark.parametrize("referer", ["", "https://evil.example/", f"{DASHBOARD}.evil.example/", "https://shop.test/"])
async def test_anybody_else(referer: str, make_shop: MakeShop) -> None:
    """A link that somebody else has made logs nobody in, and Emporix is not asked (login CSRF)."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    before, jar = await shop.page(), shop.jar()

    answer = await come_in(shop, emporix.assisted_buying("joe@example.com"), referer=referer)

    assert answer.status_code == 403
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert emporix.count("customer.validate") == 0
    assert shop.jar() == jar
    assert (await shop.page())["session"] == before["session"]


async def _refused(shop: CustomerShop, emporix: FakeEmporix, query: dict[str, str], status: int) -> None:
    jar = shop.jar()
    answer = await come_in(shop, query)
    assert answer.status_code == status
    assert "no-store" in answer.headers["cache-control"]
    assert shop.jar() == jar


async def test_dead_token(make_shop: MakeShop) -> None:
    """A token that Emporix refuses, none at all, and an outage leave the session as it was."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    query = emporix.assisted_buying("joe@example.com")
    await _refused(shop, emporix, {}, 403)
    await _refused(shop, emporix, {**query, "customerToken": "made up"}, 403)
    await _refused(shop, emporix, {**query, "customerToken": "madeup"}, 403)
    emporix.fault("customer.validate", Fault(status=503))
    await _refused(shop, emporix, query, 503)


async def test_target(make_shop: MakeShop) -> None:
    """The browser goes on to a page of this shop alone, and what is no origin is said."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    answer = await come_in(shop, emporix.assisted_buying("joe@example.com"), to="//evil.example/")
    assert answer.headers["location"] == "/"

    async def wrong(request: Any) -> None:
        with pytest.raises(ConfigurationError):
            await shop.sessions.assisted_login(request, opened_from=["dashboard.acme.example"])

    await shop.do(wrong)
