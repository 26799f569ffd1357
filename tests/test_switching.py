"""Changes: checked when they are recorded, and sent as one PATCH before the response."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from blockbuster import BlockBuster
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import (
    Commit,
    InvalidChange,
    SessionContext,
)
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop, held, patches
from .support.virtual_time import WALL_START, VirtualClock


async def test_one_patch_before_the_response(shop: Shop, emporix: FakeEmporix) -> None:
    """All changes of a request leave as one PATCH, before the response."""
    session = emporix.new_session(attributes={"kept": "yes"})
    order: list[str] = []

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        await ctx
        ctx.switch_site("us", currency="USD")
        ctx.switch_language("es")
        ctx.switch_location("US")
        ctx.set_attribute("tier", {"name": "gold"})
        order.append(f"patches so far {emporix.count('context.patch')}")
        return PlainTextResponse("done")

    response = await shop.visit(endpoint, token=session.token, method="POST")

    assert response.text == "done"
    assert order == ["patches so far 0"]
    assert patches(emporix) == [
        {
            "siteCode": "us",
            "currency": "USD",
            "language": "es",
            "targetLocation": "US",
            "context": {"kept": "yes", "tier": {"name": "gold"}},
            "metadata": {"version": 1},
        }
    ]
    assert emporix.count("context.get") == 1


async def test_shows_at_once_and_after(shop: Shop, emporix: FakeEmporix) -> None:
    """A change shows at once, and from then on."""
    session = emporix.new_session(currency="EUR")
    seen: list[object] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        ctx.switch_currency("USD")
        seen.append((ctx.currency, ctx.source("currency"), dict(ctx.pending)))
        seen.append(await ctx.commit())
        seen.append((ctx.currency, ctx.source("currency"), dict(ctx.pending)))

    await shop.visit(endpoint, token=session.token)

    assert seen == [
        ("USD", "change", {"currency": "USD"}),
        Commit.APPLIED,
        ("USD", "document", {}),
    ]
    assert await shop.currency(session.token) == "USD"
    assert emporix.count("context.patch") == 1


async def test_next_read_asks(shop: Shop, emporix: FakeEmporix) -> None:
    """After a commit the next read asks Emporix."""
    session = emporix.new_session(currency="EUR")
    await shop.switch(session.token, currency="USD")
    emporix.edit(session.session_id, language="fr")
    emporix.clear_calls()

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}"

    assert (await shop.visit(page, token=session.token)).text == "USD fr"
    assert emporix.count("context.get") == 1


async def test_attribute_map_is_merged(shop: Shop, emporix: FakeEmporix) -> None:
    """The attribute map is merged, because Emporix replaces it."""
    session = emporix.new_session(attributes={"a": "1", "b": "2", "c": "3"})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("a", "new")
        ctx.remove_attribute("b")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"a": "new", "c": "3"}


async def test_known_value_costs_no_patch(shop: Shop, emporix: FakeEmporix) -> None:
    """A value that is known to be there already costs no PATCH."""
    session = emporix.new_session(currency="EUR")
    outcome = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("EUR")
        await asyncio.sleep(0.001)
        outcome.append(await ctx.commit())

    await shop.visit(endpoint, token=session.token)

    assert outcome == [Commit.ALREADY]
    assert emporix.count("context.patch") == 0


async def test_cache_proves_nothing(shop: Shop, emporix: FakeEmporix) -> None:
    """A cached document does not prove that a value is there."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")

    await shop.switch(session.token, currency="EUR")

    assert held(emporix, session.session_id)["currency"] == "EUR"


async def test_discard(shop: Shop, emporix: FakeEmporix) -> None:
    """`discard` forgets the changes of this request."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.switch_currency("USD")
        ctx.discard()
        return f"{ctx.currency} {await ctx.commit()}"

    assert (await shop.visit(endpoint, token=session.token)).text == "EUR Commit.NOTHING"
    assert emporix.count("context.patch") == 0


BAD_CHANGES: list[Callable[[SessionContext], None]] = [
    lambda ctx: ctx.switch(currency="usd"),
    lambda ctx: ctx.switch(currency="EURO"),
    lambda ctx: ctx.switch(currency="EUR\n"),
    lambda ctx: ctx.switch_currency(None),  # type: ignore[arg-type]
    lambda ctx: ctx.switch(target_location="Germany"),
    lambda ctx: ctx.switch(language="english please"),
    lambda ctx: ctx.switch(language="x"),
    lambda ctx: ctx.switch(site_code="a b"),
    lambda ctx: ctx.switch(site_code="a#b"),
    lambda ctx: ctx.switch(site_code="x" * 65),
    lambda ctx: ctx.switch(site_code=""),
    lambda ctx: ctx.switch_site(3),  # type: ignore[arg-type]
    lambda ctx: ctx.set_attribute("", "x"),
    lambda ctx: ctx.set_attribute("k" * 65, "x"),
    lambda ctx: ctx.set_attribute("a\nb", "x"),
    lambda ctx: ctx.set_attribute("k", 3),  # type: ignore[arg-type]
    lambda ctx: ctx.set_attribute("k", ["x"]),  # type: ignore[arg-type]
    lambda ctx: ctx.set_attribute("k", {"x": float("nan")}),
    lambda ctx: ctx.set_attribute("k", {"x": object()}),
    lambda ctx: ctx.set_attribute("k", {1: "x"}),  # type: ignore[dict-item]
    lambda ctx: ctx.set_attribute("k", "x" * 9000),
    lambda ctx: ctx.remove_attribute(""),
]


@pytest.mark.parametrize("change", BAD_CHANGES)
async def test_bad_value_spoils_nothing_else(
    shop: Shop, emporix: FakeEmporix, change: Callable[[SessionContext], None]
) -> None:
    """A bad value is refused when it is recorded, and nothing else is lost."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(language="fr")
        with pytest.raises(InvalidChange):
            change(ctx)

    await shop.visit(endpoint, token=session.token)

    assert patches(emporix) == [{"language": "fr", "metadata": {"version": 1}}]


