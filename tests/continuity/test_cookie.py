"""What the continuity cookie looks like, when it is set, and which keys sign it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import ConfigurationError, SessionContext, SessionContextMiddleware, cbor
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .browser import OTHER_SECRET, PREFIX, SECRET, Browser, page, payload


async def test_attributes_on_https(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """On HTTPS the cookie is bound to the host."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")

    (header,) = browser.last
    name, *attributes = header.split("; ")
    assert re.fullmatch(rf"{re.escape(PREFIX)}[0-9a-f]{{16}}=\S+", name)
    assert attributes == ["Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Lax", "Secure"]


@pytest.mark.parametrize(
    ("options", "name", "secure"),
    [
        ({}, "session_ctx", False),
        ({"https_only": True}, "__Host-session_ctx", True),
        ({"cookie_name": "shop_ctx"}, "shop_ctx", False),
    ],
)
async def test_attributes_on_http(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, options: dict[str, Any], name: str, secure: bool
) -> None:
    """On HTTP the cookie has no prefix, unless a proxy speaks HTTPS."""
    shop = make_shop(secret_key=SECRET, **options)
    shop.browser.base_url = "http://shop.test"
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(shop, currency="USD")

    (header,) = browser.last
    assert header.startswith(f"{name}.")
    assert header.endswith("; Secure") is secure


async def test_reading_sets_no_cookie(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A page that only reads sets no cookie."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[0])
    assert browser.last == []

    await browser.switch(workers[0], currency="USD")
    for shop in workers:
        await browser.currency(shop)
        assert browser.last == []


async def test_no_secret_no_cookie(shop: Shop, emporix: FakeEmporix) -> None:
    """Without a secret there is no cookie."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(shop, currency="USD")
    assert browser.last == []


async def test_response_is_private(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A response with the cookie is for one shopper."""

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        return PlainTextResponse("", headers={"Cache-Control": "public, max-age=60"})

    response = await Browser(emporix.new_session(currency="EUR").token).visit(workers[0], endpoint)

    assert "private" in response.headers["cache-control"]
    assert "public" not in response.headers["cache-control"]
    assert "Cookie" in response.headers["vary"]


async def test_nothing_given_away(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """The cookie gives neither token nor session away."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")

    raw = cbor.dumps(payload(browser.note))
    for secret in (session.token, session.session_id):
        assert secret.encode() not in raw
        assert secret.replace("-", "").lower() not in raw.hex()


async def test_logout_leaves_an_end_mark(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Logging out takes the notes away, and leaves one for two days that says so and nothing else."""

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    browser = Browser(emporix.new_session(exists=False).token)
    await browser.switch(workers[0], currency="USD")
    await browser.visit(workers[1], logout)

    assert (payload(browser.note)["e"], browser.operations) == (1, [])
    assert ["Max-Age=172800" in header for header in browser.last] == [True, False]
    assert "Max-Age=0" in browser.last[1]


async def test_key_rotation(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Keys are rotated without losing a cookie."""
    old, both, new = (
        make_shop(secret_key=OTHER_SECRET),
        make_shop(secret_key=[SECRET, OTHER_SECRET]),
        make_shop(secret_key=SECRET),
    )
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in (old, both, new):
        await browser.currency(shop)
    await browser.switch(old, currency="USD")
    assert await browser.currency(both) == "USD"
    await browser.switch(both, currency="GBP")
    assert await browser.currency(new) == "GBP"


@pytest.mark.parametrize("name", ["", "a b", "a;b", "__Host-x", "né"])
def test_bad_cookie_names(name: str) -> None:
    """A name that no cookie can have is refused."""
    with pytest.raises(ConfigurationError, match="cookie_name"):
        SessionContextMiddleware(page, tenant="acme", secret_key=SECRET, cookie_name=name)  # type: ignore[arg-type]
