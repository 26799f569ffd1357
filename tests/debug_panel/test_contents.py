"""What the panel says of a request: what it read and from where, what it changed, and what that took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import (
    CachePolicy,
    ContextDefaults,
    ContinuityPolicy,
    NoToken,
    SessionContext,
    SessionContextError,
)
from session_ctx_middleware.debug_panel import DebugPanel
from session_ctx_middleware.emporix import PublicToken, SiteCatalog
from session_ctx_middleware.resolution import AcceptLanguage
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .reading import load, request_texts, text_of

MakeShop = Callable[..., Shop]
SECRET = "a secret that all workers of this shop share"
DOWN = Fault(status=503)


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    return make_shop(debug_panel=DebugPanel(), cache=CachePolicy(jitter=0))


async def currency(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def nothing(_: SessionContext, __: Request) -> None:
    pass


def switching(**values: str) -> Any:
    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(**values)

    return endpoint


async def last(shop: Shop) -> str:
    return (await request_texts(shop.browser))[0]


async def test_nothing_yet(shop: Shop) -> None:
    """An empty panel says what to do."""
    await shop.visit(nothing)

    page = text_of((await load(shop.browser)).text)

    assert "Emporix: well breaker: well store: well" in page
    assert "No request has touched its session context yet." in page


async def test_miss_and_hit(shop: Shop, emporix: FakeEmporix) -> None:
    """The first page asks Emporix, and says how long that took; the next ones know, and say how old that is."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(delay=0.25))
    await shop.visit(currency, token=session.token)
    await asyncio.sleep(20)
    await shop.visit(currency, token=session.token)

    hit, miss = await request_texts(shop.browser)

    assert "GET /{number} 200 miss 1 call 250.0 ms" in miss
    assert "Emporix was asked. Waited: 250.0 ms Version: 1" in miss
    assert "Shopper: guest" in miss
    assert "Calls to Emporix call answer took (begun after) context.get 200 250.0 ms (0.0 ms)" in miss
    assert "GET /{number} 200 fresh 0.0 ms" in hit
    assert "This process knew the context. Version: 1 Age: 20.2 s" in hit
    assert "Calls to Emporix" not in hit


async def test_fields(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Of each field it says what it had and where from; what nobody has read is marked, and carts show their end."""
    shop = make_shop(
        debug_panel=DebugPanel(),
        defaults=ContextDefaults(target_location="AT"),
        resolve=AcceptLanguage(["en", "de"]),
    )
    cart = "0123456789abcdef0123beef"
    session = emporix.new_session(
        currency="EUR", site_code="main", language=None, target_location=None, cart_id=cart, customer_id="C-17"
    )

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        assert (ctx.currency, ctx.cart_id, ctx.is_logged_in) == ("EUR", cart, True)
        assert ctx.language == "de"
        ctx.switch(currency="USD")
        assert ctx.currency == "USD"

    await shop.visit(page, token=session.token, headers={"Accept-Language": "de"})
    text = await last(shop)

    assert "site_code main document (not read)" in text
    assert "currency USD change USD" in text
    assert "language de header" in text
    assert "target_location AT default (not read)" in text
    assert "cart_id \u2026beef document" in text
    assert "is_logged_in True" in text
    assert "Shopper: customer" in text
    assert cart not in text


async def test_price_criteria(shop: Shop, emporix: FakeEmporix) -> None:
    """Whoever asks for what prices depend on has read that."""
    session = emporix.new_session(currency="EUR", site_code="main", language="en", target_location="DE")

    async def page(ctx: SessionContext, _: Request) -> None:
        (await ctx).price_criteria()

    await shop.visit(page, token=session.token)
    text = await last(shop)

    assert "site_code main document currency EUR document language en document (not read)" in text
    assert "target_location DE document is_logged_in" in text


async def test_value_of_the_site(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A remembered value that the site does not offer any more is shown as its default."""
    catalog = SiteCatalog(PublicToken("storefront"))
    shop = make_shop(debug_panel=DebugPanel(), sites=catalog)
    session = emporix.new_session(site_code="main", currency="JPY")
    await shop.visit(nothing)
    await catalog.load()

    assert await shop.currency(session.token) == "EUR"
    text = await last(shop)

    assert "currency EUR default" in text
    assert "sites.corrected load, currency" in text


async def test_switch(shop: Shop, emporix: FakeEmporix) -> None:
    """A switch shows what was changed, how that ended, and the calls that it took."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        ctx.set_attribute("gift", "yes")
        ctx.remove_attribute("note")

    await shop.visit(endpoint, token=session.token, method="POST")
    text = await last(shop)

    assert "POST /{number} 200 not loaded 3 changes, applied 2 calls" in text
    assert "currency USD document (not read) USD" in text
    assert "attributes.gift set attributes.note removed" in text
    assert "commit.applied respond, applied, 1 attempt" in text
    assert "context.get 200" in text
    assert "context.patch 204" in text


async def test_conflict(shop: Shop, emporix: FakeEmporix) -> None:
    """Attempts that a conflict has taken are calls of their own."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, siteCode="other")

    await shop.switch(session.token, currency="USD")
    text = await last(shop)

    assert "commit.applied respond, applied, 2 attempts" in text
    assert text.count("context.patch 404") == 1
    assert text.count("context.patch 204") == 1


async def test_stale(shop: Shop, emporix: FakeEmporix) -> None:
    """A page that shows an old document says so, and has the call that renews it."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(70)
    await shop.currency(session.token)
    await asyncio.sleep(1)

    text = await last(shop)

    assert "GET /{number} 200 stale 1 call" in text
    assert "Older than the TTL" in text
    assert "Age: 70.0 s" in text


@pytest.mark.parametrize(
    ("fault", "said"),
    [(DOWN, "context.get 503"), (Fault(drop="before"), "context.get the connection failed")],
    ids=["status", "no answer"],
)
async def test_degraded(shop: Shop, emporix: FakeEmporix, fault: Fault, said: str) -> None:
    """Calls that fail say how, and the middleware is not well."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", fault, times=None)

    await shop.currency(session.token)
    page = text_of((await load(shop.browser)).text)

    assert "GET /{number} 200 degraded 2 calls" in page
    assert page.count(said) == 2
    assert "Emporix: not well" in page
    assert "upstream.failed context.get" in page.partition("Elsewhere")[2]


