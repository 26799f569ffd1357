"""Whose choice it is that waits, for how long, and what makes it be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from session_ctx_middleware import (
    SessionContext,
)
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held
from .support.virtual_time import VirtualClock


async def test_follows_a_refreshed_token(shop: Shop, emporix: FakeEmporix) -> None:
    """Parked changes follow a refreshed token of the session."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(emporix.new_token(session.session_id)) == "USD"


async def test_before_the_session_was_known(shop: Shop, emporix: FakeEmporix) -> None:
    """A choice parked before the session was known follows a refreshed token."""
    session = emporix.new_session(exists=False)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(session.token, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(100)
    assert await shop.currency(session.token) == "USD"  # the answer, a 404, says which session this is
    other = emporix.new_token(session.session_id)

    assert await shop.currency(other) == "USD"


async def test_shown_to_tokens_that_have_looked(shop: Shop, emporix: FakeEmporix) -> None:
    """A choice parked before the session was known is shown to tokens of it that had looked for parked ones already."""
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(other, currency="USD")
    emporix.clear_faults()

    async def refresh(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()  # too early for another PATCH

    await shop.visit(refresh, token=other)

    assert await shop.currency(session.token) == "USD"


async def test_session_told_long_ago(shop: Shop, emporix: FakeEmporix) -> None:
    """A choice follows a refreshed token, however long ago it was that Emporix told the session."""
    session = emporix.new_session(exists=False)
    await shop.currency(session.token)  # the answer, a 404, says which session this is
    await asyncio.sleep(100)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(session.token, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(100)

    assert await shop.currency(emporix.new_token(session.session_id)) == "USD"


async def test_session_told_to_another_instance(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """While Emporix is down, an instance knows which session a token is of if another one of the process was told."""
    store = MemoryStore(clock=VirtualClock())
    told, other = make_shop(store=store), make_shop(store=store)
    session = emporix.new_session(exists=False)
    await told.switch(session.token, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await other.currency(session.token) == "USD"


async def test_older_choice_of_another_token(shop: Shop, emporix: FakeEmporix) -> None:
    """An older choice parked for one token does not overwrite a newer one of the session."""
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(other, currency="USD")  # parked: Emporix is down, and the token is new here
    emporix.clear_faults()
    await asyncio.sleep(30)
    await shop.switch(session.token, currency="CHF")
    assert held(emporix, session.session_id)["currency"] == "CHF"

    await shop.currency(other)
    await asyncio.sleep(10)

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_older_choice_stays_away(shop: Shop, emporix: FakeEmporix) -> None:
    """An older choice parked for one token does not come back when all else is forgotten."""
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    emporix.fault("context.get", Fault(status=503), times=2)
    await shop.switch(session.token, currency="USD")  # parked: nobody knows yet which session this is
    await asyncio.sleep(30)
    await shop.switch(other, currency="CHF")
    assert await shop.currency(session.token) == "CHF"
    await asyncio.sleep(3600)  # no slot is left that remembers
    for _ in range(2):
        assert await shop.currency(session.token) == "CHF"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_passing_refusal(shop: Shop, emporix: FakeEmporix) -> None:
    """Parked changes survive a passing refusal of the token."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(1.9)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx.refresh()
        return ctx.currency or ""

    emporix.fault("context.get", Fault(status=401), times=1)
    await shop.visit(page, token=session.token)

    assert (await shop.visit(page, token=session.token)).text == "USD"


async def test_kept_for_a_day(shop: Shop, emporix: FakeEmporix) -> None:
    """Parked changes are kept for a day."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    await asyncio.sleep(23 * 3600)
    emporix.create_context(session.session_id, currency="EUR")
    assert await shop.currency(emporix.new_token(session.session_id)) == "USD"


async def test_forgotten_after_a_day(shop: Shop, emporix: FakeEmporix) -> None:
    """Parked changes are forgotten after a day."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")

    await asyncio.sleep(25 * 3600)
    emporix.create_context(session.session_id, currency="EUR")
    assert await shop.currency(emporix.new_token(session.session_id)) == "EUR"


async def test_forget_drops_everything(shop: Shop, emporix: FakeEmporix) -> None:
    """`forget` drops everything known and parked."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    seen: list[object] = []

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx
        ctx.switch_language("fr")
        await ctx.forget()
        seen.append((ctx.currency, ctx.exists, dict(ctx.pending)))

    await shop.visit(logout, token=session.token)

    assert seen == [(None, False, {})]
    assert await shop.currency(session.token) is None
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.patch") == 0


async def test_forget_is_final(shop: Shop, emporix: FakeEmporix) -> None:
    """`forget` is not undone by a read or a commit in the air."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)
    emporix.fault("context.patch", Fault(delay=1.0, status=429), times=None)
    reading = asyncio.create_task(shop.currency(session.token))
    switching = asyncio.create_task(shop.switch(session.token, language="fr"))
    await asyncio.sleep(0.5)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)
    await asyncio.gather(reading, switching)
    emporix.revoke(session.token)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}"

    assert (await shop.visit(page, token=session.token)).text == "None None"


async def test_forget_without_a_load(shop: Shop, emporix: FakeEmporix) -> None:
    """`forget` reaches what is parked without a load before it."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(10)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)

    assert await shop.currency(session.token) is None


async def test_forget_reaches_other_tokens(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """`forget` reaches the other tokens of the session without a load."""
    shop = make_shop()
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(other)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await shop.visit(logout, token=session.token)  # the first request with this token
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(other) is None


async def test_f32_revoked_session(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F32: A revoked session is not brought back by a parked change."""
    shop = make_shop()
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.revoke(session.token)

    await shop.switch(session.token, currency="USD")

    assert [event.outcome for event in shop.named("commit.refused")] == ["TokenRejected"]
    assert await shop.currency(session.token) is None
