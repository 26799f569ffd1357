"""What a shopper's values look like outside: JSON, templates, FastAPI, copies, pickles, and texts about objects."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import jinja2
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse

from session_ctx_middleware import (
    ContextDocument,
    ContextNotLoaded,
    SessionContext,
    SessionContextMiddleware,
    StorefrontToken,
    forms,
)
from session_ctx_middleware.fastapi import SessionCtx
from session_ctx_middleware.testing import FakeEmporix, FakeSession

from .support.shop import Shop, held

ATTRIBUTES = {"tier": "gold", "layout": {"columns": [1, 2.5, True, None, {"deep": "ä"}]}}
SHOWN = {
    "site_code": "main",
    "currency": "USD",
    "language": "de",
    "target_location": "DE",
    "cart_id": "cart-1",
    "is_logged_in": True,
    "exists": True,
    "attributes": {**ATTRIBUTES, "seen": "home"},
}


@pytest.fixture
async def session(emporix: FakeEmporix) -> FakeSession:
    """A customer's session that has something in every field, and one that this package does not know."""
    created = emporix.new_session(
        site_code="main",
        currency="EUR",
        language="de",
        target_location="DE",
        customer_id="c-1",
        cart_id="cart-1",
        attributes=ATTRIBUTES,
    )
    emporix.edit(created.session_id, legalEntityId={"ids": ["l-1"]})
    return created


async def changed(ctx: SessionContext) -> SessionContext:
    await ctx
    ctx.switch_currency("USD")
    ctx.set_attribute("seen", "home")
    ctx.remove_attribute("never")
    return ctx


def as_json(value: object) -> Any:
    return json.loads(json.dumps(value))


def rendered(value: object) -> Any:
    environment = jinja2.Environment(autoescape=True)
    text = environment.from_string("{{ value | tojson }}").render(value=value)
    return json.loads(text)


def answered(value: object) -> Any:
    return json.loads(bytes(JSONResponse(value).body))


def indented(value: object) -> Any:
    return json.loads(json.dumps(value, indent=2, sort_keys=True))  # which the encoder of Python writes


@pytest.mark.parametrize("way", [as_json, indented, answered, rendered], ids=lambda way: way.__name__)
async def test_json(shop: Shop, session: FakeSession, way: Callable[[object], Any]) -> None:
    """Values, changes and whole objects are JSON for everybody who writes it."""

    async def page(ctx: SessionContext, _: Request) -> None:
        await changed(ctx)
        assert ctx.document is not None
        assert way(ctx.to_dict()) == SHOWN
        assert way(ctx.attributes) == SHOWN["attributes"]
        assert way(ctx.attributes["layout"]) == ATTRIBUTES["layout"]
        assert way(dict(ctx.attributes)) == SHOWN["attributes"]
        assert way(ctx.pending) == {"currency": "USD", "attributes": {"seen": "home", "never": None}}
        assert way(ctx.document.attributes) == ATTRIBUTES
        assert way(ctx.document.extra) == {"legalEntityId": {"ids": ["l-1"]}}
        assert way(ctx.document.to_wire()) == held(shop.emporix, session.session_id)
        assert way(ctx.document.to_dict())["extra"] == {"legalEntityId": {"ids": ["l-1"]}}

    await shop.visit(page, token=session.token)


async def test_context_as_a_dict(shop: Shop, session: FakeSession, emporix: FakeEmporix) -> None:
    """`to_dict` shows what pages show: no session, no customer, no version, and before loading nothing at all."""
    empty = emporix.new_session(exists=False)

    async def page(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(ContextNotLoaded):
            ctx.to_dict()
        assert (await changed(ctx)).to_dict() == dict(ctx) == SHOWN
        mine: Any = ctx.to_dict()
        mine["attributes"]["layout"]["columns"].append("mine")  # a copy
        assert ctx.to_dict() == SHOWN

    async def nothing_there(ctx: SessionContext, _: Request) -> None:
        assert (await ctx).to_dict() == {
            **dict.fromkeys(("site_code", "currency", "language", "target_location", "cart_id")),
            "is_logged_in": False,
            "exists": False,
            "attributes": {},
        }

    await shop.visit(page, token=session.token)
    await shop.visit(nothing_there, token=empty.token)


async def test_document_as_a_dict(shop: Shop, session: FakeSession) -> None:
    """`to_dict` of a document has every field of it under its name, in plain values."""

    async def page(ctx: SessionContext, _: Request) -> None:
        document = (await ctx).document
        assert document is not None
        plain: Any = document.to_dict()
        assert set(plain) == {field.name for field in dataclasses.fields(ContextDocument)} - {"receipts"}
        assert plain["attributes"] == ATTRIBUTES
        assert (plain["session_id"], plain["cart_id"]) == (session.session_id, "cart-1")
        plain["attributes"]["layout"]["columns"].clear()
        assert as_json(document.attributes) == ATTRIBUTES
        assert as_json(dataclasses.asdict(document)) == {**document.to_dict(), "receipts": {}}

    await shop.visit(page, token=session.token)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("first", ["read", "unread"])
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickled], ids=lambda way: way.__name__)
async def test_copies(shop: Shop, session: FakeSession, way: Callable[[Any], Any], first: str) -> None:
    """Documents, attributes and changes can be copied and pickled, and are as unchangeable as before."""

    async def page(ctx: SessionContext, _: Request) -> None:
        await changed(ctx)
        document = ctx.document
        assert document is not None
        if first == "read":
            assert document.attributes
        twin = way(document)
        assert twin == document
        assert as_json(twin.attributes) == ATTRIBUTES
        assert twin.to_wire() == document.to_wire()
        for value in (twin.attributes, way(ctx.attributes), way(ctx.pending), way(ctx.pending)["attributes"]):
            with pytest.raises(TypeError, match="read-only"):
                value["tier"] = "silver"
        with pytest.raises(AttributeError):
            twin.currency = "CHF"

    await shop.visit(page, token=session.token)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickled], ids=lambda way: way.__name__)
