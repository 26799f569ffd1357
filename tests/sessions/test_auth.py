"""The shop's own calls to Emporix: what they go out with, where to, and which carts are noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from traceback import walk_tb
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from session_ctx_middleware import ConfigurationError, ContextNotLoaded, NoToken, SessionContext, StorefrontToken
from session_ctx_middleware.emporix.shop_calls import ShopCalls
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..emporix.test_token_endpoints import KIM
from ..support.shop import Shop, patches
from ..support.virtual_time import WALL_START
from .keys import SECRET

URL = "https://api.emporix.io"
CART = f"{URL}/cart/acme/carts"
SITES = f"{URL}/site/acme/sites"
NEW_CART = {"currency": "EUR", "siteCode": "main"}
MakeShop = Callable[..., Shop]


class Wire:
    """The shop's own client, in front of Emporix and of everybody else; remembers what goes out."""

    def __init__(self, emporix: FakeEmporix, library: Any) -> None:
        self.sent: list[Any] = []
        self.moved_to = ""
        self._library = library
        self._inner = library.ASGITransport(app=emporix)
        wire = self

        class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
            async def handle_async_request(self, request: Any) -> Any:
                return await wire.answer(request)

        self._transport = Transport()

    def client(self, **options: Any) -> Any:
        return self._library.AsyncClient(transport=self._transport, **options)

    async def answer(self, request: Any) -> Any:
        self.sent.append((str(request.url), dict(request.headers)))
        if request.url.host != "api.emporix.io":
            return self._library.Response(200)
        if self.moved_to:
            return self._library.Response(307, headers={"location": self.moved_to})
        return await self._inner.handle_async_request(request)

    def headers(self, name: str) -> list[str | None]:
        return [headers.get(name) for _, headers in self.sent]


@pytest.fixture
def quirks() -> dict[str, Any]:
    return {}


@pytest.fixture
def emporix(quirks: dict[str, Any]) -> FakeEmporix:
    return FakeEmporix(quirks=Quirks(**quirks), now=lambda: WALL_START + asyncio.get_running_loop().time())


@pytest.fixture
def wire(emporix: FakeEmporix, http_library: Any) -> Wire:
    return Wire(emporix, http_library)


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[Any]:
    async with wire.client() as client:
        yield client


@pytest.fixture
def guests(make_shop: MakeShop) -> Shop:
    return make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET)


def calling(client: Any, method: str, url: str, **options: Any) -> Any:
    """Return an endpoint that makes one call, and answers with its status."""

    async def page(ctx: SessionContext, _: Request) -> str:
        return str((await client.request(method, url, auth=ctx.auth, **options)).status_code)

    return page


async def cart(ctx: SessionContext, _: Any) -> str:
    return f"{(await ctx).currency} {ctx.cart_id}"


def switching(currency: str) -> Any:
    async def page(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency=currency)

    return page


async def test_token_is_found_or_minted(guests: Shop, emporix: FakeEmporix, wire: Wire, client: Any) -> None:
    """A call begins the session that it needs, which the browser keeps; its answer is the shopper's alone."""
    first = await guests.visit(calling(client, "GET", SITES))
    again = await guests.visit(calling(client, "GET", SITES))

    assert [first.text, again.text] == ["200", "200"]
    assert "private" in first.headers["cache-control"]
    assert emporix.count("anonymous.login") == 1
    assert len(set(wire.headers("authorization"))) == 1
    assert wire.headers("session-id") == [None, None]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/site/acme/sites",
        "https://api.emporix.io:8443/site/acme/sites",
        "http://api.emporix.io/site/acme/sites",
        "https://api.emporix.io.evil.example/cart/acme/carts",
        "https://api.emporix.io@evil.example/cart/acme/carts",
    ],
)
async def test_nobody_else_gets_anything(guests: Shop, emporix: FakeEmporix, wire: Wire, client: Any, url: str) -> None:
    """A call to another scheme, host or port goes out as it is, and begins no session."""

    async def page(ctx: SessionContext, _: Any) -> str:
        assert ctx.auth.headers("POST", url) == {}
        return str((await client.post(url, auth=ctx.auth)).status_code)

    await guests.visit(page)
    (sent,) = wire.sent
    assert not {"session-id", "saas-token"}.intersection(sent[1])
    assert not sent[1].get("authorization", "").startswith("Bearer")
    assert emporix.count("anonymous") == 0


