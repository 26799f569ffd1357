"""A personal response stays out of caches that serve everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import (
    BearerToken,
    CookieToken,
    SessionContext,
    SharedCacheLeak,
)
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop

Way = Callable[[SessionContext], Awaitable[object]]


async def awaiting(ctx: SessionContext) -> None:
    await ctx


WAYS: list[Way] = [
    awaiting,
    SessionContext.load,
    SessionContext.refresh,
    SessionContext.cart_created,
    SessionContext.forget,
]


def page_with(headers: dict[str, str], *, read: bool = True, change: bool = False) -> Callable[..., object]:
    async def page(ctx: SessionContext, _: Request) -> Response:
        await ctx
        if read:
            assert ctx.currency
        if change:
            ctx.switch_currency("USD")
        return PlainTextResponse("x", headers=headers)

    return page


async def test_touched_is_private(shop: Shop, emporix: FakeEmporix) -> None:
    """A read or a change makes the response private and varying."""
    token = emporix.new_session().token

    for page in (page_with({}), page_with({}, read=False, change=True)):
        response = await shop.visit(page, token=token)  # type: ignore[arg-type]
        assert (response.headers["cache-control"], response.headers["vary"]) == ("private", "Authorization")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_touching_without_reading(shop: Shop, emporix: FakeEmporix, way: Way) -> None:
    """Whoever loads means to read, perhaps later, while the body goes out; and a logout is for one shopper, too."""

    async def page(ctx: SessionContext, _: Request) -> Response:
        await way(ctx)
        return PlainTextResponse("x", headers={"Cache-Control": "max-age=60"})

    response = await shop.visit(page, token=emporix.new_session().token)

    assert (response.headers["cache-control"], response.headers["vary"]) == ("private, max-age=60", "Authorization")


async def test_preload_alone_is_not(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What was loaded ahead of the application makes nothing private until somebody reads it."""
    shop, token = make_shop(preload=True), emporix.new_session(currency="EUR").token

    async def page(ctx: SessionContext, request: Request) -> Response:
        assert ctx.is_loaded
        text = ctx.currency if request.method == "POST" else "the same for all"
        return PlainTextResponse(text, headers={"Cache-Control": "public, max-age=60"})

    untouched = await shop.visit(page, token=token)
    read = await shop.visit(page, token=token, method="POST")

    assert untouched.headers["cache-control"] == "public, max-age=60"
    assert "vary" not in untouched.headers
    assert read.headers["cache-control"] == "private, max-age=60"


@pytest.mark.parametrize(
    ("given", "sent", "leak"),
    [
        ("public, max-age=60", "private, max-age=60", True),
        ("max-age=60, s-maxage=600", "private, max-age=60", True),
        ("PUBLIC", "private", True),
        ("max-age=60", "private, max-age=60", False),
        ("private, max-age=5", "private, max-age=5", False),
        ("no-store", "no-store", False),
        ("must-understand, no-store, max-age=60", "private, must-understand, no-store, max-age=60", False),
        ("public, no-store", "no-store", True),
        ('private="set-cookie", max-age=60', 'private, private="set-cookie", max-age=60', False),
        ('ext="unended, private', 'private, ext="unended, private', False),
        ('private, ext="unended', 'private, ext="unended', False),
    ],
)
async def test_cache_control_is_repaired(
    shop: Shop, emporix: FakeEmporix, given: str, sent: str, *, leak: bool
) -> None:
    """Cache-Control is repaired."""
    page = page_with({"Cache-Control": given})

    response = await shop.visit(page, token=emporix.new_session().token)  # type: ignore[arg-type]

    assert response.headers["cache-control"] == sent
    assert bool(shop.named("leak.prevented")) is leak


