"""Where values come from besides the session: each place in its turn, field by field, and nothing by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host as HostRoute
from starlette.routing import Mount, Route

from session_ctx_middleware import (
    ConfigurationError,
    ContextDefaults,
    SessionContext,
    SessionContextMiddleware,
    get_session_context,
)
from session_ctx_middleware.resolution import AcceptLanguage, CookieValue, CountryHeader, Host, Resolver, UrlPrefix
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop, patches
from .support.virtual_time import VirtualClock

PREFIXES = UrlPrefix({"de": {"language": "de"}, "0": {"language": "fr", "site_code": "fr"}})
EVERY: list[Resolver] = [
    PREFIXES,
    Host({"shop.test": {"target_location": "CH"}}),
    CookieValue("lang", "language"),
    AcceptLanguage(["en", "de", "fr", "pt-BR"]),
    CountryHeader("CF-IPCountry", ["DE", "FR"]),
]


async def seen(shop: Shop, token: str | None = None, field: str = "language", **headers: str) -> str:
    """Return a value and its source, as a page shows them."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{getattr(ctx, field)} {ctx.source(field)}"

    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await shop.visit(page, token=token, headers=sent)).text


def connection(path: str = "/", **headers: str) -> HTTPConnection:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "method": "GET", "path": path, "headers": sent, "scheme": "https"})


async def test_order(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A change counts more than the address, that more than the session, a cookie, a header and the default."""
    known = emporix.new_session(language="it").token
    unknown = emporix.new_session(language=None).token
    defaults = ContextDefaults(language="en", target_location="AT")
    shop = make_shop(resolve=EVERY[1:], defaults=defaults)

    assert await seen(shop, unknown) == "en default"
    assert await seen(shop, unknown, accept_language="fr") == "fr header"
    assert await seen(shop, unknown, accept_language="fr", cookie="lang=de") == "de cookie"
    assert await seen(shop, known, accept_language="fr", cookie="lang=de") == "it document"
    assert await seen(shop, known, field="target_location") == "CH url"

    shop = make_shop(resolve=EVERY, defaults=defaults)  # its first path is /0
    assert await seen(shop, known, accept_language="fr", cookie="lang=de") == "fr url"

    async def changing(ctx: SessionContext, _: Request) -> str:
        ctx.switch_language("es")
        await ctx
        return f"{ctx.language} {ctx.source('language')}"

    shop = make_shop(resolve=UrlPrefix({str(number): {"language": "fr"} for number in range(3)}))
    assert (await shop.visit(changing, token=known)).text == "es change"
    assert await seen(shop, known) == "fr url"


async def test_without_a_session(make_shop: Callable[..., Shop]) -> None:
    """Visitors without a token see what their requests say."""
    shop = make_shop(resolve=EVERY[2:])
    assert await seen(shop, accept_language="de-CH, fr;q=0.9") == "de header"
    assert await seen(shop, field="target_location", cf_ipcountry="de") == "DE header"
    assert await seen(shop) == "None unset"


async def test_vary(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A response that depends on the context varies on what resolvers read; others stay as they are."""
    shop = make_shop(resolve=EVERY)

    async def page(ctx: SessionContext, _: Request) -> str:
        return (await ctx).language or ""

    async def untouched(ctx: SessionContext, _: Request) -> str:
        return repr(ctx)[:0]

    answer = await shop.visit(page, token=emporix.new_session().token)
    assert answer.headers["vary"] == "Authorization, Cookie, Accept-Language, CF-IPCountry"
    assert "vary" not in (await shop.visit(untouched)).headers


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-CH, fr;q=0.9", "de"),
        ("fr;q=0.1, de;q=0.2", "de"),
        ("it, *;q=0.5", None),
        ("PT-br", "pt-BR"),
        ("pt", None),
        ("de;q=0, fr;q=0.1", "fr"),
        ("de;q=2, fr", "fr"),
        ("de;q=x, fr", "fr"),
        ("zh-Hant-x-private, de", "de"),
        ("fr-x-a-b", "fr"),
        ("en;level=1", "en"),
        (",;,=,", None),
        ("it," * 49 + "de", "de"),
        ("it," * 50 + "de", None),
        ("it;q=0." + "1" * 1014 + ",de", "de"),
        ("it;q=0." + "1" * 1016 + ",de", None),
        ("", None),
    ],
)
def test_accept_language(header: str, language: str | None) -> None:
    """The preferred language that the shop speaks, by the lookup of RFC 4647."""
    found = EVERY[3].resolve(connection(accept_language=header))
    assert found.get("language") == language


