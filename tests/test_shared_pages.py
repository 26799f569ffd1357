"""One page for all guests of a variant: never with what only one has, never for a variant that he does not see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from session_ctx_middleware import (
    ChangeRefused,
    ContextDefaults,
    NoToken,
    SessionContext,
    SharedCacheLeak,
    StorefrontToken,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .sessions.customers import JANE, CustomerShop, platform
from .support.shop import Shop, held

GUEST: dict[str, Any] = {"site_code": "main", "currency": "EUR", "language": "de-CH", "target_location": "DE"}
EURO = "acme~main~EUR~de-CH~DE"
DOLLAR = EURO.replace("EUR", "USD")
SHARED = "public, max-age=0, s-maxage=300"


async def page(ctx: SessionContext, _: Request) -> str:
    """Show the variant, and share it."""
    await ctx
    ctx.share_by_variant(300)
    return f"{ctx.site_code} {ctx.currency} {ctx.language} {ctx.target_location}"


async def switch_to_dollars(ctx: SessionContext, _: Request) -> str:
    ctx.switch_currency("USD")
    return ""


async def seen(
    shop: Shop, token: str | None, header: str = "", cookie: str | None = None, handler: Any = page, **more: str
) -> httpx2.Response:
    """Return what a browser gets by way of a cache that copies its cookie into the header."""
    brought = header if cookie is None else cookie
    headers = {**({"Session-Variant": header} if header else {}), **more}
    if brought:
        headers["Cookie"] = f"session_variant={brought}"
    return await shop.visit(handler, token=token, headers=headers)


def why(shop: Shop) -> list[str]:
    return [event.outcome for event in shop.events if event.name == "share.refused"]


async def test_first_page(shop: Shop, emporix: FakeEmporix) -> None:
    """The first page is private, and tells the browser its variant; the next one is for everybody of that."""
    token = emporix.new_session(**GUEST).token
    first = await seen(shop, token)
    assert first.headers["cache-control"] == "private"
    assert first.headers["set-cookie"].startswith(f"session_variant={EURO}; Path=/; Max-Age=")
    assert why(shop) == ["no variant"]

    second = await seen(shop, token, EURO)
    assert (second.headers["cache-control"], second.headers["vary"]) == (SHARED, "Session-Variant")
    assert "set-cookie" not in second.headers
    assert second.text == first.text == "main EUR de-CH DE"
    assert why(shop) == ["no variant"]


async def test_without_a_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Visitors who have no session yet share the pages of the defaults."""
    shop = make_shop(defaults=ContextDefaults(currency="EUR", language="de"))
    cookie = (await seen(shop, None)).headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert cookie == "acme~~EUR~de~"
    assert (await seen(shop, None, cookie)).headers["cache-control"] == SHARED
    assert emporix.count() == 0


@pytest.mark.parametrize(
    ("header", "cookie"),
    [
        ("acme~main~USD~de-CH~DE", None),
        (EURO, ""),
        (EURO, "acme~main~USD~de-CH~DE"),
        ("", EURO),
        ("other~main~EUR~de-CH~DE", None),
        (EURO.lower(), None),
        ("x" * 5000, None),
    ],
)
async def test_another_variant(shop: Shop, emporix: FakeEmporix, header: str, cookie: str | None) -> None:
    """Whoever asks for another variant than the one he sees puts nothing into the cache."""
    answer = await seen(shop, emporix.new_session(**GUEST).token, header, cookie)
    assert answer.headers["cache-control"] == "private"
    assert answer.text == "main EUR de-CH DE"
    assert ("set-cookie" in answer.headers) is (cookie != EURO)


async def test_several_values_of_one_name(shop: Shop, emporix: FakeEmporix) -> None:
    """A browser with two of these cookies, one tossed by a neighbour, shares nothing."""
    token = emporix.new_session(**GUEST).token
    answer = await seen(shop, token, EURO, f"{EURO}; session_variant=acme~main~USD~de~DE")
    assert answer.headers["cache-control"] == "private"