CLOSED = "no-store, no-cache"


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("CDN-Cache-Control", "max-age=600", CLOSED),
        ("Cloudflare-CDN-Cache-Control", "max-age=600", CLOSED),
        ("Netlify-CDN-Cache-Control", "public, durable, s-maxage=600", CLOSED),
        ("Vercel-CDN-Cache-Control", "max-age=600", CLOSED),
        ("Fastly-Cache-Control", "max-age=600", CLOSED),
        ("Souin-Cache-Control", "max-age=600", CLOSED),
        ("Caddy-Cache-Control", "max-age=600", CLOSED),
        ("X-LiteSpeed-Cache-Control", "public, max-age=600", CLOSED),
        ("X-LiteSpeed-Cache-Control", "esi=on, public, max-age=600", f"{CLOSED}, esi=on"),
        ("X-Magento-Cache-Control", "max-age=600, public", CLOSED),
        ("Surrogate-Control", "max-age=600+30", CLOSED),
        ("Surrogate-Control", 'max-age=600, content="ESI/1.0, x"', f'{CLOSED}, content="ESI/1.0, x"'),
        ("Surrogate-Control", 'content="ESI/1.0', CLOSED),
        ("Edge-Control", "!no-store, cache-maxage=7d", CLOSED),
        ("Edge-Control", "max-age=600", CLOSED),
        ("CDN-Cache-Control", 'private="set-cookie", max-age=600', CLOSED),
        ("CDN-Cache-Control", "no-store;x, max-age=600", CLOSED),
        ("CDN-Cache-Control", "must-understand, no-store, max-age=600", CLOSED),
        ("X-Accel-Expires", "600", "0"),
        ("X-Accel-Expires", "@1700000000", "0"),
        ("X-Accel-Expires", "off", "0"),
        ("X-Cache-TTL", "600", "0"),
        ("X-Varnish-TTL", "10m", "0"),
        ("X-Reverse-Proxy-TTL", "600", "0"),
        ("X-VC-TTL", "600", "0"),
        ("X-Edge-Max-Age", "600", "0"),
        ("X-Cache-Lifetime", "600", "0"),
        ("X-TTL", "600", "0"),
    ],
)
async def test_fields_for_one_kind_of_cache(shop: Shop, emporix: FakeEmporix, name: str, given: str, sent: str) -> None:
    """A field for one kind of cache, or for one product, is closed and reported, whoever makes the product."""
    response = await shop.visit(page_with({name: given}), token=emporix.new_session().token)  # type: ignore[arg-type]

    assert response.headers[name] == sent
    assert len(shop.named("leak.prevented")) == 1


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("CDN-Cache-Control", "private", CLOSED),
        ("CDN-Cache-Control", "no-store, no-store=?0, max-age=600", CLOSED),  # a later key counts (RFC 8941)
        ("X-LiteSpeed-Cache-Control", "private, max-age=600", CLOSED),  # which LiteSpeed would keep itself
        ("Edge-Control", "no-store", CLOSED),
        ("X-Accel-Expires", "0", "0"),
    ],
)
async def test_closed_for_every_product(shop: Shop, emporix: FakeEmporix, name: str, given: str, sent: str) -> None:
    """What the application has closed is no leak, and is closed for those as well who read it in another way."""
    response = await shop.visit(page_with({name: given}), token=emporix.new_session().token)  # type: ignore[arg-type]

    assert response.headers[name] == sent
    assert not shop.named("leak.prevented")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-DNS-Prefetch-Control", "off"),
        ("Access-Control-Max-Age", "600"),
        ("X-Token-Expires", "600"),
        ("X-Session-TTL", "600"),
        ("Expires", "Thu, 01 Dec 2044 16:00:00 GMT"),
        ("Surrogate-Key", "home"),
        ("Cache-Tag", "home"),
        ("X-Cache-Status", "MISS"),
        ("X-Accel-Buffering", "no"),
    ],
)
async def test_other_fields(shop: Shop, emporix: FakeEmporix, name: str, value: str) -> None:
    """What does not say for how long a response may be kept stays as it is."""
    response = await shop.visit(page_with({name: value}), token=emporix.new_session().token)  # type: ignore[arg-type]

    assert response.headers[name] == value
    assert response.headers["cache-control"] == "private"
    assert not shop.named("leak.prevented")


async def test_strict_mode_raises_instead(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Strict mode raises instead of repairing."""
    shop = make_shop(strict=True)

    with pytest.raises(SharedCacheLeak, match="s-maxage"):
        await shop.visit(page_with({"Cache-Control": "public"}), token=emporix.new_session().token)  # type: ignore[arg-type]


async def test_vary_names_token_headers(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """`Vary` names every header that a token may come from."""
    token = emporix.new_session().token
    page = page_with({"Vary": "Accept-Language, Cookie"})

    both = await make_shop(token=[CookieToken("t"), BearerToken()]).visit(page, token=token)  # type: ignore[arg-type]
    own = await make_shop(token=lambda _: token).visit(page)  # type: ignore[arg-type]

    assert both.headers["vary"] == "Accept-Language, Cookie, Authorization"
    assert own.headers["vary"] == "Accept-Language, Cookie, Authorization"
