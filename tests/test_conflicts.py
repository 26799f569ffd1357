"""No acknowledged change is lost, none is applied twice, and none overwrites what its request did not touch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request

from session_ctx_middleware import (
    ChangeRefused,
    Commit,
    CommitConflict,
    ContextUnavailable,
    SessionContext,
    StorefrontToken,
    TokenRejected,
    UpstreamPolicy,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held, patches


async def test_f15_stale_version(shop: Shop, emporix: FakeEmporix) -> None:
    """F15: A stale version is a conflict, and the change is rebased."""
    session = emporix.new_session(currency="EUR", language="en")
    await shop.currency(session.token)
    emporix.edit(session.session_id, language="fr")

    await shop.switch(session.token, currency="USD")

    assert [body["metadata"]["version"] for body in patches(emporix)] == [1, 2]
    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")
    assert shop.named("commit.applied")[0].attempts == 2


async def test_f17_foreign_attribute(shop: Shop, emporix: FakeEmporix) -> None:
    """F17: A foreign attribute written in between survives."""
    session = emporix.new_session(attributes={"mine": "old"})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        emporix.edit(session.session_id, context={"mine": "old", "theirs": "x"})
        ctx.set_attribute("mine", "new")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"mine": "new", "theirs": "x"}


async def test_f11_two_requests(shop: Shop, emporix: FakeEmporix) -> None:
    """F11: Two requests that switch different fields at once both win."""
    session = emporix.new_session()

    await asyncio.gather(
        shop.switch(session.token, currency="USD"),
        shop.switch(session.token, language="fr"),
        shop.switch(session.token, target_location="FR"),
    )

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"], document["targetLocation"]) == ("USD", "fr", "FR")


async def test_f11_two_workers(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F11: Two workers that switch different fields both win."""
    one, two = make_shop(), make_shop()
    session = emporix.new_session()
    await asyncio.gather(one.currency(session.token), two.currency(session.token))

    await asyncio.gather(one.switch(session.token, currency="USD"), two.switch(session.token, language="fr"))

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")


async def test_f12_one_field(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F12: Of two workers that switch one field, one wins."""
    one, two = make_shop(), make_shop()
    session = emporix.new_session(currency="EUR")
    await asyncio.gather(one.currency(session.token), two.currency(session.token))

    await asyncio.gather(one.switch(session.token, currency="USD"), two.switch(session.token, currency="CHF"))

    assert held(emporix, session.session_id)["currency"] in {"USD", "CHF"}
    assert held(emporix, session.session_id)["metadata"]["version"] == 3


async def test_on_conflict(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """`on_conflict` decides where both changed the same field."""
    asked = []

    def theirs_wins(field: str, base: Any, ours: Any, theirs: Any) -> Any:
        asked.append((field, base, ours, theirs))
        return theirs

    shop = make_shop(upstream=UpstreamPolicy(on_conflict=theirs_wins))
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="CHF")

    await shop.switch(session.token, currency="USD")

    assert asked == [("currency", "EUR", "USD", "CHF")]
    assert held(emporix, session.session_id)["currency"] == "CHF"
    assert shop.named("commit.already")


async def test_f13_lost_answer(shop: Shop, emporix: FakeEmporix) -> None:
    """F13: A change whose answer is lost is settled by a GET, and applied once."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(drop="after"))
    outcome = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        outcome.append(await ctx.commit())

    await shop.visit(endpoint, token=session.token)

    assert outcome == [Commit.APPLIED]
    assert emporix.count("context.patch") == 1
    assert held(emporix, session.session_id)["metadata"]["version"] == 2


@pytest.mark.parametrize("fault", [Fault(drop="before"), Fault(status=500), Fault(status=502), Fault(status=503)])
async def test_f14_lost_request(shop: Shop, emporix: FakeEmporix, fault: Fault) -> None:
    """F14: What did not arrive is sent again only after a GET."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", fault)

    await shop.switch(session.token, currency="USD")

    assert [call.operation for call in emporix.calls] == [
        "context.get",
        "context.patch",
        "context.get",
        "context.patch",
    ]
    assert held(emporix, session.session_id)["metadata"]["version"] == 2


async def test_error_after_the_effect(shop: Shop, emporix: FakeEmporix) -> None:
    """A server error after the effect counts as applied."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=500, apply=True))

    await shop.switch(session.token, currency="USD")

    assert emporix.count("context.patch") == 1
    assert shop.named("commit.applied")


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_refused_change(shop: Shop, emporix: FakeEmporix, status: int) -> None:
    """A refused change is dropped and reported."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=status))

    response = await shop.switch(session.token, currency="USD")

    assert response.status_code == 200
    assert [(event.status, event.outcome) for event in shop.named("commit.refused")] == [(status, "ChangeRefused")]
    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.patch") == 1


async def test_explicit_commit_raises(shop: Shop, emporix: FakeEmporix) -> None:
    """An explicit commit raises what went wrong."""
    session = emporix.new_session(currency="EUR")
    raised = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises((ChangeRefused, TokenRejected, ContextUnavailable)) as caught:
            await ctx.commit()
        raised.append((caught.type, dict((await ctx).pending)))

    emporix.fault("context.patch", Fault(status=422))
    await shop.visit(endpoint, token=session.token)
    emporix.fault("context.patch", Fault(status=401))
    await shop.visit(endpoint, token=session.token)
    await asyncio.sleep(4)
    emporix.fault("context.*", Fault(status=500), times=None)
    await shop.visit(endpoint, token=session.token)

    assert raised == [(ChangeRefused, {}), (TokenRejected, {}), (ContextUnavailable, {"currency": "USD"})]
    assert shop.named("commit.parked")


async def test_endless_conflicts(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Endless conflicts end in a conflict error."""
    shop = make_shop(upstream=UpstreamPolicy(max_attempts=3))
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=409), times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(CommitConflict, match="max_attempts"):
            await ctx.commit()

    await shop.visit(endpoint, token=session.token)

    assert emporix.count("context.patch") == 3
    assert shop.named("commit.parked")


