"""Links for search engines: each version of a page tells of all, in one spelling, and none repeats what it was told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any

import httpx2
import jinja2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

from session_ctx_middleware import ConfigurationError, SessionContextMiddleware
from session_ctx_middleware.links import Links, PageLinks
from session_ctx_middleware.resolution import Host, UrlPrefix
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.templating import install
from session_ctx_middleware.testing import FakeEmporix

from .support.virtual_time import VirtualClock

ORIGIN = "https://shop.example"
PREFIXES = UrlPrefix(
    {
        "de": {"language": "de"},
        "de-CH": {"language": "de", "target_location": "CH", "currency": "CHF"},
        "fr": {"language": "fr"},
        "b2b": {"site_code": "b2b"},
    }
)
HOSTS = Host({"shop.example.de": {"language": "de"}, "shop.example.ch": {"language": "de", "target_location": "CH"}})
LINKS = PageLinks(PREFIXES, origin=ORIGIN, query=["page", "q"])

Told = tuple[str, dict[str, str]]


@pytest.fixture(autouse=True, scope="module")
def read_files() -> None:
    """Read the files that an application reads when it starts."""
    install(jinja2.Environment(autoescape=True))


async def page(request: Request) -> Response:
    if request.url.path.endswith("/gone"):
        raise HTTPException(404)
    return templates_of(request).TemplateResponse(request, "page")


async def not_found(request: Request, _: Exception) -> Response:
    return templates_of(request).TemplateResponse(request, "page", status_code=404)


def plain_not_found(request: Request, _: Exception) -> Response:
    return templates_of(request).TemplateResponse(request, "page", status_code=404)


def templates_of(request: Request) -> Jinja2Templates:
    found: Jinja2Templates = request.scope["app"].state.templates
    return found


def shop(links: PageLinks, emporix: FakeEmporix, *, routes: Any = None, handler: Any = not_found) -> Starlette:
    """Return an application whose pages write their links."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"page": "<head>{{ page_links() }}</head>"}), autoescape=True, auto_reload=False
    )
    templates = Jinja2Templates(env=environment)
    install(templates, links=links)
    app = Starlette(
        routes=routes or [Route("/{path:path}", page)],
        exception_handlers={404: handler},
        middleware=[
            Middleware(
                SessionContextMiddleware,
                tenant=emporix.tenant,
                resolve=[PREFIXES, HOSTS],
                http_client=emporix.client(httpx2, base_url="http://emporix.test"),
                clock=VirtualClock(),
                store=MemoryStore(),
            )
        ],
    )
    app.state.templates = templates
    return app