def test_what_services_want() -> None:
    """Paths decide: carts are bound to a session, a customer's saas token makes carts and orders."""
    calls = ShopCalls("https://gateway.example/emporix", "acme")
    base = "https://gateway.example/emporix"
    wanted = {
        ("GET", f"{base}/cart/acme/carts?siteCode=main"): {"session-id", "saas-token"},
        ("post", f"{base}/cart/acme/carts"): {"session-id", "saas-token"},
        ("PUT", f"{base}/cart/acme/carts/c1/refresh"): {"session-id"},
        ("POST", f"{base}/customer/acme/socialLogin?code=x"): {"session-id"},
        ("POST", f"{base}/checkout/acme/checkouts/order"): {"saas-token"},
        ("GET", f"{base}/order-v2/acme/orders"): {"saas-token"},
        ("POST", f"{base}/return/acme/returns"): {"saas-token"},
        ("GET", f"{base}/product/acme/products"): set(),
        ("POST", f"{base}/cart/other/carts"): set(),
        ("POST", f"{base}/customer/acme/login"): set(),
    }
    for (method, url), headers in wanted.items():
        call = calls.find_url(method, url)
        assert call is not None, url
        assert calls.wanted(call) == headers, url
    for elsewhere in (
        "https://gateway.example/crm/cart/acme/carts",
        "https://gateway.example/emporix2/cart/acme/carts",
        "https://gateway.example/emporix/%2e%2e/crm",
        "https://gateway.example\\emporix/cart/acme/carts",
        "https://gateway.example:x/emporix/",
        "/emporix/cart/acme/carts",
        "",
        None,
    ):
        assert calls.find_url("POST", elsewhere) is None, elsewhere