async def test_context_cannot_be_copied(shop: Shop, session: FakeSession, way: Callable[[Any], Any]) -> None:
    """A context belongs to its request, and says what to take instead."""

    async def page(ctx: SessionContext, _: Request) -> None:
        for value in (ctx, await ctx, {"ctx": ctx}):
            with pytest.raises(TypeError, match=r"SessionContext .* cannot be copied or pickled.* to_dict\(\)"):
                way({"all": [value]} if way is not copy.copy else ctx)

    await shop.visit(page, token=session.token)


# FastAPI

Endpoint = Callable[[SessionContext], object]
RETURNED: list[tuple[Endpoint, Callable[[Any], object]]] = [
    (lambda ctx: ctx, lambda _: SHOWN),
    (lambda ctx: {"a": [ctx]}, lambda _: {"a": [SHOWN]}),
    (lambda ctx: ctx.attributes, lambda _: SHOWN["attributes"]),
    (lambda ctx: ctx.pending, lambda _: {"currency": "USD", "attributes": {"seen": "home", "never": None}}),
    (lambda ctx: ctx.document, lambda document: {**document, "receipts": {}}),
    (lambda ctx: ctx.to_dict(), lambda _: SHOWN),
]


@pytest.mark.parametrize("annotation", [None, Any], ids=["untyped", "Any"])
@pytest.mark.parametrize(("endpoint", "expected"), RETURNED, ids=range(len(RETURNED)))
async def test_returned_from_fastapi(
    emporix: FakeEmporix,
    session: FakeSession,
    endpoint: Endpoint,
    expected: Callable[[Any], object],
    annotation: Any,
) -> None:
    """An endpoint may return what it was given: FastAPI encodes it itself, or has pydantic do it."""
    documents: list[object] = []
    api = FastAPI()
    api.add_middleware(SessionContextMiddleware, tenant="acme", http_client=emporix.client(httpx2))

    @api.get("/", response_model=annotation)
    async def page(ctx: SessionCtx) -> Any:
        documents.append(ctx.document and ctx.document.to_dict())
        return endpoint(await changed(ctx))

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api), base_url="http://shop") as browser:
        answer = await browser.get("/", headers={"Authorization": f"Bearer {session.token}"})

    assert answer.status_code == 200
    assert answer.json() == as_json(expected(documents[0]))
    assert answer.headers["cache-control"] == "private"


async def test_typed_endpoint(emporix: FakeEmporix, session: FakeSession) -> None:
    """FastAPI checks and encodes them where the endpoint has a type, too."""
    api = FastAPI()
    api.add_middleware(SessionContextMiddleware, tenant="acme", http_client=emporix.client(httpx2))

    @api.get("/")
    async def page(ctx: SessionCtx) -> Mapping[str, Any]:
        return (await changed(ctx)).attributes

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api), base_url="http://shop") as browser:
        answer = await browser.get("/", headers={"Authorization": f"Bearer {session.token}"})

    assert answer.json() == SHOWN["attributes"]


async def test_without_pydantic(shop: Shop, session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at all attributes meets nothing that cannot be imported."""
    monkeypatch.setitem(sys.modules, "pydantic_core", None)
    forms._serializer.cache_clear()

    async def page(ctx: SessionContext, _: Request) -> None:
        names = {name for name, _ in inspect.getmembers(await ctx)}
        assert "currency" in names
        assert "__pydantic_serializer__" not in names

    await shop.visit(page, token=session.token)
    forms._serializer.cache_clear()


# Texts about objects


async def test_repr_is_never_the_same(shop: Shop, session: FakeSession) -> None:
    """What belongs to one shopper tells nothing about itself, and never the same twice."""
    told: list[str] = []

    async def page(ctx: SessionContext, _: Request) -> None:
        await changed(ctx)
        document = ctx.document
        assert document is not None
        objects = [
            ctx,
            document,
            ctx.attributes,
            ctx.attributes["layout"],
            ctx.pending,
            document.attributes,
            document.extra,
            ctx.load,
            StorefrontToken("one-token"),
            ctx._known,
            ctx._changes,
            ctx._changes.operations["currency"],
        ]
        ways: list[Callable[[object], str]] = [repr, str, "{}".format, "{0!s:}".format, lambda each: f"{(each,)}"]
        told.extend(way(each) for each in objects for way in ways for _ in range(2))

    await shop.visit(page, token=session.token)

    assert len(told) == len(set(told)) == 12 * 5 * 2
    assert not [text for text in told for value in ("gold", "USD", "EUR", "home", "c-1", "cart-1") if value in text]
