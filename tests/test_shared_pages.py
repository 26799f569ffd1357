"""One page for all guests of a variant: never with what only one has, never for a variant that he does not see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from session_ctx_middleware import ContextDefaults, SessionContext, SharedCacheLeak, StorefrontToken
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop

GUEST: dict[str, Any] = {"site_code": "main", "currency": "EUR", "language": "de-CH", "target_location": "DE"}
EURO = "acme~main~EUR~de-CH~DE"
SHARED = "public, max-age=0, s-maxage=300"


async def page(ctx: SessionContext, _: Request) -> str:
    """Show the variant, and share it."""
    await ctx
    ctx.share_by_variant(300)
    return f"{ctx.site_code} {ctx.currency} {ctx.language} {ctx.target_location}"


async def seen(
    shop: Shop, token: str | None, header: str = "", cookie: str | None = None, handler: Any = page, **more: str
) -> httpx2.Response:
    """Return what a browser gets by way of a cache that copies its cookie into the header."""
    brought = header if cookie is None else cookie
    headers = {**({"Session-Variant": header} if header else {}), **more}
    if brought:
        headers["Cookie"] = f"session_variant={brought}"
    return await shop.visit(handler, token=token, headers=headers)


def why(shop: Shop) -> list[str]:
    return [event.outcome for event in shop.events if event.name == "share.refused"]


async def test_first_page(shop: Shop, emporix: FakeEmporix) -> None:
    """The first page is private, and tells the browser its variant; the next one is for everybody of that."""
    token = emporix.new_session(**GUEST).token
    first = await seen(shop, token)
    assert first.headers["cache-control"] == "private"
    assert first.headers["set-cookie"].startswith(f"session_variant={EURO}; Path=/; Max-Age=")
    assert why(shop) == ["no variant"]

    second = await seen(shop, token, EURO)
    assert (second.headers["cache-control"], second.headers["vary"]) == (SHARED, "Session-Variant")
    assert "set-cookie" not in second.headers
    assert second.text == first.text == "main EUR de-CH DE"
    assert why(shop) == ["no variant"]


async def test_without_a_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Visitors who have no session yet share the pages of the defaults."""
    shop = make_shop(defaults=ContextDefaults(currency="EUR", language="de"))
    cookie = (await seen(shop, None)).headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert cookie == "acme~~EUR~de~"
    assert (await seen(shop, None, cookie)).headers["cache-control"] == SHARED
    assert emporix.count() == 0


@pytest.mark.parametrize(
    ("header", "cookie"),
    [
        ("acme~main~USD~de-CH~DE", None),
        (EURO, ""),
        (EURO, "acme~main~USD~de-CH~DE"),
        ("", EURO),
        ("other~main~EUR~de-CH~DE", None),
        (EURO.lower(), None),
        ("x" * 5000, None),
    ],
)
async def test_another_variant(shop: Shop, emporix: FakeEmporix, header: str, cookie: str | None) -> None:
    """Whoever asks for another variant than the one he sees puts nothing into the cache."""
    answer = await seen(shop, emporix.new_session(**GUEST).token, header, cookie)
    assert answer.headers["cache-control"] == "private"
    assert answer.text == "main EUR de-CH DE"
    assert ("set-cookie" in answer.headers) is (cookie != EURO)


async def test_several_values_of_one_name(shop: Shop, emporix: FakeEmporix) -> None:
    """A browser with two of these cookies, one tossed by a neighbour, shares nothing."""
    token = emporix.new_session(**GUEST).token
    answer = await seen(shop, token, EURO, f"{EURO}; session_variant=acme~main~USD~de~DE")
    assert answer.headers["cache-control"] == "private"


@pytest.mark.parametrize(
    "read",
    [
        lambda ctx: ctx.cart_id,
        lambda ctx: ctx.attributes,
        lambda ctx: ctx.document,
        lambda ctx: ctx.session_id,
        lambda ctx: ctx.customer_id,
        lambda ctx: ctx.version,
        lambda ctx: ctx.pending,
        lambda ctx: ctx.exists,
        lambda ctx: ctx.has_token,
        lambda ctx: ctx.is_degraded,
        lambda ctx: ctx.source("currency"),
        lambda ctx: ctx.to_dict(),
        lambda ctx: ctx.auth.headers("GET", "https://api.emporix.io/cart/acme/carts"),
    ],
)
async def test_more_was_read(shop: Shop, emporix: FakeEmporix, read: Callable[[SessionContext], object]) -> None:
    """A page that has read anything but the four switches is its shopper's own."""

    async def more(ctx: SessionContext, request: Request) -> str:
        await ctx
        assert read(ctx) is not ...
        return await page(ctx, request)

    answer = await seen(shop, emporix.new_session(**GUEST).token, EURO, handler=more)
    assert answer.headers["cache-control"] == "private"
    assert why(shop) == ["more was read"]


async def test_whether_somebody_is_logged_in(shop: Shop, emporix: FakeEmporix) -> None:
    """Guests share pages that say so; a customer's page is private, and his browser forgets the variant."""

    async def greeting(ctx: SessionContext, request: Request) -> str:
        return f"{await page(ctx, request)} {ctx.is_logged_in}"

    guest = emporix.new_session(**GUEST).token
    customer = emporix.new_session(**GUEST, customer_id="jane").token
    assert (await seen(shop, guest, EURO, handler=greeting)).headers["cache-control"] == SHARED
    answer = await seen(shop, customer, EURO, handler=greeting)
    assert answer.headers["cache-control"] == "private"
    assert "session_variant=; Path=/; Max-Age=0" in answer.headers["set-cookie"]


