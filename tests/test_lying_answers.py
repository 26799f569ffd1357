"""Answers that are not Emporix' own, or are not what its API promises: nobody loses a session or a choice by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext, TokenRejected
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held, patches

DEFAULTS = ContextDefaults(currency="CHF")
Foreign = Literal["gateway", "proxy"]

foreign = pytest.mark.parametrize(
    ("status", "by"), [(404, "gateway"), (404, "proxy"), (403, "gateway"), (403, "proxy"), (401, "proxy")]
)


async def state(shop: Shop, token: str) -> str:
    """Return what a page sees of its context."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        flags = (name for name in ("stale", "degraded", "rejected", "loaded") if getattr(ctx, f"is_{name}"))
        return " ".join([ctx.currency or "none", f"exists={ctx.exists}", *flags])

    return (await shop.visit(page, token=token)).text


# Only Emporix' own word counts


@foreign
async def test_known_session_is_served_stale(
    status: int, by: Foreign, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """A gateway's or a firewall's answer takes no cart and no customer from a session that is known."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    await state(shop, session.token)
    await asyncio.sleep(300)
    emporix.fault("context.get", Fault(status=status, by=by), times=None)

    assert await state(shop, session.token) == "EUR exists=True stale loaded"
    emporix.clear_faults()
    await asyncio.sleep(8)
    assert await state(shop, session.token) == "EUR exists=True loaded"


@foreign
async def test_new_session_is_degraded(
    status: int, by: Foreign, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """For a session that nobody knows it is an outage: neither "no context" nor a refused token."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(status=status, by=by), times=1)

    assert await state(shop, session.token) == "CHF exists=False degraded loaded"
    await asyncio.sleep(8)
    assert await state(shop, session.token) == "EUR exists=True loaded"


@foreign
@pytest.mark.parametrize("known", [True, False])
async def test_switch_is_parked(status: int, by: Foreign, known: bool, shop: Shop, emporix: FakeEmporix) -> None:
    """A switch that something on the way refuses is parked, and sent when Emporix can be reached again."""
    session = emporix.new_session(currency="EUR")
    if known:
        await state(shop, session.token)
    emporix.fault("context.*", Fault(status=status, by=by), times=None)

    await shop.switch(session.token, currency="USD")

    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.parked"]
    assert (await state(shop, session.token)).startswith("USD")
    emporix.clear_faults()
    await asyncio.sleep(100)
    assert await state(shop, session.token) == "USD exists=True loaded"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_lost_answer_behind_a_proxy(shop: Shop, emporix: FakeEmporix) -> None:
    """A PATCH that Emporix took, and a proxy answered with its own 404, is settled by a GET."""
    session = emporix.new_session(currency="EUR")
    await state(shop, session.token)
    emporix.fault("context.patch", Fault(status=404, by="proxy", apply=True), times=1)

    await shop.switch(session.token, currency="USD")

    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.applied"]
    assert len(patches(emporix)) == 1


async def test_own_word_still_counts(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What Emporix itself says is believed as before."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    assert await state(shop, "garbage") == "CHF exists=False rejected loaded"
    assert await state(shop, emporix.new_session(exists=False).token) == "CHF exists=False loaded"
    emporix.fault("context.get", Fault(status=403), times=1)
    assert await state(shop, session.token) == "CHF exists=False rejected loaded"


async def test_required_load_behind_a_firewall(shop: Shop, emporix: FakeEmporix) -> None:
    """A page that insists on a context is not told that the token was refused."""
    emporix.fault("context.get", Fault(status=403, by="proxy"), times=None)

    async def page(ctx: SessionContext, _: Request) -> str:
        try:
            await ctx.load(required=True)
        except TokenRejected:
            return "rejected"
        except Exception as error:
            return type(error).__name__
        return "loaded"

    assert (await shop.visit(page, token=emporix.new_session().token)).text == "ContextUnavailable"


@foreign
async def test_breaker_opens(status: int, by: Foreign, shop: Shop, emporix: FakeEmporix) -> None:
    """Whoever answers so for many sessions is asked no more for a while, and that is told."""
    emporix.fault("context.get", Fault(status=status, by=by), times=None)
    for _ in range(30):
        await state(shop, emporix.new_session().token)

    assert emporix.count("context.get") < 15
    assert len(shop.named("upstream.unavailable")) == 1