@pytest.mark.parametrize(
    "read",
    [
        lambda ctx: ctx.cart_id,
        lambda ctx: ctx.attributes,
        lambda ctx: ctx.document,
        lambda ctx: ctx.session_id,
        lambda ctx: ctx.customer_id,
        lambda ctx: ctx.version,
        lambda ctx: ctx.pending,
        lambda ctx: ctx.exists,
        lambda ctx: ctx.has_token,
        lambda ctx: ctx.is_degraded,
        lambda ctx: ctx.source("currency"),
        lambda ctx: ctx.to_dict(),
        lambda ctx: ctx.auth.headers("GET", "https://api.emporix.io/cart/acme/carts"),
    ],
)
async def test_more_was_read(shop: Shop, emporix: FakeEmporix, read: Callable[[SessionContext], object]) -> None:
    """A page that has read anything but the four switches is its shopper's own."""

    async def more(ctx: SessionContext, request: Request) -> str:
        await ctx
        assert read(ctx) is not ...
        return await page(ctx, request)

    answer = await seen(shop, emporix.new_session(**GUEST).token, EURO, handler=more)
    assert answer.headers["cache-control"] == "private"
    assert why(shop) == ["more was read"]


async def discarded(ctx: SessionContext) -> str | None:
    ctx.switch_currency("USD")
    text = ctx.currency
    ctx.discard()
    return text


async def refused(ctx: SessionContext) -> str | None:
    ctx.switch_currency("USD")
    text = ctx.currency
    with pytest.raises((ChangeRefused, NoToken)):
        await ctx.commit()
    return text


async def committed(ctx: SessionContext) -> str | None:
    text = ctx.currency
    ctx.switch_currency("USD")
    await ctx.commit()
    return text


async def read_anew(ctx: SessionContext) -> str | None:
    text = ctx.currency
    await ctx.refresh()
    return text


@pytest.mark.parametrize("shares", ["first", "last"])
@pytest.mark.parametrize("asked", [EURO, DOLLAR])
@pytest.mark.parametrize("change", [discarded, refused, committed, read_anew])
async def test_values_that_change_meanwhile(
    shop: Shop, emporix: FakeEmporix, change: Callable[[SessionContext], Any], asked: str, shares: str
) -> None:
    """A page is shared under the values that it has read, or not at all: what holds when it starts says nothing."""
    session = emporix.new_session(**GUEST)

    async def wavering(ctx: SessionContext, _: Request) -> str:
        await ctx
        if shares == "first":
            ctx.share_by_variant(300)
        if change is read_anew:
            emporix.edit(session.session_id, currency="USD")
        if change is refused:
            emporix.fault("context.patch", Fault(status=400), times=None)
        text = await change(ctx)
        ctx.share_by_variant(300)
        return f"{text}"

    answer = await seen(shop, session.token, asked, handler=wavering)
    assert answer.text == ("USD" if change in {discarded, refused} else "EUR")
    assert answer.headers["cache-control"] == "private"


async def test_choice_of_nobody(make_shop: Callable[..., Shop]) -> None:
    """A choice that has no session to go to is in no page for everybody, though the page goes on without it."""
    shop = make_shop(defaults=ContextDefaults(**GUEST))

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.share_by_variant(300)
        return f"{await refused(ctx)}"

    answer = await seen(shop, None, EURO, handler=page)
    assert (answer.text, answer.headers["cache-control"]) == ("USD", "private")