async def test_switching(shop: Shop, emporix: FakeEmporix) -> None:
    """The answer to a switch has the browser keep the new variant, or none where that is not known."""
    token = emporix.new_session(**GUEST).token

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        return ""

    async def switch_loaded(ctx: SessionContext, _: Request) -> str:
        (await ctx).switch_currency("CHF")
        return ""

    answer = await seen(shop, token, EURO, handler=switch)
    assert answer.headers["set-cookie"].partition(";")[0] == "session_variant=acme~main~USD~de-CH~DE"
    assert answer.headers["cache-control"] == "private"
    answer = await seen(shop, token, "acme~main~USD~de-CH~DE", handler=switch_loaded)
    assert answer.headers["set-cookie"].partition(";")[0] == "session_variant=acme~main~CHF~de-CH~DE"
    answer = await seen(shop, token, "acme~main~CHF~de-CH~DE")
    assert (answer.headers["cache-control"], answer.text) == (SHARED, "main CHF de-CH DE")


async def test_switching_without_a_variant(shop: Shop, emporix: FakeEmporix) -> None:
    """A shop that shares no page sets no such cookie."""

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        return ""

    assert "set-cookie" not in (await seen(shop, emporix.new_session(**GUEST).token, handler=switch)).headers


async def test_before_a_cart(shop: Shop, emporix: FakeEmporix) -> None:
    """While a choice waits, its shopper's pages are his own."""
    session = emporix.new_session(exists=False)

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        return ""

    await seen(shop, session.token, handler=switch)
    variant = "acme~~USD~~"
    answer = await seen(shop, session.token, variant)
    assert (answer.headers["cache-control"], why(shop)) == ("private", ["changes are pending"])


async def test_another_token(shop: Shop, emporix: FakeEmporix) -> None:
    """Whoever becomes somebody else in a request loses the variant of before."""
    guest = emporix.new_session(**GUEST).token
    customer = emporix.new_session(**{**GUEST, "currency": "CHF"}, customer_id="jane")

    async def login(ctx: SessionContext, _: Request) -> str:
        await ctx.adopt(StorefrontToken(customer.token, customer.session_id))
        return ""

    async def logout(ctx: SessionContext, _: Request) -> str:
        await ctx.forget()
        return ""

    for handler in (login, logout):
        answer = await seen(shop, guest, EURO, handler=handler)
        assert "session_variant=; Path=/; Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status", "shared"),
    [
        ({}, 200, True),
        ({}, 404, True),
        ({}, 503, False),
        ({"Cache-Control": "no-store"}, 200, False),
        ({"Cache-Control": "private"}, 200, False),
        ({"Cache-Control": "public, s-maxage=3600"}, 200, True),
        ({"Set-Cookie": "a=b"}, 200, False),
        ({"Vary": "*"}, 200, False),
        ({"Vary": "Accept-Encoding, Cookie"}, 200, True),
    ],
    ids=str,
)
async def test_headers_of_the_application(
    shop: Shop, emporix: FakeEmporix, headers: dict[str, str], status: int, shared: bool
) -> None:
    """What the application forbids stays forbidden; what it varies on besides is kept."""

    async def own(ctx: SessionContext, request: Request) -> Response:
        return PlainTextResponse(await page(ctx, request), status, headers)

    answer = await seen(shop, emporix.new_session(**GUEST).token, EURO, handler=own)
    assert (answer.headers["cache-control"] == SHARED) is shared
    if shared:
        assert answer.headers["vary"].endswith("Session-Variant")
        assert ("Accept-Encoding" in answer.headers["vary"]) is ("Accept-Encoding" in headers.get("Vary", ""))
        assert "Cookie" not in answer.headers["vary"]
    elif "public" not in headers.get("Cache-Control", ""):
        assert "public" not in answer.headers["cache-control"]


@pytest.mark.parametrize("strict", [False, True])
async def test_more_is_read_too_late(make_shop: Callable[..., Shop], emporix: FakeEmporix, strict: bool) -> None:
    """Who reads more once a shared response has started is told, or stopped: the page is for everybody."""
    shop = make_shop(strict=strict)
    stopped: list[Exception] = []

    async def streamed(ctx: SessionContext, request: Request) -> Response:
        text = await page(ctx, request)

        async def body() -> AsyncIterator[str]:
            yield text
            try:
                yield ctx.cart_id or "-"
            except SharedCacheLeak as error:
                stopped.append(error)

        return StreamingResponse(body())

    answer = await seen(shop, emporix.new_session(**GUEST, cart_id="cart-1").token, EURO, handler=streamed)
    assert answer.headers["cache-control"] == SHARED
    assert ("cart-1" in answer.text, len(stopped)) == (not strict, int(strict))
    assert [event.name for event in shop.events if event.name == "leak.late"] == ["leak.late"]


@pytest.mark.parametrize("seconds", [-1, 1.5, True, "60", None])
async def test_seconds(shop: Shop, emporix: FakeEmporix, seconds: Any) -> None:
    """Seconds are whole ones, from 0."""

    async def wrong(ctx: SessionContext, _: Request) -> str:
        with pytest.raises(ValueError, match="whole seconds"):
            ctx.share_by_variant(seconds)
        return ""

    await seen(shop, emporix.new_session().token, handler=wrong)


async def test_odd_values(shop: Shop, emporix: FakeEmporix) -> None:
    """Two sites whose codes look alike are two variants, and a code is no header of its own."""
    odd = {**GUEST, "site_code": "a~b;c=d,\u00e4"}
    token = emporix.new_session(**odd).token
    cookie = (await seen(shop, token)).headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert cookie == "acme~a%7Eb%3Bc%3Dd%2C%C3%A4~EUR~de-CH~DE"
    assert (await seen(shop, token, cookie)).headers["cache-control"] == SHARED
