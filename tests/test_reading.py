"""What a request sees: one load, from whatever is known, and what each layer of it is worth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import (
    CachePolicy,
    ContextDefaults,
    ContextNotLoaded,
    ContextUnavailable,
    SessionContext,
    TokenRejected,
    UnknownField,
)
from session_ctx_middleware.model.frozen_json import dumps
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held


def plain(value: object) -> Any:
    """Return a frozen value as an endpoint would get it from JSON."""
    return json.loads(dumps(value))


DEFAULTS = ContextDefaults(site_code="main", currency="CHF", language="de", target_location="CH")


async def test_untouched_makes_no_call(shop: Shop, emporix: FakeEmporix) -> None:
    """An untouched request makes no call."""
    session = emporix.new_session()

    async def page(_ctx: SessionContext, _: Request) -> str:
        return "static"

    response = await shop.visit(page, token=session.token)

    assert response.text == "static"
    assert emporix.count() == 0
    assert "vary" not in response.headers


async def test_loaded_context(shop: Shop, emporix: FakeEmporix) -> None:
    """A loaded context shows what Emporix holds."""
    session = emporix.new_session(
        site_code="us", currency="USD", language="es", target_location="US", attributes={"tier": {"name": "gold"}}
    )
    seen: dict[str, Any] = {}

    async def page(ctx: SessionContext, _: Request) -> None:
        assert await ctx is ctx
        seen.update(
            fields=(ctx.site_code, ctx.currency, ctx.language, ctx.target_location),
            attributes=plain(ctx.attributes),
            ids=(ctx.session_id, ctx.customer_id, ctx.cart_id),
            flags=(ctx.exists, ctx.is_logged_in, ctx.is_loaded, ctx.is_stale, ctx.is_degraded, ctx.is_rejected),
            version=ctx.version,
            pending=dict(ctx.pending),
        )

    await shop.visit(page, token=session.token)

    assert seen == {
        "fields": ("us", "USD", "es", "US"),
        "attributes": {"tier": {"name": "gold"}},
        "ids": (session.session_id, "ANONYMOUS", None),
        "flags": (True, False, True, False, False, False),
        "version": 1,
        "pending": {},
    }


async def test_a_customer_is_logged_in(shop: Shop, emporix: FakeEmporix) -> None:
    """A customer is logged in."""
    session = emporix.new_session(customer_id="C1")

    async def page(ctx: SessionContext, _: Request) -> str:
        return str((await ctx).is_logged_in)

    assert (await shop.visit(page, token=session.token)).text == "True"


async def test_several_tasks_one_load(shop: Shop, emporix: FakeEmporix) -> None:
    """Loading from several tasks of one request is one load."""
    session = emporix.new_session()

    async def page(ctx: SessionContext, _: Request) -> None:
        await asyncio.gather(*(ctx.load() for _ in range(10)))
        await ctx

    await shop.visit(page, token=session.token)

    assert emporix.count("context.get") == 1


async def test_request_keeps_what_it_loaded(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A request keeps what it loaded, though the cache moves on."""
    shop = make_shop(cache=CachePolicy(ttl=1, stale_while_revalidate=0))
    session = emporix.new_session(currency="EUR")
    seen = []

    async def page(ctx: SessionContext, _: Request) -> None:
        seen.append((await ctx).currency)
        emporix.edit(session.session_id, currency="USD")
        await asyncio.sleep(10)
        seen.append((await ctx).currency)

    await shop.visit(page, token=session.token)

    assert seen == ["EUR", "EUR"]
    assert emporix.count("context.get") == 1


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault(status=500), ContextUnavailable), (Fault(status=401), TokenRejected)]
)
async def test_required_raises(shop: Shop, emporix: FakeEmporix, fault: Fault, error: type[Exception]) -> None:
    """`required=True` raises where a page would do without."""
    session = emporix.new_session()
    emporix.fault("context.get", fault, times=None)

    async def page(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(error):
            await ctx.load(required=True)

    assert (await shop.visit(page, token=session.token)).status_code == 200


async def test_without_a_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Without a token nothing is called, and the defaults show."""
    shop = make_shop(defaults=DEFAULTS)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.exists} {ctx.source('currency')} {ctx.source('cart_id')}"

    assert (await shop.visit(page)).text == "CHF False default unset"
    assert emporix.count() == 0


async def test_reading_before_loading(shop: Shop, emporix: FakeEmporix) -> None:
    """Reading before loading says what to write."""

    async def page(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(ContextNotLoaded, match=r"await request\.state\.session_ctx"):
            assert ctx.currency

    assert (await shop.visit(page, token=emporix.new_session().token)).status_code == 200


async def test_reading_a_change_before_loading(shop: Shop, emporix: FakeEmporix) -> None:
    """What this request has chosen can be read at once, and nothing else."""
    session = emporix.new_session(currency="EUR", language="de")

    async def page(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        assert ctx.currency == "USD"
        with pytest.raises(ContextNotLoaded):
            assert ctx.language

    assert (await shop.visit(page, token=session.token, method="POST")).headers["cache-control"] == "private"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_preload(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """`preload` makes reading possible at once."""
    always = make_shop(preload=True)
    some = make_shop(preload=lambda connection: connection.headers.get("accept") == "text/html")
    session = emporix.new_session(currency="EUR")

    async def page(ctx: SessionContext, _: Request) -> str:
        return ctx.currency or "" if ctx.is_loaded else "not loaded"

    assert (await always.visit(page, token=session.token)).text == "EUR"
    assert (await some.visit(page, token=session.token)).text == "not loaded"
    assert (await some.visit(page, token=session.token, headers={"Accept": "text/html"})).text == "EUR"


async def test_refresh_reads_past_the_cache(shop: Shop, emporix: FakeEmporix) -> None:
    """`refresh` reads past the cache."""
    session = emporix.new_session(currency="EUR")
    seen = []

    async def page(ctx: SessionContext, _: Request) -> None:
        seen.append((await ctx).currency)
        emporix.edit(session.session_id, currency="USD")
        await ctx.refresh()
        seen.append(ctx.currency)

    await shop.visit(page, token=session.token)

    assert seen == ["EUR", "USD"]
    assert await shop.currency(session.token) == "USD"
    assert emporix.count("context.get") == 2


async def test_f42_document_cannot_be_changed(shop: Shop, emporix: FakeEmporix) -> None:
    """F42: A document cannot be changed by a handler."""
    session = emporix.new_session(attributes={"cfg": {"a": "1"}})

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        with pytest.raises(TypeError):
            ctx.attributes["cfg"] = "x"  # type: ignore[index]
        with pytest.raises(TypeError):
            ctx.attributes["cfg"]["a"] = "x"  # type: ignore[index]
        assert ctx.document is not None
        with pytest.raises(AttributeError):
            ctx.document.currency = "XXX"  # type: ignore[misc]
        return str(plain(ctx.attributes))

    for _ in range(2):
        assert (await shop.visit(page, token=session.token)).text == "{'cfg': {'a': '1'}}"


async def test_source_names_each_layer(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """`source` names each layer, and refuses unknown fields."""
    shop = make_shop(defaults=ContextDefaults(currency="CHF", language="de"))
    session = emporix.new_session(currency="EUR", language=None, site_code=None, attributes={"a": "1"})
    seen = {}

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        ctx.switch(target_location="AT")
        ctx.remove_attribute("a")
        names = ("currency", "language", "site_code", "target_location", "attributes.a", "attributes.b", "session_id")
        seen.update({name: ctx.source(name) for name in names})
        ctx.discard()
        seen["attributes.a, kept"] = ctx.source("attributes.a")
        with pytest.raises(UnknownField, match="currency"):
            ctx.source("colour")

    await shop.visit(page, token=session.token)

    assert seen == {
        "currency": "document",
        "language": "default",
        "site_code": "unset",
        "target_location": "change",
        "attributes.a": "change",
        "attributes.b": "unset",
        "session_id": "document",
        "attributes.a, kept": "document",
    }


async def test_cart_created_without_token(shop: Shop) -> None:
    """Reading after `cart_created` without a token is an empty context."""

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx.cart_created("c")
        return str(ctx.cart_id)

    assert (await shop.visit(endpoint)).text == "None"