@given(st.text(max_size=60))
def test_any_header(text: str) -> None:
    """No header breaks a page."""
    value = text.encode("utf-8", "replace").decode("latin-1")
    for resolver in EVERY:
        found = resolver.resolve(connection(text, accept_language=value, cookie=value, host=value, cf_ipcountry=value))
        assert isinstance(found, Mapping)


@pytest.mark.parametrize(
    ("path", "root", "language"),
    [("/de/cart", "", "de"), ("/DE", "", "de"), ("/app/de", "/app", "de"), ("/app/de", "", None), ("/dehli", "", None)],
)
def test_prefix(path: str, root: str, language: str | None) -> None:
    """The first segment counts, whole, and behind where the application is mounted."""
    asked = connection(path)
    asked.scope["root_path"] = root
    assert PREFIXES.resolve(asked).get("language") == language


@pytest.mark.parametrize("host", ["shop.test", "SHOP.test:8443"])
def test_host(host: str) -> None:
    """Neither case nor port of a host is of any matter."""
    assert EVERY[1].resolve(connection(host=host)) == {"target_location": "CH"}
    assert EVERY[1].resolve(connection(host="evil.shop.test")) == {}
    assert EVERY[1].resolve(connection(host="[::1]")) == {}


@pytest.mark.parametrize("country", ["XX", "T1", "AT", "", "D", "DEU", "<>"])
def test_no_country(country: str) -> None:
    """What is no country, or none that the shop delivers to, is passed over."""
    assert EVERY[4].resolve(connection(cf_ipcountry=country)) == {}


def persisting() -> UrlPrefix:
    return UrlPrefix({str(number): {"language": "fr"} for number in range(9)}, persist=True)


NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("headers", "method", "persists"),
    [
        (NAVIGATION, "GET", True),
        ({}, "GET", True),
        ({**NAVIGATION, "Sec-Purpose": "prefetch;prerender"}, "GET", False),
        ({"Purpose": "prefetch"}, "GET", False),
        ({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, "GET", False),
        ({**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, "GET", False),
        (NAVIGATION, "POST", False),
    ],
    ids=str,
)
async def test_persisting(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, headers: dict[str, str], method: str, persists: bool
) -> None:
    """The address becomes a choice when somebody opens a page, once; a prefetch switches nobody."""
    session = emporix.new_session(language="de")
    shop = make_shop(resolve=persisting())

    async def page(ctx: SessionContext, _: Request) -> str:
        return (await ctx).language or ""

    for _ in range(2):
        assert (await shop.visit(page, token=session.token, headers=headers, method=method)).text == "fr"
    assert [body.get("language") for body in patches(emporix)] == (["fr"] if persists else [])


async def test_persisting_after_a_logout(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """The page of a logout gives the session that has just ended nothing more."""
    shop = make_shop(resolve=persisting())

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx
        await ctx.forget()

    await shop.visit(logout, token=emporix.new_session(language="de").token)
    assert patches(emporix) == []


@pytest.mark.parametrize("mounted", [False, True])
async def test_prefix_of_a_mounted_part(emporix: FakeEmporix, mounted: bool) -> None:
    """A prefix counts wherever the page is: also where a router has taken it for what its part is mounted under."""

    async def page(request: Request) -> Response:
        ctx = await get_session_context(request)
        return PlainTextResponse(f"{ctx.language} {ctx.source('language')}")

    part = Mount("/de", routes=[Route("/cart", page)]) if mounted else Route("/de/cart", page)
    app = SessionContextMiddleware(
        Starlette(routes=[part]),
        tenant=emporix.tenant,
        resolve=PREFIXES,
        http_client=emporix.client(httpx2, base_url="http://emporix.test"),
        store=MemoryStore(),
        clock=VirtualClock(),
    )
    shop = Starlette(routes=[Mount("/shop", app)])
    headers = {"Authorization": f"Bearer {emporix.new_session(language='fr').token}"}
    for root, path in ((app, "/de/cart"), (shop, "/shop/de/cart")):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(root), base_url="https://shop.test") as browser:
            assert (await browser.get(path, headers=headers)).text == "de url"
    await app.aclose()


async def test_persisting_gives_way_to_a_change(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What a request switches is what it switches, whatever its address says."""
    session = emporix.new_session(language="de")
    shop = make_shop(resolve=persisting())

    async def page(ctx: SessionContext, _: Request) -> str:
        (await ctx).switch_language("it")
        return ctx.language or ""

    assert (await shop.visit(page, token=session.token)).text == "it"
    assert [body["language"] for body in patches(emporix)] == ["it"]


async def test_persisting_touches_nothing_by_itself(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A page that does not use the context persists nothing, and neither does one while Emporix is down."""
    session = emporix.new_session(language="de")
    shop = make_shop(resolve=persisting())

    async def untouched(_: SessionContext, __: Request) -> str:
        return ""

    await shop.visit(untouched, token=session.token)
    assert emporix.count() == 0


class Broken:
    """A resolver of a shop that fails."""

    place = "header"
    vary = ()
    persists = False

    def resolve(self, _connection: HTTPConnection) -> dict[str, str]:
        raise RuntimeError("secret")


class Odd(Broken):
    """A resolver of a shop that finds what cannot be."""

    def resolve(self, _connection: HTTPConnection) -> dict[str, Any]:
        return {"currency": "eur", "language": 3, "colour": "red", "target_location": "CH"}


async def test_resolvers_of_a_shop(make_shop: Callable[..., Shop]) -> None:
    """One that raises is told, and breaks no page; values that cannot be are passed over."""
    shop = make_shop(resolve=[Broken(), Odd()])
    assert await seen(shop, field="target_location") == "CH header"
    assert await seen(shop, field="currency") == "None unset"
    failed = [(event.name, event.outcome) for event in shop.events if event.name == "resolver.failed"]
    assert failed == [("resolver.failed", "RuntimeError")] * 2


async def test_tenants_by_host_and_path(emporix: FakeEmporix) -> None:
    """Parts of one application may be shops of different tenants."""
    southern = FakeEmporix(tenant="south", now=emporix.now)

    async def page(request: Request) -> Response:
        return PlainTextResponse((await get_session_context(request)).currency)

    def part(fake: FakeEmporix) -> SessionContextMiddleware:
        client, store = fake.client(httpx2), MemoryStore()
        app = Starlette(routes=[Route("/", page)])
        return SessionContextMiddleware(app, tenant=fake.tenant, http_client=client, store=store, clock=VirtualClock())

    both = Starlette(routes=[HostRoute("north.example", part(emporix)), Mount("/south", part(southern))])
    north, south = emporix.new_session(currency="EUR").token, southern.new_session(currency="USD").token
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(both)) as browser:
        asked = {"https://north.example/": (north, "EUR"), "https://other.example/south/": (south, "USD")}
        for url, (token, currency) in asked.items():
            assert (await browser.get(url, headers={"Authorization": f"Bearer {token}"})).text == currency


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: UrlPrefix({}),
        lambda: UrlPrefix({"de": "de"}),  # type: ignore[dict-item]
        lambda: UrlPrefix({"de/at": {"language": "de"}}),
        lambda: UrlPrefix({"de": {"colour": "red"}}),
        lambda: UrlPrefix({"de": {"currency": "euro"}}),
        lambda: UrlPrefix({"de": {"language": "de"}}, persist="yes"),  # type: ignore[arg-type]
        lambda: Host(["shop.test"]),  # type: ignore[arg-type]
        lambda: CookieValue("a b", "language"),
        lambda: CookieValue("lang", "colour"),
        lambda: AcceptLanguage("de"),
        lambda: AcceptLanguage([]),
        lambda: AcceptLanguage(["<de>"]),
        lambda: CountryHeader("a b"),
        lambda: CountryHeader("CF-IPCountry", ["Germany"]),
        lambda: SessionContextMiddleware(Starlette(), tenant="acme", resolve=UrlPrefix),  # type: ignore[arg-type]
        lambda: SessionContextMiddleware(Starlette(), tenant="acme", resolve="de"),  # type: ignore[arg-type]
        lambda: SessionContextMiddleware(Starlette(), tenant="acme", resolve=[None]),  # type: ignore[list-item]
    ],
)
def test_mistakes(wrong: Callable[[], object]) -> None:
    """What cannot work is told at once."""
    with pytest.raises(ConfigurationError):
        wrong()
