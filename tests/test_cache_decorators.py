"""An application's own cache decorators: none of them gives one shopper's page to another one.

They build their keys from what they are given, by `repr`, `str` or `format`; the objects of a shopper have one of their
own for each call.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import aiocache
import cashews
import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi_cache import FastAPICache
from fastapi_cache.backends.inmemory import InMemoryBackend
from fastapi_cache.decorator import cache as fastapi_cached
from starlette.requests import Request

from session_ctx_middleware import CookieToken, SessionContext, SessionContextMiddleware, StorefrontToken
from session_ctx_middleware.fastapi import SessionCtx
from session_ctx_middleware.testing import FakeEmporix, FakeSession

from .support.shop import Shop

Page = Callable[[Any], Awaitable[str]]
Decorate = Callable[[Page], Any]


@pytest.fixture
async def aiocached() -> AsyncIterator[Decorate]:
    decorate: Any = aiocache.cached(ttl=60, cache=aiocache.Cache.MEMORY, namespace="pages")
    yield decorate
    await decorate.cache.clear()


@pytest.fixture
async def cashewed() -> AsyncIterator[Decorate]:
    cache = cashews.Cache()
    cache.setup("mem://", check_interval=0)
    yield cache(ttl="1m")
    await cache.close()


@pytest.fixture
async def fastapi_cache() -> AsyncIterator[Decorate]:
    FastAPICache.reset()
    FastAPICache.init(InMemoryBackend())
    yield fastapi_cached(expire=60)
    await FastAPICache.clear()
    FastAPICache.reset()


@pytest.fixture(params=["aiocached", "cashewed", "fastapi_cache"])
def decorate(request: pytest.FixtureRequest) -> Decorate:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def shoppers(emporix: FakeEmporix) -> list[FakeSession]:
    return [
        emporix.new_session(
            currency=currency, customer_id=f"customer-{currency}", attributes={"of": {"name": currency}}
        )
        for currency in ("EUR", "USD")
    ]


async def everything(ctx: SessionContext) -> list[Any]:
    """Return what a page may be given of one shopper."""
    await ctx
    ctx.set_attribute("seen", ctx.currency or "")
    return [ctx, ctx.document, ctx.attributes, ctx.attributes["of"], ctx.pending]


def names(value: Any) -> str:
    """Return what is in there of a shopper, whatever it is."""
    if isinstance(value, SessionContext):
        return f"{value.currency} {value.customer_id} {value.session_id}"
    return json.dumps(value.to_dict() if hasattr(value, "to_dict") else value)


@pytest.mark.parametrize("which", range(5), ids=["context", "document", "attributes", "attribute", "pending"])
async def test_what_a_page_is_given(shop: Shop, emporix: FakeEmporix, decorate: Decorate, which: int) -> None:
    """However often they come, each shopper gets a page of their own, though objects and addresses are used again."""

    @decorate
    async def render(given: Any) -> str:
        return names(given)

    async def page(ctx: SessionContext, _: Request) -> str:
        given = (await everything(ctx))[which]
        shown: str = await render(given)
        ctx.discard()
        assert shown == names(given) or which > 1
        return shown

    pages = [[(await shop.visit(page, token=one.token)).text for one in shoppers(emporix)] for _ in range(3)]

    assert [("EUR" in first, "USD" in first) for first, _ in pages] == [(True, False)] * 3
    assert [("EUR" in second, "USD" in second) for _, second in pages] == [(False, True)] * 3


async def test_token(decorate: Decorate) -> None:
    """A token is no key either, though its text tells nothing."""

    @decorate
    async def owner(token: StorefrontToken) -> str:
        return token.value

    assert [await owner(StorefrontToken(name)) for name in ("one", "two", "one")] == ["one", "two", "one"]


async def test_endpoint(emporix: FakeEmporix, fastapi_cache: Decorate) -> None:
    """An endpoint of FastAPI that is cached as a whole, and takes the context as a parameter."""
    api = FastAPI()
    api.add_middleware(
        SessionContextMiddleware, tenant="acme", token=CookieToken("t"), http_client=emporix.client(httpx2)
    )

    @api.get("/")
    @fastapi_cached(expire=60)
    async def page(ctx: SessionCtx) -> dict[str, str | None]:
        return {"currency": ctx.currency, "customer": ctx.customer_id}

    @api.get("/document")
    @fastapi_cached(expire=60)
    async def document(document: Annotated[Any, Depends(document_of)]) -> dict[str, str | None]:
        return {"currency": document.currency, "customer": document.customer_id}

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api), base_url="http://shop") as browser:
        for path in ("/", "/document"):
            for session, currency in [*zip(shoppers(emporix), ("EUR", "USD"), strict=True)] * 2:
                answer = await browser.get(path, headers={"Cookie": f"t={session.token}"})
                assert answer.json() == {"currency": currency, "customer": f"customer-{currency}"}
                assert answer.headers["cache-control"].startswith("private")
                etag = {"Cookie": f"t={session.token}", "If-None-Match": answer.headers["etag"]}
                assert (await browser.get(path, headers=etag)).status_code == 200


def document_of(ctx: SessionCtx) -> object:
    return ctx.document