async def test_choice_that_another_worker_overtakes(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A page that shows what waits, and learns at its end that something later was chosen, is its shopper's own."""
    here, there = make_shop(), make_shop()
    session = emporix.new_session(**GUEST)
    await here.currency(session.token)
    emporix.fault("context.patch", Fault(status=503), times=None)
    await here.switch(session.token, currency="USD")
    await asyncio.sleep(1.0)
    await there.switch(session.token, currency="CHF")
    emporix.clear_faults()
    while held(emporix, session.session_id)["currency"] != "CHF":
        await asyncio.sleep(1.0)
        await there.currency(session.token)

    answer = await seen(here, session.token, EURO.replace("EUR", "CHF"))
    assert answer.text == "main USD de-CH DE"
    assert answer.headers["cache-control"] == "private"


async def test_required(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Whether there is a session is more than the variant: a page that insists on one is shared with nobody."""
    shop = make_shop(defaults=ContextDefaults(**GUEST))

    async def insisting(ctx: SessionContext, _: Request) -> str:
        ctx.share_by_variant(300)
        try:
            await ctx.load(required=True)
        except NoToken:
            return "log in"
        return "welcome"

    for token in (None, emporix.new_session(**GUEST).token):
        answer = await seen(shop, token, EURO, handler=insisting)
        assert (answer.headers["cache-control"], why(shop)[-1]) == ("private", "more was read")


@pytest.mark.parametrize("ask", ["account", "companies", "validate"])
@pytest.mark.parametrize("shares", [True, False])
async def test_who_is_logged_in(make_shop: Callable[..., Shop], ask: str, shares: bool) -> None:
    """What the session's own source tells of a customer is no less the shopper's own than what the context does."""
    customers = CustomerShop(make_shop, platform())
    await customers.login(JANE)
    headers = {} if shares else {"Cache-Control": "public, s-maxage=300"}

    async def greeting(ctx: SessionContext, request: Request) -> Response:
        if shares:
            ctx.share_by_variant(300)
        return PlainTextResponse(str(await getattr(customers.sessions, ask)(request)), headers=headers)

    answer = await customers.shop.visit(greeting)
    assert answer.headers["cache-control"] == "private"
    assert "Cookie" in answer.headers["vary"]


async def test_account_in_an_outage(make_shop: Callable[..., Shop]) -> None:
    """A customer's page stays his own where Emporix cannot tell whose session it is."""
    emporix = platform()
    before = CustomerShop(make_shop, emporix)
    await before.login(JANE)
    after = CustomerShop(make_shop, emporix)
    after.shop.browser.cookies = before.shop.browser.cookies
    emporix.fault("context", Fault(status=503), times=None)

    async def greeting(ctx: SessionContext, request: Request) -> str:
        await ctx
        ctx.share_by_variant(300)
        return f"{(await after.sessions.account(request)).is_customer}"

    variant = "acme~~EUR~~"
    answer = await after.shop.visit(
        greeting, headers={"Session-Variant": variant, "Cookie": f"session_variant={variant}"}
    )
    assert answer.headers["cache-control"] == "private"


async def test_whether_somebody_is_logged_in(shop: Shop, emporix: FakeEmporix) -> None:
    """Guests share pages that say so; a customer's page is private, and his browser forgets the variant."""

    async def greeting(ctx: SessionContext, request: Request) -> str:
        return f"{await page(ctx, request)} {ctx.is_logged_in}"

    guest = emporix.new_session(**GUEST).token
    customer = emporix.new_session(**GUEST, customer_id="jane").token
    assert (await seen(shop, guest, EURO, handler=greeting)).headers["cache-control"] == SHARED
    answer = await seen(shop, customer, EURO, handler=greeting)
    assert answer.headers["cache-control"] == "private"
    assert "session_variant=; Path=/; Max-Age=0" in answer.headers["set-cookie"]


async def test_switching(shop: Shop, emporix: FakeEmporix) -> None:
    """The answer to a switch has the browser keep the new variant, or none where that is not known."""
    token = emporix.new_session(**GUEST).token

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        return ""

    async def switch_loaded(ctx: SessionContext, _: Request) -> str:
        (await ctx).switch_currency("CHF")
        return ""

    answer = await seen(shop, token, EURO, handler=switch)
    assert answer.headers["set-cookie"].partition(";")[0] == "session_variant=acme~main~USD~de-CH~DE"
    assert answer.headers["cache-control"] == "private"
    answer = await seen(shop, token, "acme~main~USD~de-CH~DE", handler=switch_loaded)
    assert answer.headers["set-cookie"].partition(";")[0] == "session_variant=acme~main~CHF~de-CH~DE"
    answer = await seen(shop, token, "acme~main~CHF~de-CH~DE")
    assert (answer.headers["cache-control"], answer.text) == (SHARED, "main CHF de-CH DE")


async def test_switching_without_a_variant(shop: Shop, emporix: FakeEmporix) -> None:
    """A shop that shares no page sets no such cookie."""

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        return ""

    assert "set-cookie" not in (await seen(shop, emporix.new_session(**GUEST).token, handler=switch)).headers


async def test_before_a_cart(shop: Shop, emporix: FakeEmporix) -> None:
    """While a choice waits, its shopper's pages are his own."""
    session = emporix.new_session(exists=False)

    async def switch(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        return ""

    await seen(shop, session.token, handler=switch)
    variant = "acme~~USD~~"
    answer = await seen(shop, session.token, variant)
    assert (answer.headers["cache-control"], why(shop)) == ("private", ["changes are pending"])


async def test_another_token(shop: Shop, emporix: FakeEmporix) -> None:
    """Whoever becomes somebody else in a request loses the variant of before."""
    guest = emporix.new_session(**GUEST).token
    customer = emporix.new_session(**{**GUEST, "currency": "CHF"}, customer_id="jane")

    async def login(ctx: SessionContext, _: Request) -> str:
        await ctx.adopt(StorefrontToken(customer.token, customer.session_id))
        return ""

    async def logout(ctx: SessionContext, _: Request) -> str:
        await ctx.forget()
        return ""

    for handler in (login, logout):
        answer = await seen(shop, guest, EURO, handler=handler)
        assert "session_variant=; Path=/; Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status", "shared"),
    [
        ({}, 200, True),
        ({}, 404, True),
        ({}, 503, False),
        *(
            ({}, status, status in {204, 304, 308, 410})
            for status in (204, 206, 302, 304, 308, 400, 401, 403, 408, 410)
        ),
        *(({}, status, False) for status in (412, 416, 422, 429)),
        ({"Cache-Control": "no-store"}, 200, False),
        ({"Cache-Control": "private"}, 200, False),
        ({"Cache-Control": 'private="x-name"', "X-Name": "jane"}, 200, False),
        ({"Cache-Control": 'max-age=60, no-cache="x-name"'}, 200, False),
        ({"Cache-Control": "must-understand, no-store"}, 200, False),
        ({"Cache-Control": "no-cache"}, 200, False),
        ({"Cache-Control": "max-age=0"}, 200, True),
        ({"CDN-Cache-Control": "private"}, 200, False),
        ({"CDN-Cache-Control": 'max-age = "0"'}, 200, False),
        ({"Surrogate-Control": "no-store"}, 200, False),
        ({"X-Accel-Expires": "0"}, 200, False),
        ({"X-Accel-Expires": "@0"}, 200, False),
        ({"Cache-Control": "public, s-maxage=3600"}, 200, True),
        ({"Set-Cookie": "a=b"}, 200, False),
        ({"Vary": "*"}, 200, False),
        ({"Vary": "Accept-Encoding, Cookie"}, 200, True),
    ],
    ids=str,
)
async def test_headers_of_the_application(
    shop: Shop, emporix: FakeEmporix, headers: dict[str, str], status: int, shared: bool
) -> None:
    """What the application forbids stays forbidden; what it varies on besides is kept."""

    async def own(ctx: SessionContext, request: Request) -> Response:
        return PlainTextResponse(await page(ctx, request), status, headers)

    answer = await seen(shop, emporix.new_session(**GUEST).token, EURO, handler=own)
    assert (answer.headers["cache-control"] == SHARED) is shared
    if shared:
        assert answer.headers["vary"].endswith("Session-Variant")
        assert ("Accept-Encoding" in answer.headers["vary"]) is ("Accept-Encoding" in headers.get("Vary", ""))
        assert "Cookie" not in answer.headers["vary"]
    elif "public" not in headers.get("Cache-Control", ""):
        assert "public" not in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("CDN-Cache-Control", "max-age=86400", None),
        ("Surrogate-Control", 'content="ESI/1.0", max-age=86400', 'content="ESI/1.0"'),
        ("X-Accel-Expires", "86400", None),
        ("X-Name", "shop", "shop"),
    ],
)
async def test_fields_for_one_kind_of_cache(
    shop: Shop, emporix: FakeEmporix, name: str, value: str, sent: str | None
) -> None:
    """No cache of whatever product is told to keep a shared page for longer than the others."""

    async def own(ctx: SessionContext, request: Request) -> Response:
        return PlainTextResponse(await page(ctx, request), headers={name: value})

    answer = await seen(shop, emporix.new_session(**GUEST).token, EURO, handler=own)
    assert (answer.headers["cache-control"], answer.headers.get(name)) == (SHARED, sent)