async def test_bad_switch_records_none(shop: Shop, emporix: FakeEmporix) -> None:
    """A switch with one bad value records none."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(InvalidChange):
            ctx.switch(currency="USD", target_location="nowhere")

    await shop.visit(endpoint, token=emporix.new_session().token)

    assert emporix.count() == 0


async def test_number_too_large(shop: Shop, emporix: FakeEmporix) -> None:
    """A number that is too large is an `InvalidChange`."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(InvalidChange):
            ctx.set_attribute("k", {"n": 10**5000})

    await shop.visit(endpoint, token=emporix.new_session().token)


async def test_at_most_64_attributes(shop: Shop, emporix: FakeEmporix) -> None:
    """There are at most 64 attributes."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        for number in range(64):
            ctx.set_attribute(f"k{number}", "v")
        with pytest.raises(InvalidChange, match="64"):
            ctx.set_attribute("one more", "v")

    session = emporix.new_session()
    await shop.visit(endpoint, token=session.token)

    assert len(held(emporix, session.session_id)["context"]) == 64


async def test_attribute_is_copied(shop: Shop, emporix: FakeEmporix) -> None:
    """An attribute is copied when recorded."""
    session = emporix.new_session()

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        value = {"list": ["a"]}
        ctx.set_attribute("k", value)
        value["list"].append("b")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"k": {"list": ["a"]}}


async def test_threads_of_one_request(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Threads of one request do not lose each other's changes."""
    inside: list[int] = [0, 0]

    class Slow(VirtualClock):
        """Gives the other thread time to come in between."""

        def time(self) -> float:
            if threading.current_thread() is threading.main_thread():
                return super().time()
            inside[0] += 1
            inside[1] = max(inside)
            time.sleep(0.05)
            inside[0] -= 1
            return 0.0

        def monotonic(self) -> float:
            return super().monotonic() if threading.current_thread() is threading.main_thread() else 0.0

    shop = make_shop(clock=Slow())
    session = emporix.new_session(currency="EUR", language="en")
    seen: list[Any] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        await asyncio.gather(
            asyncio.to_thread(ctx.switch_currency, "USD"), asyncio.to_thread(ctx.switch_language, "fr")
        )
        seen.append(dict(ctx.pending))

    await shop.visit(endpoint, token=session.token)

    assert seen == [{"currency": "USD", "language": "fr"}]
    assert inside[1] == 1


async def test_thread_beside_a_commit(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch, blockbuster: BlockBuster
) -> None:
    """What a thread records while the loop notes what was sent is not lost."""
    blockbuster.deactivate()  # the loop is made to give the thread time
    session = emporix.new_session(currency="EUR", language="en")
    noting = threading.Event()
    original = ContextChanges.minus

    def slowly(self: ContextChanges, other: ContextChanges) -> ContextChanges:
        left = original(self, other)
        if sys._getframe(1).f_code.co_filename.endswith("lifecycle.py"):
            noting.set()
            time.sleep(0.05)
        return left

    monkeypatch.setattr(ContextChanges, "minus", slowly)

    class Still(VirtualClock):
        """Can be read in a thread, too."""

        def time(self) -> float:
            return super().time() if threading.current_thread() is threading.main_thread() else WALL_START + 1

        def monotonic(self) -> float:
            return super().monotonic() if threading.current_thread() is threading.main_thread() else 1.0

    shop = make_shop(clock=Still())

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        def record() -> None:
            noting.wait(60)
            ctx.switch_language("fr")

        recording = asyncio.create_task(asyncio.to_thread(record))
        ctx.switch_currency("USD")
        await ctx.commit()
        await recording

    await shop.visit(endpoint, token=session.token)

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")


async def test_change_while_the_token_is_sought(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What a visitor without a token chooses while a commit finds that out is kept as well."""

    async def nobody(_: object) -> None:
        await asyncio.sleep(0.1)

    shop = make_shop(token=nobody, secret_key="k" * 32)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        committing = asyncio.create_task(ctx.commit())
        await asyncio.sleep(0.05)
        ctx.switch_language("fr")
        assert await committing is Commit.PARKED

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}"

    await shop.visit(endpoint)

    assert (await shop.visit(page)).text == "USD fr"