async def told(app: Any, url: str, **headers: str) -> Told | None:
    """Return what a page tells search engines, as they read it."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=ORIGIN) as browser:
        text = (await browser.get(url, headers=headers)).text
    assert text.startswith("<head>")
    canonical = re.findall(r'<link rel="canonical" href="([^"<>]*)">', text)
    alternates = re.findall(r'<link rel="alternate" hreflang="([^"<>]*)" href="([^"<>]*)">', text)
    assert text.count("<link") == len(canonical) + len(alternates)
    if not canonical:
        assert not alternates
        return None
    (one,) = canonical
    assert len(dict(alternates)) == len(alternates)
    return unescape(one), {tag: unescape(url) for tag, url in alternates}


def connection(path: str, query: bytes = b"", *, spelt: bytes = b"", **headers: str) -> HTTPConnection:
    return HTTPConnection(
        {
            "type": "http",
            "path": path,
            "raw_path": spelt,
            "query_string": query,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "endpoint": page,
        }
    )


async def test_page(emporix: FakeEmporix) -> None:
    """A page tells which address is meant, and where it is for each language and for everybody else."""
    assert await told(shop(LINKS, emporix), "/de-CH/cart?utm_source=x&page=2") == (
        "https://shop.example/de-CH/cart?page=2",
        {
            "de": "https://shop.example/de/cart?page=2",
            "de-CH": "https://shop.example/de-CH/cart?page=2",
            "fr": "https://shop.example/fr/cart?page=2",
            "x-default": "https://shop.example/de/cart?page=2",
        },
    )


@pytest.mark.parametrize(
    "start", ["/de", "/de/", "/DE//cart", "/fr/k%c3%a4se?q=%3c%22%26%ff&q=b+c&x=1", "/de-ch/a%2Fb/"]
)
@pytest.mark.parametrize("default", [None, "fr", ""])
@pytest.mark.parametrize("root", ["", "/my%20shop"])
async def test_every_version_tells_the_same(emporix: FakeEmporix, start: str, default: str | None, root: str) -> None:
    """From each version a page tells of the same others, and is meant itself."""
    inner = shop(PageLinks(PREFIXES, origin=ORIGIN, query=["q"], default=default), emporix)
    app = Starlette(routes=[Mount("/my shop", inner)]) if root else inner
    first = await told(app, root + start)
    assert first is not None
    assert len(first[1]) == 4

    for url in first[1].values():
        assert url.startswith(f"{ORIGIN}{root}/")
        assert await told(app, url) == (url, first[1])


async def test_hosts(emporix: FakeEmporix) -> None:
    """A shop with hosts tells of those that were configured, on https."""
    app = shop(PageLinks(HOSTS), emporix)
    alternates = {
        "de": "https://shop.example.de/a",
        "de-CH": "https://shop.example.ch/a",
        "x-default": "https://shop.example.de/a",
    }
    for url in ("https://shop.example.ch/a?b", "http://SHOP.example.ch:8000/a"):
        assert await told(app, url) == ("https://shop.example.ch/a", alternates)
    for url in alternates.values():
        assert await told(app, url) == (url, alternates)
    assert await told(app, "https://shop.example.ch") == (
        "https://shop.example.ch/",
        {tag: url[:-1] for tag, url in alternates.items()},
    )


@pytest.mark.parametrize(
    "host", ["evil.test", "shop.example.de.evil.test", "shop.example.de:80@evil.test", '"><script>']
)
async def test_host_that_a_client_makes_up(emporix: FakeEmporix, host: str) -> None:
    """What a request says of its host, or a proxy in front of it, gets into no page."""
    forged = {"host": host, "x-forwarded-host": host, "forwarded": f"host={host}"}
    for links, path in ((LINKS, "/de/cart"), (PageLinks(HOSTS), "/cart")):
        found = await told(shop(links, emporix), path, **forged)
        assert "evil.test" not in str(found)
        assert "script" not in str(found)
    assert await told(shop(LINKS, emporix), "/de/cart", **forged) == await told(shop(LINKS, emporix), "/de/cart")


@pytest.mark.parametrize("path", ["/", "/cart", "/b2b/cart", "/en/cart", "/dehli", "/static/de"])
async def test_page_whose_address_names_no_language(emporix: FakeEmporix, path: str) -> None:
    """A page whose address names no language tells nothing."""
    assert await told(shop(LINKS, emporix), path) is None


async def test_page_without_a_prefix(emporix: FakeEmporix) -> None:
    """Where the page without a prefix is for everybody else, it tells the same as the others."""
    app = shop(PageLinks(PREFIXES, origin=ORIGIN, default=""), emporix)
    found = await told(app, "/cart?a=b")
    assert found == (f"{ORIGIN}/cart", {**LINKS.alternates("/cart"), "x-default": f"{ORIGIN}/cart"})
    assert await told(app, "/b2b/cart") is None


@pytest.mark.parametrize("handler", [not_found, plain_not_found])
async def test_page_that_is_not_there(emporix: FakeEmporix, handler: Any) -> None:
    """Pages to which no route leads tell nothing, and neither do those of an error that an async function shows."""
    app = shop(LINKS, emporix, routes=[Route("/de/{name}", page)], handler=handler)
    assert await told(app, "/de/cart") is not None
    assert await told(app, "/de/cart/nothing") is None
    if handler is not_found:
        assert await told(app, "/de/gone") is None
        mounted = shop(LINKS, emporix, routes=[Mount("/de", routes=[Route("/{name}", page)])])
        assert await told(mounted, "/de/cart") is not None
        assert await told(mounted, "/de/cart/nothing") is None


async def test_without_templates() -> None:
    """A frontend of its own gets the same from a plain function; it needs no middleware."""
    app = FastAPI()

    @app.get("/cart")
    @app.get("/fr/cart")
    async def links(request: Request) -> Links | None:
        return LINKS.of(request)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=ORIGIN) as browser:
        assert (await browser.get("/fr/cart?page=2")).json() == [
            f"{ORIGIN}/fr/cart?page=2",
            dict(LINKS.alternates("/cart?page=2")),
        ]
        assert (await browser.get("/cart")).json() is None


def test_site_map() -> None:
    """For site maps, a page is named with a prefix or without one."""
    expected = {
        "de": f"{ORIGIN}/de/k%C3%A4se?page=%C3%A4",
        "de-CH": f"{ORIGIN}/de-CH/k%C3%A4se?page=%C3%A4",
        "fr": f"{ORIGIN}/fr/k%C3%A4se?page=%C3%A4",
        "x-default": f"{ORIGIN}/de/k%C3%A4se?page=%C3%A4",
    }
    for named in ("/käse?x=1&page=ä#top", "/fr/k%c3%a4se?page=%C3%A4"):
        assert LINKS.alternates(named) == expected
    assert LINKS.alternates("/", root="/shop")["fr"] == f"{ORIGIN}/shop/fr/"
    with pytest.raises(ValueError, match="/products"):
        LINKS.alternates("https://evil.test/")


@pytest.mark.parametrize(
    ("values", "tag"),
    [
        ({"language": "de"}, "de"),
        ({"language": "DE", "target_location": "CH"}, "de-CH"),
        ({"language": "de-at", "target_location": "CH"}, "de-AT"),
        ({"language": "zh-hant", "target_location": "TW"}, "zh-Hant-TW"),
        ({"language": "zh-hant-hk", "target_location": "TW"}, "zh-Hant-HK"),
        ({"language": "de-1996", "target_location": "CH"}, "de-CH-1996"),
        ({"language": "es-419"}, "es-419"),
        ({"language": "sl-rozaj"}, "sl-rozaj"),
    ],
    ids=str,
)
def test_tags(values: Mapping[str, str], tag: str) -> None:
    """A tag has its usual case, and a country where the address names one and the language none (RFC 5646)."""
    assert [*PageLinks(UrlPrefix({"x": values}), origin=ORIGIN).alternates("/")] == [tag, "x-default"]


def test_a_query_without_end() -> None:
    """What nobody looks for is not repeated for each language: a page with it is the page without."""
    bare, longest = LINKS.of(connection("/de/x")), LINKS.of(connection("/de/x", b"q=" + b"a" * 2046 + b"&utm=1"))

    assert LINKS.of(connection("/de/x", b"page=1&" * 15_000)) == bare
    assert LINKS.of(connection("/de/x", b"q=" + b"+" * 1000)) == bare  # longer in the one spelling
    assert longest is not None
    assert len(longest.canonical) == len("https://shop.example/de/x?q=") + 2046


@given(st.text(max_size=20), st.binary(max_size=30), st.binary(max_size=30))
def test_any_request(path: str, spelt: bytes, query: bytes) -> None:
    """Whatever is asked for, what is told are addresses of this shop, as standards spell them, and always the same."""
    for spelling in (b"/de/" + spelt, b""):
        found = LINKS.of(connection(f"/de/{path}", b"q=" + query, spelt=spelling))
        assert found is not None
        for url in (found.canonical, *found.alternates.values()):
            assert re.fullmatch(r"https://shop\.example/[A-Za-z0-9:@!$&'()*+,;=._~/?%-]+", url)
            again = url.removeprefix(ORIGIN)
            assert LINKS.alternates(again) == found.alternates


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: PageLinks(PREFIXES), "origin"),
        (lambda: PageLinks(PREFIXES, origin="https://shop.example/"), "without a path"),
        (lambda: PageLinks(PREFIXES, origin="shop.example"), "origin"),
        (lambda: PageLinks(HOSTS, origin=ORIGIN), "takes no origin"),
        (lambda: PageLinks(Host({"shop.example:8000/x?": {"language": "de"}})), "no host"),
        (lambda: PageLinks(Host({"a b@c": {"language": "de"}})), "Each host"),
        (lambda: PageLinks([PREFIXES], origin=ORIGIN), "UrlPrefix"),  # type: ignore[arg-type]
        (lambda: PageLinks(PREFIXES, origin=ORIGIN, query="page"), "names of parameters"),
        (lambda: PageLinks(PREFIXES, origin=ORIGIN, query=[1]), "names of parameters"),  # type: ignore[list-item]
        (lambda: PageLinks(PREFIXES, origin=ORIGIN, default="en"), "one of the addresses"),
        (lambda: PageLinks(HOSTS, default=""), "one of the addresses"),
        (lambda: PageLinks(UrlPrefix({"x": {"currency": "EUR"}}), origin=ORIGIN), "name a language"),
        (
            lambda: PageLinks(UrlPrefix({"de": {"language": "de"}, "at": {"language": "DE"}}), origin=ORIGIN),
            "both for de",
        ),
        (lambda: install(jinja2.Environment(autoescape=True), links=PREFIXES), "PageLinks"),  # type: ignore[arg-type]
    ],
)
def test_mistakes(wrong: Callable[[], object], said: str) -> None:
    """What cannot work is told at once."""
    with pytest.raises(ConfigurationError, match=said):
        wrong()
