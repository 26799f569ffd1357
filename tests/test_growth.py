"""Attributes do not grow to where nobody could read the session context any more, and can always be taken out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import Commit, ContextFull, InvalidChange, SessionContext
from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.emporix.transport import MAX_BODY
from session_ctx_middleware.model.room import MAX_CONTEXT
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .support.shop import Shop, held, patches

LETTERS = "x" * 7_000


def size(emporix: FakeEmporix, session: FakeSession) -> int:
    """Return how many bytes Emporix' answer takes."""
    return len(json.dumps(held(emporix, session.session_id)))


def full(emporix: FakeEmporix) -> FakeSession:
    """Return a session whose context has no room for one more attribute of 7,000 letters."""
    attributes = {f"k{number}": LETTERS for number in range(MAX_CONTEXT // 7_050)}
    return emporix.new_session(attributes={**attributes, "filling": "f" * 3_000})


async def page(ctx: SessionContext, _: Request) -> str:
    await ctx
    return f"{ctx.currency} {len(ctx.attributes)} {ctx.is_degraded}"


@pytest.mark.parametrize("loads", [True, False])
@pytest.mark.parametrize("letter", ["x", "ü", "€", "𝄞"])
async def test_attributes_grow_with_every_page(letter: str, loads: bool, shop: Shop, emporix: FakeEmporix) -> None:
    """A shop that adds an attribute with every page is refused in time, however Emporix writes what is in them."""
    session = emporix.new_session(currency="EUR")
    refused = 0

    for number in range(100):

        async def endpoint(ctx: SessionContext, _: Request, number: int = number) -> str:
            if loads:
                await ctx
            ctx.set_attribute(f"k{number}", letter * (7_000 // len(json.dumps(letter)[1:-1])))
            return "recorded"

        refused += (await shop.visit(endpoint, token=session.token)).text != "recorded"

    assert MAX_CONTEXT / 8 < size(emporix, session) < MAX_BODY
    assert (await shop.visit(page, token=session.token)).text.startswith("EUR ")
    if loads:
        assert refused > 10
    else:
        assert len([event for event in shop.named("commit.refused") if event.outcome == "ContextFull"]) > 10


async def test_recording_into_a_full_context(shop: Shop, emporix: FakeEmporix) -> None:
    """Where the context is loaded, the one more is refused at once, and the rest of the request is not."""
    session = full(emporix)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        with pytest.raises(InvalidChange, match="Remove attributes first"):
            ctx.set_attribute("more", LETTERS)
        ctx.set_attribute("small", "1")
        ctx.switch(currency="USD")

    await shop.visit(endpoint, token=session.token)

    document = held(emporix, session.session_id)
    assert (document["currency"], document["context"]["small"], "more" in document["context"]) == ("USD", "1", False)


async def test_committing_into_a_full_context(
    shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is not, the commit is refused without a call, and told with the remedy."""
    session = full(emporix)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("more", LETTERS)
        with pytest.raises(ContextFull, match="remove attributes"):
            await ctx.commit()

    async def blind(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("more", LETTERS)

    await shop.visit(endpoint, token=session.token)
    await shop.visit(blind, token=session.token)

    assert patches(emporix) == []
    assert [event.outcome for event in shop.named("commit.refused")] == ["ContextFull"] * 2
    assert "Remove attributes before setting more" in caplog.text
    assert "more" not in held(emporix, session.session_id)["context"]


def remove_and_set(ctx: SessionContext) -> None:
    ctx.remove_attribute("k1")
    ctx.set_attribute("more", LETTERS[:-10])


WAYS: dict[str, Callable[[SessionContext], None]] = {
    "remove": lambda ctx: ctx.remove_attribute("k1"),
    "replace by less": lambda ctx: ctx.set_attribute("k1", "1"),
    "replace by as much": lambda ctx: ctx.set_attribute("k1", "y" * 7_000),
    "remove and set": remove_and_set,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("over", [0, 12_000], ids=["full", "more than full"])
@pytest.mark.parametrize("loads", [True, False])
async def test_what_does_not_grow_is_taken(
    way: Callable[[SessionContext], None], over: int, loads: bool, shop: Shop, emporix: FakeEmporix
) -> None:
    """Whatever leaves a full context no larger is taken, and so is every switch."""
    session = full(emporix)
    before = held(emporix, session.session_id)["context"]
    emporix.edit(session.session_id, context={**before, "foreign": "f" * over})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        if loads:
            await ctx
        way(ctx)
        ctx.switch(currency="USD")
        assert await ctx.commit() is Commit.APPLIED

    await shop.visit(endpoint, token=session.token)

    document = held(emporix, session.session_id)
    assert document["currency"] == "USD"
    assert document["context"].get("k1") != "x" * 7_000


async def test_parked_attributes_that_have_no_room(shop: Shop, emporix: FakeEmporix) -> None:
    """An attribute that waited until there was no room any more takes no switch with it."""
    session = full(emporix)
    attributes = held(emporix, session.session_id)["context"]
    emporix.delete_context(session.session_id)

    async def early(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("more", LETTERS)

    await shop.visit(early, token=session.token)
    emporix.create_context(session.session_id, attributes=attributes)
    await asyncio.sleep(5)
    await shop.switch(session.token, currency="USD")

    document = held(emporix, session.session_id)
    assert (document["currency"], "more" in document["context"]) == ("USD", False)
    assert [(event.operation, event.outcome) for event in shop.named("commit.refused")] == [("parked", "ContextFull")]


async def test_context_that_cannot_be_read(
    shop: Shop, emporix: FakeEmporix, http_library: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One that others made too large is an outage, told with the remedy; and the remedy works."""
    session = emporix.new_session(currency="EUR", attributes={"a": "x" * MAX_BODY, "b": "1"})

    assert (await shop.visit(page, token=session.token)).text == "None 0 True"
    assert "OwnContextClient.remove_attribute(token, key)" in caplog.text
    async with emporix.client(http_library, base_url="http://emporix.test") as client:
        await OwnContextClient("acme", http_client=client).remove_attribute(session.token, "a")
    await asyncio.sleep(10)
    assert (await shop.visit(page, token=session.token)).text == "EUR 1 False"


async def test_switch_of_a_context_that_cannot_be_read(shop: Shop, emporix: FakeEmporix) -> None:
    """A switch waits until it can be read again."""
    session = emporix.new_session(currency="EUR", attributes={"a": "x" * MAX_BODY})
    await shop.switch(session.token, currency="USD")
    assert shop.named("commit.parked")

    emporix.edit(session.session_id, context={})
    await asyncio.sleep(30)
    assert await shop.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"


def test_limits() -> None:
    """What is allowed to grow can be read, with some room for what others write."""
    assert MAX_CONTEXT + 16 * 1024 <= MAX_BODY


async def test_large_answer_is_read_to_the_limit(shop: Shop, emporix: FakeEmporix) -> None:
    """An answer of just the limit is read, and one byte more is not."""
    for more, text in ((0, "EUR 1 False"), (1, "None 0 True")):
        session = emporix.new_session()
        body = b'{"currency": "EUR", "context": {"a": "1"}, "metadata": {"version": 1}}'
        emporix.fault("context.get", Fault(body=body.ljust(MAX_BODY + more)), times=1)
        assert (await shop.visit(page, token=session.token)).text == text