async def test_one_patch_at_a_time(shop: Shop, emporix: FakeEmporix) -> None:
    """There is one PATCH per session at a time, and they go out in order."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.1), times=None)

    first = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(shop.switch(session.token, currency="CHF"))
    await asyncio.gather(first, second)

    assert [body["currency"] for body in patches(emporix)] == ["USD", "CHF"]
    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204, 204]


async def test_two_sessions_that_are_one(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Tokens that an application takes for two sessions take turns once Emporix tells that they are one."""
    session = emporix.new_session(currency="EUR", language="en")
    tokens = session.token, emporix.new_token(session.session_id)

    def source(connection: HTTPConnection) -> StorefrontToken:
        value = connection.headers["authorization"].removeprefix("Bearer ")
        return StorefrontToken(value, session_id=f"guess-{tokens.index(value)}")

    shop = make_shop(token=source)
    emporix.fault("context.patch", Fault(delay=0.1), times=None)

    await asyncio.gather(shop.switch(tokens[0], currency="USD"), shop.switch(tokens[1], language="de"))

    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204, 204]


async def test_after_a_failed_commit(shop: Shop, emporix: FakeEmporix) -> None:
    """After a commit that failed and one that worked, later changes are sent."""
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.patch", Fault(status=409), times=4)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(Exception, match="attempts"):
            await ctx.commit()
        assert await ctx.commit() is Commit.APPLIED
        ctx.switch_language("fr")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["language"] == "fr"


async def test_late_success_is_not_parked(shop: Shop, emporix: FakeEmporix) -> None:
    """A late success of an explicit commit is not parked over a newer choice."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=3.5), times=1)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(ContextUnavailable):
            await ctx.commit()  # 3.0 s; lands at 3.5 s
        await asyncio.sleep(2)  # still working

    slow = asyncio.create_task(shop.visit(endpoint, token=session.token))
    await asyncio.sleep(4)
    await shop.switch(session.token, currency="CHF")  # the shopper's newest choice, acknowledged
    assert held(emporix, session.session_id)["currency"] == "CHF"
    await slow

    assert await shop.currency(session.token) == "CHF"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_given_up_is_not_repeated(shop: Shop, emporix: FakeEmporix) -> None:
    """A commit that was given up is not repeated over a newer choice."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=1.5), times=1)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await ctx.commit()  # lands at 1.5 s
        await asyncio.sleep(2)

    slow = asyncio.create_task(shop.visit(endpoint, token=session.token))
    await asyncio.sleep(2)
    assert held(emporix, session.session_id)["currency"] == "USD"
    await shop.switch(session.token, currency="CHF")
    await slow

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_endless_patch(shop: Shop, emporix: FakeEmporix) -> None:
    """A PATCH that never ends does not block the session for ever."""
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.patch", Fault(delay=3600), times=1)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(600)

    await shop.switch(session.token, language="fr")
    language = held(emporix, session.session_id)["language"]
    await asyncio.sleep(3600)

    assert language == "fr"
