"""The session cookie takes room beside notes and document: in one response, and in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import ContinuityPolicy, SessionContext
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix
from session_ctx_middleware.testing.world import World

from ..support.shop import Shop
from .test_guests import COOKIE, SECRET

MakeShop = Callable[..., Shop]


async def page(ctx: SessionContext, _: Any) -> str:
    return (await ctx).currency or ""


def carried(shop: Shop) -> dict[str, int]:
    """Return how many bytes each cookie of a browser takes in a request."""
    return {each.name: len(each.name) + 1 + len(each.value or "") for each in shop.browser.cookies.jar}


@pytest.mark.parametrize("room", [True, False])
async def test_beside_a_document(
    room: bool, make_shop: MakeShop, emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document travels only where there is room beside the session cookie, also where that was set before."""
    sessions = StorefrontSessions("storefront")
    policy = ContinuityPolicy(document=True)
    shop = make_shop(token=sessions, secret_key=SECRET, continuity=policy)
    await shop.visit(page)
    for session in list(emporix._world.sessions):
        emporix.create_context(session)
    await _next_ttl(shop)
    sizes = carried(shop)
    assert len(sizes) == 2
    shop.browser.cookies.clear()
    most = sum(sizes.values()) - (0 if room else 1)
    monkeypatch.setattr("session_ctx_middleware.carrying.MAX_CARRIED", most)

    await shop.visit(page)
    for session in list(emporix._world.sessions):
        emporix.create_context(session)
    await _next_ttl(shop)
    await _next_ttl(shop)

    assert sum(carried(shop).values()) <= most
    assert len(carried(shop)) == (2 if room else 1)


async def _next_ttl(shop: Shop) -> None:
    await shop.clock.sleep(61.0)
    await shop.visit(page)


@pytest.mark.parametrize("size", [28, 700, 800])
async def test_one_response(
    size: int, make_shop: MakeShop, emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response that keeps a large session has room for every choice, and takes 3 KiB of cookies at most."""
    short = World.new_secret
    monkeypatch.setattr(World, "new_secret", lambda world: short(world).ljust(size, "x"))
    shop = make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET)

    async def choose(ctx: SessionContext, _: Any) -> None:
        ctx.switch(site_code="main", currency="CHF", language="de", target_location="CH")
        for number in range(20):
            ctx.set_attribute(f"key{number}", "v" * 100)

    answers = [await shop.visit(choose, method="POST")]
    for _ in range(3):
        await shop.clock.sleep(3500.0)
        answers.append(await shop.visit(choose, method="POST"))

    for answer in answers:
        cookies = answer.headers.get_list("set-cookie")
        assert [each for each in cookies if COOKIE in each]
        assert sum(map(len, cookies)) <= 3 * 1024
    assert (await shop.visit(page)).text == "CHF"
    assert emporix.count("anonymous.login") == 1