async def test_cookie_in_whatever_case(shop: Shop, emporix: FakeEmporix) -> None:
    """A page with a cookie of the application is never shared, however the name of the field is written."""

    class Raw(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"Set-Cookie", b"sid=jane")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    async def own(ctx: SessionContext, request: Request) -> Response:
        await page(ctx, request)
        return Raw()

    answer = await seen(shop, emporix.new_session(**GUEST).token, EURO, handler=own)
    assert answer.headers["cache-control"] == "private"


@pytest.mark.parametrize(("method", "shared"), [("GET", True), ("HEAD", True), ("POST", False)])
async def test_methods(shop: Shop, emporix: FakeEmporix, method: str, shared: bool) -> None:
    """What a form is answered with is for whoever has sent it."""
    headers = {"Session-Variant": EURO, "Cookie": f"session_variant={EURO}"}
    answer = await shop.visit(page, token=emporix.new_session(**GUEST).token, headers=headers, method=method)
    assert (answer.headers["cache-control"] == SHARED) is shared


async def a_cart(ctx: SessionContext, _: Callable[[], object]) -> str | None:
    return ctx.cart_id


async def a_token(ctx: SessionContext, _: Callable[[], object]) -> str | None:
    return ctx.auth.headers("GET", "https://api.emporix.io/cart/acme/carts")["Authorization"]


