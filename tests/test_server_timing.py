"""The ``Server-Timing`` header: what a context has cost a request, for whoever asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import ConfigurationError, SessionContext, SessionContextMiddleware
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop

MakeShop = Callable[..., Shop]


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def test_what_a_load_costs(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A page says in milliseconds for how long it has waited, and what the cache had."""
    shop, session = make_shop(server_timing=True), emporix.new_session()
    emporix.fault("context.get", Fault(delay=0.25), times=1)

    miss, hit = [await shop.visit(page, token=session.token) for _ in range(2)]

    assert re.fullmatch(r'session-ctx;dur=25\d\.\d;desc="miss"', miss.headers["server-timing"])
    assert hit.headers["server-timing"] == 'session-ctx;dur=0.0;desc="hit"'


async def test_what_a_commit_costs(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What is sent before the response starts is an entry of its own."""
    shop, session = make_shop(server_timing=True), emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.1), times=1)
    await shop.visit(page, token=session.token)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        (await ctx).switch(currency="USD")

    loaded, committed = (await shop.visit(endpoint, token=session.token)).headers["server-timing"].split(", ")
    assert loaded == 'session-ctx;dur=0.0;desc="hit"'
    assert re.fullmatch(r'session-ctx-commit;dur=10\d\.\d;desc="applied"', committed)


async def test_a_wait_without_a_load(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Whatever else of the context a request waits for counts, too."""
    shop, session = make_shop(server_timing=True), emporix.new_session()
    emporix.fault("context.get", Fault(delay=0.1), times=1)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()

    answer = await shop.visit(endpoint, token=session.token)
    assert re.fullmatch(r"session-ctx;dur=10\d\.\d", answer.headers["server-timing"])


async def test_entries_of_the_application(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The application's own entries stay."""
    shop = make_shop(server_timing=True)

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        await ctx
        return PlainTextResponse("", headers={"Server-Timing": "db;dur=3"})

    answer = await shop.visit(endpoint, token=emporix.new_session().token)
    assert answer.headers.get_list("server-timing") == ["db;dur=3", 'session-ctx;dur=0.0;desc="miss"']


async def test_a_request_that_does_not_use_the_context(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A response that has nothing to do with the context says nothing; nor does one whose request has no token."""
    shop = make_shop(server_timing=True)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        return None

    for answer in (await shop.visit(endpoint, token=emporix.new_session().token), await shop.visit(page)):
        assert "server-timing" not in answer.headers


async def test_nobody_asks(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """By default there is none."""
    answer = await make_shop().visit(page, token=emporix.new_session().token)

    assert "server-timing" not in answer.headers


async def test_a_page_for_everybody(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A page that caches keep for everybody does not say what it has cost one of them."""
    shop, token = make_shop(server_timing=True), emporix.new_session(currency="EUR").token

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        ctx.share_by_variant(60)
        return (await ctx).currency or ""

    first = await shop.visit(endpoint, token=token)
    cookie = first.headers["set-cookie"].partition(";")[0]
    second = await shop.visit(
        endpoint, token=token, headers={"Cookie": cookie, "Session-Variant": cookie.partition("=")[2]}
    )

    assert "server-timing" in first.headers
    assert "public" in second.headers["cache-control"]
    assert "server-timing" not in second.headers


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_wrong_server_timing(wrong: object) -> None:
    """Whatever is no flag is refused when the middleware is built."""
    with pytest.raises(ConfigurationError, match="server_timing"):
        SessionContextMiddleware(lambda *_: None, tenant="acme", server_timing=wrong)  # type: ignore[arg-type]