async def test_rejected(shop: Shop) -> None:
    """A token that Emporix refuses is seen at a glance."""
    await shop.currency("nobody-knows-this-token")

    assert "GET /{number} 200 rejected 1 call" in await last(shop)


async def test_no_token(shop: Shop) -> None:
    """A request without a token asks nobody."""

    async def page(ctx: SessionContext, _: Request) -> str:
        return "" if (await ctx).has_token else "guest"

    await shop.visit(page)
    text = await last(shop)

    assert "GET /{number} 200 no token 0.0 ms" in text
    assert "The request brought no token, and nothing was asked." in text
    assert "has_token False" in text


async def test_parked(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What waits for a context is named, where it waits and what the browser carries of it."""
    shop = make_shop(debug_panel=DebugPanel(), secret_key=SECRET)
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await shop.currency(session.token)

    read, switched = await request_texts(shop.browser)

    assert "1 change, parked" in switched
    assert "commit.parked respond, parked" in switched
    assert "Cookies of ours in the response: 1 set, 0 cleared" in switched
    assert "GET /{number} 200 no context" in read
    assert "currency USD parked" in read
    assert "Parked: currency" in read
    assert "The browser brought 1 note; waiting: currency" in read


async def test_taken(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Notes say which changes Emporix has, and that versions were seen."""
    shop = make_shop(debug_panel=DebugPanel(), secret_key=SECRET)
    session = emporix.new_session(currency="EUR")
    await shop.switch(session.token, currency="USD")
    await shop.currency(session.token)

    assert "The browser brought 1 note; taken by Emporix: currency; lowest versions: 1" in await last(shop)


async def test_note_that_is_not_believed(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A bent note is told, and not what it holds."""
    shop = make_shop(debug_panel=DebugPanel(), secret_key=SECRET)
    session = emporix.new_session(currency="EUR")
    await shop.switch(session.token, currency="USD")
    (cookie,) = shop.browser.cookies.jar
    shop.browser.cookies.clear()

    await shop.visit(currency, token=session.token, headers={"Cookie": f"{cookie.name}=bent"})
    text = await last(shop)

    assert "not believed: " in text
    assert "continuity.ignored load" in text


async def test_store(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document that another worker has asked for comes from the store."""
    store, session = MemoryStore(shared=True, clock=VirtualClock()), emporix.new_session(currency="EUR")
    first, second = make_shop(store=store), make_shop(store=store.sibling(), debug_panel=DebugPanel())
    await first.currency(session.token)
    await second.currency(session.token)

    text = await last(second)

    assert "GET /{number} 200 store" in text
    assert "Another worker had asked" in text


async def test_document_cookie(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document that the browser brought is told, and how old it is; one that is not needed, too."""
    options = {"secret_key": SECRET, "continuity": ContinuityPolicy(document=True), "debug_panel": DebugPanel()}
    first, second = make_shop(**options), make_shop(**{**options, "debug_panel": DebugPanel()})
    session = emporix.new_session(currency="EUR")
    await first.currency(session.token)
    await asyncio.sleep(5)
    second.browser.cookies.update(first.browser.cookies)
    await second.currency(session.token)
    await second.currency(session.token)

    hit, cold = await request_texts(second.browser)

    assert "GET /{number} 200 document cookie" in cold
    assert "Version: 1 Age: 5.0 s" in cold
    assert "Travelling document: brought, and used" in cold
    assert "GET /{number} 200 fresh" in hit


async def test_shared_get(shop: Shop, emporix: FakeEmporix) -> None:
    """Requests that have shared one call all say so; another shopper's do not."""
    session, other = emporix.new_session(currency="EUR"), emporix.new_session(currency="CHF")
    emporix.fault("context.get", Fault(delay=1.0), times=2)
    await asyncio.gather(*(shop.currency(token) for token in (session.token, session.token, other.token)))

    texts = await request_texts(shop.browser)

    assert emporix.count("context.get") == 2
    assert [text.count("context.get 200") for text in texts] == [1, 1, 1]


async def test_begun_session(make_shop: MakeShop) -> None:
    """A call without a shopper's token, such as the beginning of a session, is of the request that was alone then."""
    emporix = FakeEmporix(context_at="login", now=lambda: 1_800_000_000.0 + asyncio.get_running_loop().time())
    shop = make_shop(
        emporix=emporix, token=StorefrontSessions("storefront"), secret_key=SECRET, debug_panel=DebugPanel()
    )
    await shop.visit(currency)

    text = await last(shop)

    assert "2 calls" in text
    assert "context.get 200" in text


async def test_endpoint_that_fails(shop: Shop, emporix: FakeEmporix) -> None:
    """What an exception has cost is told, with what to do about it."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        raise KeyError

    with pytest.raises(KeyError):
        await shop.visit(endpoint, token=session.token)
    text = await last(shop)

    assert "GET /{number} KeyError not loaded 1 change, discarded" in text
    assert "changes.discarded end, exception The endpoint failed, and its changes were not sent." in text


async def test_bad_input(shop: Shop) -> None:
    """An invalid change shows as what it was answered with."""
    assert (await shop.visit(switching(currency="dollars"))).status_code == 422
    assert "GET /{number} 422 InvalidChange" in await last(shop)


async def test_explicit_commit(shop: Shop, emporix: FakeEmporix) -> None:
    """A commit by hand that fails is told as what it is, and once more as what became of it in the end."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context", DOWN, times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        with pytest.raises(SessionContextError):
            await ctx.commit()

    await shop.visit(endpoint, token=session.token)
    text = await last(shop)

    assert "commit.failed commit, " in text
    assert "commit.parked respond, parked" in text


async def test_dropped_change(shop: Shop) -> None:
    """A change that nobody could keep is told with its remedy."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("gift", "yes")
        with pytest.raises(NoToken):
            await ctx.commit()

    await shop.visit(endpoint)

    assert "changes.lost commit, NoToken" in await last(shop)


async def test_untouched(shop: Shop, emporix: FakeEmporix) -> None:
    """Requests that did not touch their context are counted and not listed."""
    session = emporix.new_session(currency="EUR")
    for _ in range(3):
        await shop.visit(nothing, token=session.token)
    await shop.currency(session.token)

    page = text_of((await load(shop.browser)).text)

    assert "The last 1 that touched their session context, newest first. 3 others did not touch it" in page


async def test_elsewhere(shop: Shop) -> None:
    """What no request has brought about is listed apart from them."""
    assert "panel.on start, local clients" in text_of((await load(shop.browser)).text).partition("Elsewhere")[2]
