"""A personal response stays out of caches that serve everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from session_ctx_middleware import (
    BearerToken,
    CookieToken,
    SessionContext,
    SharedCacheLeak,
)
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop


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


async def test_loading_alone_is_not(shop: Shop, emporix: FakeEmporix) -> None:
    """Loading without reading leaves the headers alone."""
    page = page_with({"Cache-Control": "public, max-age=60"}, read=False)

    response = await shop.visit(page, token=emporix.new_session().token)  # type: ignore[arg-type]

    assert response.headers["cache-control"] == "public, max-age=60"
    assert "vary" not in response.headers


@pytest.mark.parametrize(
    ("given", "sent", "leak"),
    [
        ("public, max-age=60", "private, max-age=60", True),
        ("max-age=60, s-maxage=600", "private, max-age=60", True),
        ("PUBLIC", "private", True),
        ("max-age=60", "private, max-age=60", False),
        ("private, max-age=5", "private, max-age=5", False),
        ("no-store", "no-store", False),
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


@pytest.mark.parametrize("name", ["CDN-Cache-Control", "Surrogate-Control", "Cloudflare-CDN-Cache-Control"])
async def test_targeted_headers(shop: Shop, emporix: FakeEmporix, name: str) -> None:
    """Headers for one kind of cache are closed."""
    page = page_with({name: "max-age=600"})

    response = await shop.visit(page, token=emporix.new_session().token)  # type: ignore[arg-type]

    assert response.headers[name] == "no-store"
    assert shop.named("leak.prevented")


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


async def test_streaming_page(shop: Shop, emporix: FakeEmporix) -> None:
    """A page that reads while it streams is private, or reported."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        await ctx

        async def body() -> AsyncIterator[str]:
            yield f"{ctx.currency} {ctx.customer_id}"

        return StreamingResponse(body(), headers={"Cache-Control": "public, max-age=600"})

    response = await shop.visit(endpoint, token=session.token)

    reported = shop.named("leak.late") or shop.named("leak.prevented")
    assert "public" not in response.headers["cache-control"] or reported


@pytest.mark.parametrize("name", ["X-Accel-Expires", "Edge-Control"])
async def test_other_shared_caches(shop: Shop, emporix: FakeEmporix, name: str) -> None:
    """Other headers that invite shared caches are closed."""

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        return PlainTextResponse((await ctx).currency, headers={name: "600" if "Accel" in name else "max-age=600"})

    response = await shop.visit(endpoint, token=emporix.new_session().token)

    assert "600" not in response.headers.get(name, "")


async def test_qualified_private(shop: Shop, emporix: FakeEmporix) -> None:
    """A qualified `private` does not close a targeted header."""

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        return PlainTextResponse(
            (await ctx).currency, headers={"CDN-Cache-Control": 'private="set-cookie", max-age=600'}
        )

    response = await shop.visit(endpoint, token=emporix.new_session().token)

    assert "600" not in response.headers["cdn-cache-control"]
