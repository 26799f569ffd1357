"""Requests without a token: told once where the token source may be wrong, and not once per guest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import BearerToken, CookieToken, NoToken, SessionContext, StorefrontToken
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "session_ctx_middleware")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what operators were told of tokens, in order."""
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "session_ctx_name", "").startswith("token.") and record.levelno >= logging.INFO
    ]


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or "none"


async def untouched(_ctx: SessionContext, _: Request) -> str:
    return ""


async def counters(shop: Shop) -> dict[str, int]:
    found: list[Any] = []

    async def handler(ctx: SessionContext, _: Request) -> None:
        found.append(dict(ctx.middleware.stats()))

    await shop.visit(handler)
    return found[0]  # type: ignore[no-any-return]


async def my_session(_: Any) -> StorefrontToken | None:
    return None


class Secretive:
    def __call__(self, _: Any) -> None: ...

    def __repr__(self) -> str:
        return "Secretive(key='hunter2')"


@pytest.mark.parametrize(
    ("source", "headers", "looked_in"),
    [
        (
            CookieToken("shop_tokn"),
            {"Cookie": "shop_token=hunter2"},
            "Looked in: CookieToken('shop_tokn'). The request had no Authorization header, and cookies.",
        ),
        (
            CookieToken("shop_token"),
            {"Authorization": "Bearer hunter2"},
            "Looked in: CookieToken('shop_token'). The request had an Authorization header, and no cookies.",
        ),
        (
            [BearerToken(), my_session, Secretive()],
            {},
            "Looked in: BearerToken(), my_session, Secretive. The request had no Authorization header, and no cookies.",
        ),
    ],
    ids=["wrong-cookie", "header-instead", "functions"],
)
async def test_wrong_source(
    make_shop: Callable[..., Shop],
    caplog: pytest.LogCaptureFixture,
    source: Any,
    headers: dict[str, str],
    looked_in: str,
) -> None:
    """A token source that finds nothing is told once, with where it looked; events and counter have every request."""
    shop = make_shop(token=source)
    for _ in range(5):
        assert (await shop.visit(page, headers=headers)).text == "none"

    (line,) = told(caplog)
    assert line.startswith("token.missing")
    assert line.endswith(looked_in)
    assert "Check token=..." in line
    assert "hunter2" not in caplog.text
    assert len(shop.named("token.missing")) == 5
    assert (await counters(shop))["token.missing"] == 5


async def test_once_per_request(shop: Shop) -> None:
    """A request is counted once, whatever it does; one that does not touch the context is not."""

    async def handler(ctx: SessionContext, _: Request) -> None:
        await ctx
        await ctx.load()
        await ctx.refresh()
        with pytest.raises(NoToken):
            await ctx.load(required=True)
        ctx.switch(currency="USD")

    await shop.visit(untouched)
    await shop.visit(handler)

    assert len(shop.named("token.missing")) == 1


@pytest.mark.parametrize("step", ["refresh", "cart_created", "switch"])
async def test_every_way_in(shop: Shop, step: str) -> None:
    """It does not matter how a request without a token uses the context."""

    async def handler(ctx: SessionContext, _: Request) -> None:
        if step == "switch":
            ctx.switch(currency="USD")
        else:
            await getattr(ctx, step)()

    await shop.visit(handler)

    assert len(shop.named("token.missing")) == 1


async def test_and_back(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """That tokens are found is told once, too; after that, one without is a guest."""
    token = emporix.new_session(currency="EUR").token
    await shop.visit(page)
    for _ in range(3):
        await shop.visit(page, token=token)
        await shop.visit(page)

    assert [line.partition(" ")[0] for line in told(caplog)] == ["token.missing", "token.found"]
    assert [event.name for event in shop.events if event.name.startswith("token.")] == [
        "token.missing",
        "token.found",
        *["token.missing"] * 3,
    ]
    assert (await counters(shop))["token.found"] == 1


async def test_guests_are_normal(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """In a shop whose guests have no token nothing is told, as long as some requests bring one: also from the cache."""
    token = emporix.new_session(currency="EUR").token
    await shop.visit(page, token=token)
    for _ in range(8):
        for _ in range(60):
            await shop.visit(page)
        await shop.visit(page, token=token)

    assert told(caplog) == []
    assert len(shop.named("token.missing")) == 480


async def test_source_that_breaks(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """Where tokens were found, 100 requests in a row without one are news: once, and so is the next one with it."""
    token = emporix.new_session(currency="EUR").token
    await shop.visit(page, token=token)
    for _ in range(250):
        await shop.visit(page)
    assert [line.partition(" ")[0] for line in told(caplog)] == ["token.missing"]
    await shop.visit(page, token=token)  # from the cache, which the watch does not see
    await shop.visit(page)

    assert [line.partition(" ")[0] for line in told(caplog)] == ["token.missing", "token.found"]


async def test_lost_changes(make_shop: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """Changes that can be kept nowhere are told as lost: log line with the remedy, event, counter."""
    shop = make_shop()

    async def handler(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("hint", "hunter2")

    assert (await shop.visit(handler)).status_code == 200

    assert [(event.operation, event.outcome) for event in shop.named("changes.lost")] == [("respond", "NoToken")]
    (line,) = (record for record in caplog.records if getattr(record, "session_ctx_name", "") == "changes.lost")
    assert (line.levelname, "ctx.has_token" in line.getMessage()) == ("WARNING", True)
    assert "hunter2" not in caplog.text
    assert (await counters(shop))["changes.lost"] == 1


async def test_failed_commit(shop: Shop, emporix: FakeEmporix) -> None:
    """A commit that raises because Emporix is away is counted as failed, and is parked at the end."""
    token = emporix.new_session(currency="EUR").token
    emporix.fault("context", Fault(status=500), times=None)

    async def handler(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        with pytest.raises(Exception, match="could not take"):
            await ctx.commit()

    await shop.visit(handler, token=token)

    found = await counters(shop)
    assert (found["failed"], found["parked"]) == (1, 1)
    assert [event.outcome for event in shop.named("commit.failed")] == ["ContextUnavailable"]


async def test_what_browsers_keep_is_not_lost(make_shop: Callable[..., Shop]) -> None:
    """With a secret, the switches of a visitor without a token are parked: only attributes are lost, and told once."""
    shop = make_shop(secret_key="s" * 32)

    async def switch(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")

    async def both(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        ctx.set_attribute("hint", "small")

    await shop.visit(switch)
    assert (len(shop.named("commit.parked")), len(shop.named("changes.lost"))) == (1, 0)
    await shop.visit(both)
    assert len(shop.named("changes.lost")) == 1
