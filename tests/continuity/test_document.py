"""The document travels in the browser: a worker that knows nothing need not ask Emporix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from session_ctx_middleware import CachePolicy, ContinuityPolicy, SessionContext, get_session_context
from session_ctx_middleware.sealing import Sealer
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.asgi import middleware, never, scope_for
from ..support.shop import Shop
from .browser import SECRET, Browser, again, choosing, everything, named, page
from .travel import DOCUMENT, TRAVELS, in_full, stats, travelling

MakeShop = Callable[..., Shop]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all cookies that anybody opens."""
    names: list[str] = []
    real = Sealer.open

    def opening(self: Sealer, text: str, name: str) -> bytes | None:
        names.append(name)
        return real(self, text, name)

    monkeypatch.setattr(Sealer, "open", opening)
    return names


async def test_cold_workers_ask_nothing(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Three workers that share nothing answer a known shopper without a call."""
    first, *others = travelling(make_shop, 4)
    browser = Browser(emporix.new_session(currency="EUR").token)
    assert await browser.currency(first) == "EUR"
    assert list(browser.cookies) == [DOCUMENT]
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in others * 2] == ["EUR"] * 6
    assert emporix.count("context.get") == 0
    assert [stats(shop)["travelled"] for shop in (first, *others)] == [0, 1, 1, 1]


@pytest.mark.parametrize("ttl", [60.0, 20.0])
async def test_visit_over_three_workers(make_shop: MakeShop, emporix: FakeEmporix, ttl: float) -> None:
    """A long visit over three workers needs no more calls than one over one worker."""
    pauses = [3.0, 11.0, 7.0, 2.0, 19.0, 5.0, 31.0] * 12
    counts = []
    for number in (3, 1):
        shops = travelling(make_shop, number, cache=CachePolicy(ttl=ttl, jitter=0))
        browser = Browser(emporix.new_session(currency="EUR").token)
        emporix.clear_calls()
        for step, pause in enumerate(pauses):
            assert await browser.currency(shops[step * 2 % len(shops)]) == "EUR"
            await asyncio.sleep(pause)
        counts.append(emporix.count("context.get"))

    assert counts[0] <= counts[1]


async def test_crowd_at_an_empty_process(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A deploy: known shoppers who all come at once to an empty process cause no call."""
    old, new = travelling(make_shop, 2)
    browsers = [Browser(emporix.new_session(currency="EUR").token) for _ in range(50)]
    for browser in browsers:
        await browser.currency(old)
    emporix.clear_calls()

    pages = await asyncio.gather(*(browser.send(new, page) for browser in browsers))
    assert {answer.text for answer in pages} == {"EUR"}
    assert emporix.calls == []


async def test_cold_worker_in_an_outage(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """While Emporix is down, a worker that knows nothing shows the last known values, for as long as any would."""
    one, two, three = travelling(make_shop, 3)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    emporix.fault("context.*", Fault(status=503), times=None)

    await asyncio.sleep(300)
    assert (await browser.visit(two, in_full)).text == "EUR stale"
    await asyncio.sleep(400)
    assert (await browser.visit(three, in_full)).text == "- degraded"


async def test_own_change_in_an_outage(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What was changed shows over a document from before the change, where that cannot be read any more."""
    one, two = travelling(make_shop, 2)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    await browser.switch(one, language="fr")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert (await browser.visit(two, everything)).text == "EUR fr"


async def test_own_change_on_another_worker(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document from before the shopper's own change is not shown; it is read once for all workers."""
    one, two, three = travelling(make_shop, 3)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    await browser.switch(one, currency="USD")
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in (two, three, one, three, two)] == ["USD"] * 5
    assert emporix.count("context.get") == 1


async def test_cart_on_another_worker(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What a worker has read because of a new cart goes along: the next worker shows the cart, and asks nothing."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, cartId="cart-1")
    await asyncio.sleep(5)

    async def created(ctx: SessionContext, _: Request) -> str:
        await ctx.cart_created("cart-1")
        return ""

    async def shows(ctx: SessionContext, _: Request) -> str:
        return (await ctx).cart_id or ""

    await browser.visit(two, created)
    emporix.clear_calls()
    assert (await browser.visit(three, shows)).text == "cart-1"
    assert emporix.calls == []


async def test_change_without_reading(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A worker that knows nothing makes a change to what the browser brought."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.clear_calls()

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        outcome = await ctx.commit()
        return f"{outcome.value} {ctx.currency} {ctx.is_stale}"

    assert (await browser.visit(two, switch)).text == "applied USD False"
    assert [call.operation for call in emporix.calls] == ["context.patch"]
    assert await browser.currency(three) == "USD"


async def test_change_to_what_is_past(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A change that is made to a document from before somebody else's write loses neither of them."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, language="fr")
    await browser.switch(two, currency="USD")

    document = emporix.document(session.session_id) or {}
    assert (document["currency"], document["language"]) == ("USD", "fr")


async def test_hit_opens_nothing(make_shop: MakeShop, emporix: FakeEmporix, opened: list[str]) -> None:
    """The cookie is opened once by a worker that knows nothing, and never by one that knows."""
    one, two = travelling(make_shop, 2)
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in (one, one, two, two, two, one):
        await browser.currency(shop)

    assert opened == [DOCUMENT]


async def test_untouched_opens_nothing(make_shop: MakeShop, emporix: FakeEmporix, opened: list[str]) -> None:
    """A page that does not use the context pays nothing, and sets nothing."""
    one, two = travelling(make_shop, 2)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)

    async def nothing(_: SessionContext, __: Request) -> None:
        return None

    await browser.visit(two, nothing)
    assert (opened, browser.last) == ([], [])


async def test_attributes_of_the_cookie(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The cookie is for no script and no other site, lives as long as it is of use, and the response is private."""
    (shop,) = travelling(make_shop, cache=CachePolicy(ttl=10, stale_while_revalidate=5, stale_if_error=30))
    browser = Browser(emporix.new_session(currency="EUR").token)
    answer = await browser.visit(shop, page)

    (header,) = browser.last
    assert header.startswith(f"{DOCUMENT}=")
    assert header.endswith("; Path=/; Max-Age=40; HttpOnly; SameSite=Lax; Secure")
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["vary"] == "Authorization, Cookie"


async def test_renewed_in_the_foreground(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Past its ttl a document is renewed while the page waits, and the response carries the new one."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(70)
    emporix.clear_calls()

    assert (await browser.visit(two, in_full)).text == "USD"
    assert [await browser.currency(shop) for shop in (three, one, two)] == ["USD"] * 3
    assert emporix.count("context.get") == 1


async def test_slow_renewal(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A page that may show a stale document does not wait for a slow renewal; the next one carries what it brought."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(70)
    emporix.clear_calls()
    emporix.fault("context.get", Fault(delay=0.5))

    began = asyncio.get_running_loop().time()
    assert (await browser.visit(two, in_full)).text == "EUR stale"
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.15)
    assert browser.last == []
    await asyncio.sleep(1)
    assert await browser.currency(two) == "USD"
    assert await browser.currency(three) == "USD"
    assert emporix.count("context.get") == 1


async def test_renewal_waits_where_nothing_stale_is_wanted(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Without stale-while-revalidate the page waits for the new document."""
    one, two = travelling(make_shop, 2, cache=CachePolicy(stale_while_revalidate=0))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(70)
    emporix.fault("context.get", Fault(delay=0.5))

    assert (await browser.visit(two, in_full)).text == "USD"


async def test_lost_answer(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A worker that knows of a later document than the browser brought sends it along once more."""
    one, two, three = travelling(make_shop, 3)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    await asyncio.sleep(70)
    emporix.clear_calls()
    await browser.send(two, page)  # and the answer is lost

    for shop in (two, three):
        assert await browser.currency(shop) == "EUR"
    assert emporix.count("context.get") == 1


async def test_no_cookies_kept(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A client that keeps no cookies is served as ever, and sealing is done once for each document."""
    (shop,) = travelling(make_shop)
    token = emporix.new_session(currency="EUR").token
    answers = {(await Browser(token).send(shop, page)).headers["set-cookie"].partition(";")[0] for _ in range(5)}

    assert len(answers) == 1
    assert emporix.count("context.get") == 1


async def test_late_answer_brings_an_older_one(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A late answer overwrites the cookie with an older document: it is not shown below what the shopper chose."""
    one, two, three = travelling(make_shop, 3)
    browser = Browser(emporix.new_session(currency="EUR").token)
    late = await browser.send(one, page)
    await browser.switch(two, currency="USD")
    assert await browser.currency(two) == "USD"
    browser.receive(late)

    assert (await browser.visit(three, in_full)).text == "USD"


async def test_several_requests_at_once(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Several requests of one page, each at another worker that knows nothing, ask nothing."""
    one, *others = travelling(make_shop, 4)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    emporix.clear_calls()

    answers = await asyncio.gather(*(browser.send(shop, page) for shop in others * 3))
    assert {answer.text for answer in answers} == {"EUR"}
    assert emporix.calls == []


async def test_new_token_of_the_session(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """After a token refresh Emporix is asked once, and then the document travels for the new token."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    browser.token = emporix.new_token(session.session_id)
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in (two, three, one)] == ["EUR"] * 3
    assert emporix.count("context.get") == 1
    assert stats(two)["document_foreign"] == 1


async def test_heads_and_streams(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Any kind of response carries the document: to HEAD, without a body, and streamed."""

    async def unchanged(ctx: SessionContext, _: Request) -> Response:
        await ctx
        return Response(status_code=304)

    async def stream(ctx: SessionContext, _: Request) -> Response:
        await ctx

        async def body() -> AsyncIterator[str]:
            yield ctx.currency or ""

        return StreamingResponse(body())

    for method, handler in (("HEAD", page), ("GET", unchanged), ("GET", stream)):
        one, two = travelling(make_shop, 2)
        browser = Browser(emporix.new_session(currency="EUR").token)
        browser.receive(await one.visit(handler, token=browser.token, method=method))
        assert await browser.currency(two) == "EUR"
        assert stats(two)["upstream_gets"] == 0


async def test_large_document(make_shop: MakeShop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """A document that does not fit stays at home, and one log line says so; a smaller one travels again."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    await browser.visit(one, named("note", "x" * 3000))
    for shop in (one, two, one, two):
        assert await browser.currency(shop) == "EUR"

    assert DOCUMENT not in browser.cookies
    lines = [record for record in caplog.records if record.getMessage().startswith("document.left_out too large")]
    assert {record.levelname for record in lines[:1]} == {"WARNING"}
    assert "max_bytes" in lines[0].getMessage()
    assert stats(one)["document.left_out"] == 1
    await browser.visit(one, named("note", "x"))
    assert await browser.currency(one) == "EUR"
    assert DOCUMENT in browser.cookies


async def test_consent(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Without the shopper's consent nothing is set and nothing read; who takes it back has the cookie cleared."""
    policy = ContinuityPolicy(document=lambda connection: connection.cookies.get("consent") == "yes")
    one, two = travelling(make_shop, 2, continuity=policy)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    assert browser.cookies == {}
    browser.cookies["consent"] = "yes"
    await browser.currency(one)
    assert DOCUMENT in browser.cookies
    browser.cookies["consent"] = "no"
    await browser.currency(two)

    assert list(browser.cookies) == ["consent"]
    assert (stats(two)["travelled"], stats(two)["upstream_gets"]) == (0, 1)


async def test_consent_fails(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A function that raises has not agreed, and disturbs no page."""

    def broken(_: object) -> bool:
        raise RuntimeError("secret")

    (shop,) = travelling(make_shop, continuity=ContinuityPolicy(document=broken))
    browser = Browser(emporix.new_session(currency="EUR").token)

    assert await browser.currency(shop) == "EUR"
    assert browser.cookies == {}
    assert [event.outcome for event in shop.named("consent.failed")] == ["RuntimeError"]


async def test_handshake_of_a_websocket(make_shop: MakeShop, emporix: FakeEmporix, http_library: Any) -> None:
    """A WebSocket at a worker that knows nothing uses what its handshake brought."""
    (one,) = travelling(make_shop)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    seen: list[str | None] = []

    async def endpoint(scope: Scope, _: Receive, send: Send) -> None:
        seen.append((await get_session_context(WebSocket(scope, never, send))).currency)

    worker = middleware(endpoint, emporix, http_library, secret_key=SECRET, continuity=TRAVELS)
    scope = scope_for(browser.token, type="websocket", scheme="wss")
    scope["headers"].append((b"cookie", f"{DOCUMENT}={browser.note}".encode()))
    await worker(scope, never, never)  # type: ignore[arg-type]

    assert seen == ["EUR"]
    assert worker.stats()["upstream_gets"] == 0
    await worker.aclose()


async def test_context_created_anew(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A context that was created anew is asked for by workers that cannot tell which of two is the later one."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    await browser.switch(one, language="fr")
    await browser.currency(one)
    await asyncio.sleep(130)
    emporix.recreate_context(session.session_id, currency="CHF")

    assert [(await browser.visit(shop, in_full)).text for shop in (one, two, three)] == ["CHF"] * 3


async def test_no_context_any_more(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where Emporix says that there is no context, the browser forgets its document."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    await asyncio.sleep(130)
    emporix.delete_context(session.session_id)

    assert (await browser.visit(two, in_full)).text == "-"
    assert browser.cookies == {}


async def test_refused_token(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where Emporix refuses the token, the browser forgets its document, and it is not shown here any more."""
    one, two = travelling(make_shop, 2)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    kept = dict(browser.cookies)
    await asyncio.sleep(70)
    assert browser.token is not None
    emporix.revoke(browser.token)

    assert (await browser.visit(two, in_full)).text == "- rejected"
    assert browser.cookies == {}
    browser.cookies = kept
    assert (await browser.visit(two, in_full)).text == "- rejected"


async def test_version_that_fell(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document from before a backup was put back, whose version is higher than the latest one, undoes no choice."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    backup = emporix.document(session.session_id) or {}
    for code in ("USD", "CHF", "GBP"):
        await browser.switch(one, currency=code)
        await browser.currency(one)
    old = browser.cookies[DOCUMENT]
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(15)
    await browser.visit(one, again)
    await browser.switch(one, currency="SEK")
    browser.cookies[DOCUMENT] = old

    for shop in (two, three, one, two):
        assert await browser.currency(shop) == "SEK"
        browser.cookies[DOCUMENT] = old


async def test_version_that_fell_after_it_came(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The same where a worker has taken the old document before the choice was made, and Emporix cannot be asked."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    backup = emporix.document(session.session_id) or {}
    for code in ("USD", "CHF", "GBP"):
        await browser.switch(one, currency=code)
        await browser.currency(one)
    old = dict(browser.cookies)
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(15)
    overtaken = Browser(browser.token)
    overtaken.cookies = old
    assert await overtaken.currency(two) == "GBP"
    await browser.visit(one, again)
    await browser.switch(one, currency="SEK")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) == "SEK"


async def test_others_write_later(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What somebody else wrote after the shopper's own choice shows on a worker that got it from the browser."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.switch(one, currency="USD")
    emporix.edit(session.session_id, currency="CHF")
    await asyncio.sleep(1)
    await browser.visit(one, again)
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in (one, two, two)] == ["CHF"] * 3
    assert emporix.calls == []


async def test_others_write_before_a_slow_answer(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What was asked for after a PATCH was sent is used, however late that was answered."""
    one, two, cold = travelling(make_shop, 3, cache=CachePolicy(jitter=0))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in (one, two):
        await browser.currency(shop)
    await asyncio.sleep(61)
    emporix.fault("context.patch", Fault(delay_after=2.0), times=1)
    answer = browser.send(one, choosing(currency="USD"))
    await asyncio.sleep(1.2)
    emporix.edit(session.session_id, currency="GBP")
    assert await browser.currency(two) == "GBP"
    browser.receive(await answer)
    emporix.clear_calls()

    assert await browser.currency(cold) == "GBP"
    assert emporix.count("context.get") == 0