async def what_was_chosen_late(ctx: SessionContext, _: Callable[[], object]) -> str | None:
    async with ctx.late_changes():
        ctx.switch_currency("USD")
    return ctx.currency


async def what_was_learnt_late(ctx: SessionContext, changes_elsewhere: Callable[[], object]) -> str | None:
    changes_elsewhere()
    await ctx.refresh()
    return ctx.currency


async def whether_it_is_a_customer_late(ctx: SessionContext, _: Callable[[], object]) -> str | None:
    changed = ctx._known
    assert changed is not None
    assert changed.document is not None
    ctx._learn(replace(changed, document=replace(changed.document, customer_id="jane")))
    return "jane" if ctx.is_logged_in else None


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "read", [a_cart, a_token, what_was_chosen_late, what_was_learnt_late, whether_it_is_a_customer_late]
)
async def test_more_is_read_too_late(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, strict: bool, read: Callable[..., Any]
) -> None:
    """Who reads something else once a shared response has started is told, or stopped: the page is for everybody."""
    shop = make_shop(strict=strict)
    session = emporix.new_session(**GUEST, cart_id="cart-1")
    stopped: list[Exception] = []

    async def streamed(ctx: SessionContext, request: Request) -> Response:
        text = await page(ctx, request)

        async def body() -> AsyncIterator[str]:
            yield text
            try:
                yield f" {await read(ctx, lambda: emporix.edit(session.session_id, currency='USD'))}"
            except SharedCacheLeak as error:
                stopped.append(error)

        return StreamingResponse(body())

    answer = await seen(shop, session.token, EURO, handler=streamed)
    assert answer.headers["cache-control"] == SHARED
    assert (answer.text == "main EUR de-CH DE", len(stopped)) == (strict, int(strict))
    assert [event.name for event in shop.events if event.name == "leak.late"] == ["leak.late"]