@pytest.mark.parametrize("quirks", [{"cart_headers": "required"}])
async def test_created_cart_is_noticed(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """A cart that a call creates makes the context appear, and what was parked is sent before the response starts."""
    await guests.visit(switching("CHF"), method="POST")
    assert (await guests.visit(cart)).text == "CHF None"

    emporix.latency = 0.2
    assert (await guests.visit(calling(client, "POST", CART, json=NEW_CART), method="POST")).text == "201"

    assert [patch["currency"] for patch in patches(emporix)] == ["CHF"]
    currency, cart_id = (await guests.visit(cart)).text.split()
    assert currency == "CHF"
    assert cart_id != "None"


async def test_told_besides(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """Whoever says so besides costs no second look."""
    await guests.visit(switching("CHF"), method="POST")
    emporix.latency = 0.1
    seen: list[Any] = []

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        cart_id = (await client.post(CART, json=NEW_CART, auth=ctx.auth)).json()["cartId"]
        emporix.clear_calls()
        await ctx.cart_created(cart_id)
        seen.extend([ctx.cart_id == cart_id, ctx.currency, len(patches(emporix))])

    await guests.visit(page, method="POST")

    assert seen == [True, "CHF", 1]
    assert emporix.count("context.get") == 1


async def test_cart_of_a_background_task(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """Where the response has gone already, what was parked is sent all the same; nothing of the task's own is."""
    await guests.visit(switching("CHF"), method="POST")

    async def page(ctx: SessionContext, _: Request) -> Response:
        await ctx

        async def work() -> None:
            assert (await client.post(CART, json=NEW_CART, auth=ctx.auth)).status_code == 201

        return Response(background=BackgroundTask(work))

    assert (await guests.visit(page, method="POST")).status_code == 200
    await asyncio.sleep(1.0)

    assert [patch["currency"] for patch in patches(emporix)] == ["CHF"]
    assert not guests.named("leak.late")


async def test_found_cart_is_noticed(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """So does one that is created by looking for it; to find it again with every page costs no call."""
    await guests.visit(cart)
    look = calling(client, "GET", CART, params={"siteCode": "main", "create": "true"})
    assert (await guests.visit(look)).text == "200"
    emporix.clear_calls()

    assert (await guests.visit(cart)).text.split()[1] != "None"
    assert (await guests.visit(look)).text == "200"
    assert emporix.count("context.get") == 0


@pytest.mark.parametrize(
    "options",
    [
        {"method": "POST", "url": CART, "json": {**NEW_CART, "type": "wishlist"}},
        {"method": "GET", "url": CART, "params": {"siteCode": "main", "create": "true", "type": "wishlist"}},
        {"method": "GET", "url": CART, "params": {"siteCode": "main"}},
        {"method": "POST", "url": CART, "json": {"currency": "euro"}},
    ],
    ids=["wishlist", "found wishlist", "only looked for", "refused"],
)
async def test_nothing_was_created(guests: Shop, emporix: FakeEmporix, client: Any, options: dict[str, Any]) -> None:
    """A wishlist is none of the session's carts, and where nothing was created there is nothing to look for."""
    await guests.visit(cart)
    emporix.clear_calls()

    await guests.visit(calling(client, **options), method="POST")

    assert emporix.count("context") == 0


async def test_noticing_delays_no_call(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """The shop's calls go on at once, whatever the context does; its trouble is no trouble of theirs."""
    await guests.visit(cart)
    emporix.fault("context.get", Fault(hang=True), times=None)
    times: list[float] = []

    async def page(ctx: SessionContext, _: Any) -> str:
        began = asyncio.get_running_loop().time()
        answer = await client.post(CART, json=NEW_CART, auth=ctx.auth)
        times.append(asyncio.get_running_loop().time() - began)
        return str(answer.status_code)

    began = asyncio.get_running_loop().time()
    assert (await guests.visit(page, method="POST")).text == "201"

    assert times[0] < 0.1
    assert asyncio.get_running_loop().time() - began < 2.5


@pytest.mark.parametrize("quirks", [{"cart_headers": "required"}])
async def test_session_is_learnt(make_shop: MakeShop, emporix: FakeEmporix, client: Any) -> None:
    """Where the application does not know the session of a token, Emporix tells it, once."""
    shop = make_shop()
    session = emporix.new_session(exists=False)

    answer = await shop.visit(calling(client, "POST", CART, json=NEW_CART), token=session.token, method="POST")

    assert answer.text == "201"


@pytest.mark.parametrize("quirks", [{"cart_headers": "required"}])
async def test_saas_token(guests: Shop, emporix: FakeEmporix, wire: Wire, client: Any) -> None:
    """A customer's carts go out with the saas token for as long as that is good, and nothing else does."""
    await log_in(guests)

    assert (await guests.visit(calling(client, "POST", CART, json=NEW_CART), method="POST")).text == "201"
    await guests.visit(calling(client, "GET", SITES))
    await asyncio.sleep(4 * 3600)
    refused = await guests.visit(calling(client, "POST", CART, json=NEW_CART), method="POST")

    assert [bool(each) for each in wire.headers("saas-token")] == [True, False, False]
    assert refused.text == "400"


async def log_in(shop: Shop) -> None:
    """Have the browser keep the session of a customer."""

    async def page(ctx: SessionContext, request: Request) -> None:
        sessions: Any = ctx._deps.tokens._sources[0]
        await sessions.login(request, *KIM)

    await shop.visit(page, method="POST")


@pytest.mark.parametrize("follows", ["the client", "the call"])
async def test_redirects(guests: Shop, emporix: FakeEmporix, wire: Wire, follows: str) -> None:
    """A client that follows redirects gets no more than the bearer, which it takes to no other host."""
    wire.moved_to = "https://evil.example/"
    by_call = {"follow_redirects": True} if follows == "the call" else {}
    async with wire.client(follow_redirects=follows == "the client") as client:

        async def page(ctx: SessionContext, _: Any) -> None:
            with pytest.raises(ConfigurationError, match="follow_redirects=False"):
                await client.post(CART, json=NEW_CART, auth=ctx.auth, **by_call)
            assert wire.sent == [], "nothing was sent"
            await client.get(SITES, auth=ctx.auth, **by_call)

        await guests.visit(page)
    assert [url for url, _ in wire.sent] == [SITES, "https://evil.example/"]
    assert [bool(each) for each in wire.headers("authorization")] == [True, False]


async def test_redirects_of_the_default_client(guests: Shop, wire: Wire, client: Any) -> None:
    """The default client stays, and who goes on by himself takes nothing along."""
    wire.moved_to = "https://evil.example/"

    async def page(ctx: SessionContext, _: Any) -> None:
        answer = await client.post(CART, json=NEW_CART, auth=ctx.auth)
        assert wire.headers("session-id") != [None]
        await client.send(answer.next_request)

    await guests.visit(page)
    assert [url for url, _ in wire.sent] == [CART, "https://evil.example/"]
    assert not {"authorization", "session-id", "saas-token"}.intersection(wire.sent[1][1])


async def test_refused_token(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """Calls with a token that Emporix refuses are made once more with its successor, which is asked for once."""
    await guests.visit(cart)
    emporix.fault("cart.create", Fault(status=401))
    emporix.fault("site.list", Fault(status=401), times=2)

    async def page(ctx: SessionContext, _: Any) -> str:
        calls = [client.get(SITES, auth=ctx.auth), client.get(SITES, auth=ctx.auth)]
        calls.append(client.post(CART, json=NEW_CART, auth=ctx.auth))
        return " ".join(str(answer.status_code) for answer in await asyncio.gather(*calls))

    assert (await guests.visit(page, method="POST")).text == "200 200 201"
    assert emporix.count("anonymous.refresh") == 1
    assert len(emporix._world.sessions) == 1


async def test_refused_before_and_after_a_login(guests: Shop, emporix: FakeEmporix, wire: Wire, client: Any) -> None:
    """A call of the customer that is refused is not made once more with a token of the guest from before."""
    guest: list[Any] = []

    async def page(ctx: SessionContext, request: Request) -> str:
        sessions: Any = ctx._deps.tokens._sources[0]
        emporix.fault("site.list", Fault(status=401))
        answers = [await client.get(SITES, auth=ctx.auth)]
        guest.extend(wire.headers("authorization"))
        await sessions.login(request, *KIM)
        wire.sent.clear()
        emporix.fault("site.list", Fault(status=401))
        answers.append(await client.get(SITES, auth=ctx.auth))
        return " ".join(str(answer.status_code) for answer in answers)

    assert (await guests.visit(page, method="POST")).text == "200 200"
    assert len(set(guest)) == 2
    assert len(set(wire.headers("authorization"))) == 2
    assert not set(guest).intersection(wire.headers("authorization"))


@pytest.mark.parametrize("fault", [Fault(status=401), Fault(status=401, by="proxy")], ids=["emporix", "proxy"])
async def test_refused_for_good(guests: Shop, emporix: FakeEmporix, client: Any, fault: Fault) -> None:
    """Where another token does not help, the shop gets the answer; what is not Emporix' word changes no token."""
    await guests.visit(cart)
    emporix.fault("site.list", fault, times=None)

    async def page(ctx: SessionContext, _: Any) -> str:
        return " ".join([str((await client.get(SITES, auth=ctx.auth)).status_code) for _ in range(3)])

    assert (await guests.visit(page)).text == "401 401 401"
    assert emporix.count("anonymous.refresh") == (1 if fault.by == "emporix" else 0)
    assert emporix.count("anonymous.login") == 1


async def test_streamed_body_is_sent_once(guests: Shop, emporix: FakeEmporix, client: Any) -> None:
    """A body that is gone with the first attempt is not sent half a second time."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"currency": "EUR", "siteCode": "main"}'

    async def page(ctx: SessionContext, _: Any) -> str:
        return str((await client.post(CART, content=body(), auth=ctx.auth)).status_code)

    emporix.fault("cart.create", Fault(status=401))
    assert (await guests.visit(page, method="POST")).text == "401"
    assert (await guests.visit(page, method="POST")).text == "201"
    assert (await guests.visit(cart)).text.split()[1] != "None"


async def test_nobody_to_call_for(guests: Shop, emporix: FakeEmporix, wire: Wire, client: Any) -> None:
    """For a crawler no session begins, and its call is not made at all."""

    async def page(ctx: SessionContext, _: Any) -> None:
        with pytest.raises(NoToken):
            await client.get(SITES, auth=ctx.auth)

    await guests.visit(page, headers={"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"})
    assert wire.sent == []
    assert emporix.count("anonymous") == 0


async def test_headers_for_everything_else(guests: Shop, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Other ways to make calls get the headers, once the token is known."""

    async def page(ctx: SessionContext, _: Any) -> None:
        with pytest.raises(ContextNotLoaded):
            ctx.auth.headers("GET", SITES)
        assert set((await ctx).auth.headers("POST", CART)) == {"Authorization", "session-id"}
        assert set(ctx.auth.headers("GET", SITES)) == {"Authorization"}

    async def at_once(ctx: SessionContext, _: Any) -> None:
        assert ctx.auth.headers("GET", SITES) == {"Authorization": f"Bearer {session.token}"}

    async def nobody(ctx: SessionContext, _: Any) -> None:
        with pytest.raises(NoToken):
            ctx.auth.headers("GET", SITES)

    await guests.visit(page)
    session, shop = emporix.new_session(), make_shop()
    await shop.visit(at_once, token=session.token)
    await shop.visit(nobody)


async def test_nothing_is_shown(make_shop: MakeShop, emporix: FakeEmporix, client: Any) -> None:
    """Neither the object nor an error nor its frames show a credential, and no two objects look alike."""
    session = emporix.new_session()
    shop = make_shop(token=lambda _: StorefrontToken(session.token, session_id=session.session_id))

    async def page(ctx: SessionContext, _: Any) -> None:
        assert repr(ctx.auth) != repr(ctx.auth)
        with pytest.raises(ConfigurationError) as raised:
            await client.post(CART, json=NEW_CART, auth=ctx.auth, follow_redirects=True)
        shown = [repr(ctx.auth), repr(ctx.auth._caller), *map(repr, [raised.value, vars(raised.value)])]
        shown += [
            repr(frame.f_locals)
            for frame, _ in walk_tb(raised.value.__traceback__)
            if "tests" not in frame.f_code.co_filename
        ]
        assert not [text for text in shown if session.token in text or session.session_id in text]

    await shop.visit(page)