async def test_the_variant_is_read_late(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A streamed page may go on reading what it has been shared as."""
    shop = make_shop(strict=True)
    session = emporix.new_session(**GUEST)

    async def streamed(ctx: SessionContext, request: Request) -> Response:
        await page(ctx, request)

        async def body() -> AsyncIterator[str]:
            await ctx
            yield f"{ctx.currency} {ctx.is_logged_in} "
            async with ctx.late_changes():
                ctx.set_attribute("seen", "yes")
            await ctx.refresh()
            yield f"{ctx.currency}"

        return StreamingResponse(body())

    answer = await seen(shop, session.token, EURO, handler=streamed)
    assert (answer.text, answer.headers["cache-control"]) == ("EUR False EUR", SHARED)
    assert not shop.named("leak.late")


async def test_outage(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Who is not known in an outage gets the shop's defaults in a page of his own, and keeps his variant."""
    shop = make_shop(defaults=ContextDefaults(**GUEST))
    token = emporix.new_session(**{**GUEST, "currency": "USD"}).token
    emporix.fault("context", Fault(status=503), times=None)
    for variant in (DOLLAR, EURO, ""):
        answer = await seen(shop, token, variant)
        assert (answer.text, answer.headers["cache-control"]) == ("main EUR de-CH DE", "private")
        assert "set-cookie" not in answer.headers


async def test_old_copy(shop: Shop, emporix: FakeEmporix) -> None:
    """An old copy of a context may be shared as what it shows, and changes nobody's variant."""
    token = emporix.new_session(**GUEST).token
    await shop.currency(token)
    emporix.fault("context", Fault(status=503), times=None)
    await asyncio.sleep(120.0)
    assert "set-cookie" not in (await seen(shop, token, DOLLAR)).headers
    assert (await seen(shop, token, EURO)).headers["cache-control"] == SHARED


async def test_switching_in_an_outage(shop: Shop, emporix: FakeEmporix) -> None:
    """Who chooses while nobody knows what he has, loses the variant of before: its pages would hide his choice."""
    token = emporix.new_session(**GUEST).token
    emporix.fault("context", Fault(status=503), times=None)
    answer = await seen(shop, token, EURO, handler=switch_to_dollars)
    assert answer.headers["set-cookie"].startswith("session_variant=; Path=/; Max-Age=0")


async def test_ordinary_pages_repair(shop: Shop, emporix: FakeEmporix) -> None:
    """Once a shop shares pages, any page of a shopper sets right what his browser takes for his variant."""
    session = emporix.new_session(**GUEST)
    await seen(shop, session.token, EURO)

    async def cart(ctx: SessionContext, _: Request) -> str:
        return f"{(await ctx).cart_id}"

    assert "set-cookie" not in (await seen(shop, session.token, EURO, handler=cart)).headers
    assert "set-cookie" not in (await seen(shop, session.token, handler=cart)).headers
    answer = await seen(shop, session.token, DOLLAR, handler=cart)
    assert answer.headers["set-cookie"].startswith(f"session_variant={EURO};")
    customer = emporix.new_session(**GUEST, customer_id="jane").token
    answer = await seen(shop, customer, EURO, handler=cart)
    assert answer.headers["set-cookie"].startswith("session_variant=; Path=/; Max-Age=0")


@pytest.mark.parametrize("seconds", [-1, 1.5, True, "60", None])
async def test_seconds(shop: Shop, emporix: FakeEmporix, seconds: Any) -> None:
    """Seconds are whole ones, from 0."""

    async def wrong(ctx: SessionContext, _: Request) -> str:
        with pytest.raises(ValueError, match="whole seconds"):
            ctx.share_by_variant(seconds)
        return ""

    await seen(shop, emporix.new_session().token, handler=wrong)


async def test_odd_values(shop: Shop, emporix: FakeEmporix) -> None:
    """Two sites whose codes look alike are two variants, and a code is no header of its own."""
    odd = {**GUEST, "site_code": "a~b;c=d,\u00e4"}
    token = emporix.new_session(**odd).token
    cookie = (await seen(shop, token)).headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert cookie == "acme~a%7Eb%3Bc%3Dd%2C%C3%A4~EUR~de-CH~DE"
    assert (await seen(shop, token, cookie)).headers["cache-control"] == SHARED
