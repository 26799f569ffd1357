"""Who may see the panel: browsers on this machine that ask for it by name. For everybody else it is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from session_ctx_middleware import SessionContextMiddleware, get_session_context
from session_ctx_middleware.debug_panel import DebugPanel
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.testing import FakeEmporix

from ..support.asgi import Message, never
from ..support.virtual_time import VirtualClock
from .reading import PANEL, text_of

LOCAL = {"Host": "localhost"}
PROXIED = {**LOCAL, "X-Forwarded-For": "127.0.0.1"}


async def page(request: Request) -> PlainTextResponse:
    await get_session_context(request)
    return PlainTextResponse("page")


def shop_of(emporix: FakeEmporix, panel: DebugPanel | None) -> Starlette:
    options: dict[str, Any] = {"tenant": "acme", "http_client": emporix.client(httpx2), "clock": VirtualClock()}
    return Starlette(
        routes=[Route("/", page), Route("/find/{what:path}", page)],
        middleware=[Middleware(SessionContextMiddleware, debug_panel=panel, **options)],
    )


async def ask(
    app: Any, headers: Mapping[str, str], client: str = "127.0.0.1", method: str = "GET", path: str = PANEL
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app, client=(client, 50_000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as browser:
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        return await browser.request(method, path, headers=sent)


def same(one: httpx2.Response, other: httpx2.Response) -> bool:
    return (one.status_code, one.content, one.headers) == (other.status_code, other.content, other.headers)


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "localhost:8000"),
        ("127.8.9.10", "127.0.0.1:8000"),
        ("::1", "[::1]:8000"),
        ("::ffff:127.0.0.1", "LOCALHOST."),
        ("127.0.0.1", "de.shop.localhost:8000"),
        ("127.0.0.1", "shop.test"),
    ],
)
async def test_admitted(emporix: FakeEmporix, client: str, host: str) -> None:
    """Browsers on this machine are, under each of its names, and under those that were configured."""
    app = shop_of(emporix, DebugPanel(hosts=["Shop.test"]))

    assert "Session context" in (await ask(app, {"Host": host}, client)).text


@pytest.mark.parametrize(
    "client", ["192.0.2.7", "10.0.0.1", "172.17.0.1", "0.0.0.0", "::", "2001:db8::1", "testclient", ""]
)
async def test_other_machines(emporix: FakeEmporix, client: str) -> None:
    """Whoever asks from elsewhere gets what the shop answers without a panel."""
    bare = await ask(shop_of(emporix, None), LOCAL, client)

    answer = await ask(shop_of(emporix, DebugPanel()), LOCAL, client)

    assert answer.status_code == 404
    assert same(answer, bare)


async def test_no_address(emporix: FakeEmporix) -> None:
    """A client of no address, as behind a Unix socket, or that speaks as old proxies do, may be anybody."""
    app, statuses = shop_of(emporix, DebugPanel()), list[int]()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "GET", "path": PANEL, "query_string": b"", "scheme": "http"}
    scope["headers"] = [(b"host", b"localhost")]
    await app({**scope}, never, send)
    await app({**scope, "client": None}, never, send)
    await app({**scope, "client": ("127.0.0.1", 1)}, never, send)
    await app({**scope, "client": ("127.0.0.1", 1), "http_version": "1.0"}, never, send)

    assert statuses == [404, 404, 200, 404]


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded: for=127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Host: localhost",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 127.0.0.1",
        "Via: 1.1 proxy",
        "CF-Connecting-IP: 127.0.0.1",
        "Sec-Fetch-Site: cross-site",
    ],
)
async def test_proxies(emporix: FakeEmporix, header: str) -> None:
    """Behind a proxy the client is the proxy, whoever asks; and pages of other sites have nothing to ask here."""
    name, _, value = header.partition(": ")

    assert (await ask(shop_of(emporix, DebugPanel()), {**LOCAL, name: value})).status_code == 404


@pytest.mark.parametrize(
    "host",
    [
        *("shop.test", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.7"),
        *("[2001:db8::1]", "", "local host", "localhost@evil.example", "localhost:port", "[::1", "\u00e4.localhost"),
    ],
)
async def test_foreign_names(emporix: FakeEmporix, host: str) -> None:
    """A name that was made to lead here is none of this machine's (DNS rebinding)."""
    answer = await ask(shop_of(emporix, DebugPanel()), {"Host": host})

    assert answer.status_code == 404


async def test_several_names(emporix: FakeEmporix) -> None:
    """Of two names nobody knows which one is meant."""
    transport = httpx2.ASGITransport(shop_of(emporix, DebugPanel()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as browser:
        answer = await browser.get(PANEL, headers=[("Host", "localhost"), ("Host", "evil.example")])

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (PROXIED, 200),
        ({**LOCAL, "X-Forwarded-For": "::1, 127.0.0.1", "X-Real-IP": "127.0.0.1", "Via": "1.1 caddy"}, 200),
        ({**LOCAL, "Forwarded": 'for="[::1]:4711";proto=https, for=127.0.0.1'}, 200),
        (LOCAL, 200),
        ({**LOCAL, "X-Forwarded-For": "192.0.2.7, 127.0.0.1"}, 404),
        ({**LOCAL, "X-Forwarded-For": "127.0.0.1, 192.0.2.7"}, 404),
        ({**LOCAL, "X-Forwarded-For": "unknown"}, 404),
        ({**LOCAL, "X-Real-IP": "192.0.2.7"}, 404),
        ({**LOCAL, "Forwarded": "for=192.0.2.7"}, 404),
        ({**LOCAL, "Forwarded": "for=_hidden"}, 404),
        ({**LOCAL, "Forwarded": "by=127.0.0.1"}, 404),
        ({**LOCAL, "Forwarded": 'host="for=127.0.0.1";for=192.0.2.7'}, 404),
        ({**LOCAL, "Forwarded": 'host="a;for=127.0.0.1";for=192.0.2.7'}, 404),
        ({**LOCAL, "Forwarded": 'host="for=127.0.0.1"'}, 404),
        ({**PROXIED, "Host": "shop.example"}, 404),
    ],
    ids=str,
)
async def test_expected_proxy(emporix: FakeEmporix, headers: dict[str, str], status: int) -> None:
    """A proxy on this machine that is expected may ask for browsers on this machine."""
    assert (await ask(shop_of(emporix, DebugPanel(behind_proxy=True)), headers)).status_code == status


async def test_expected_proxy_of_another_machine(emporix: FakeEmporix) -> None:
    """One on another machine may not."""
    assert (await ask(shop_of(emporix, DebugPanel(behind_proxy=True)), PROXIED, "192.0.2.7")).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods(emporix: FakeEmporix, method: str) -> None:
    """It can be looked at, and nothing else."""
    assert (await ask(shop_of(emporix, DebugPanel()), LOCAL, method=method)).status_code == 404


async def test_head(emporix: FakeEmporix) -> None:
    """HEAD answers as GET does, without the page."""
    answer = await ask(shop_of(emporix, DebugPanel()), LOCAL, method="HEAD")

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


async def test_headers(emporix: FakeEmporix) -> None:
    """Nobody keeps the page, nothing in it runs, is loaded or sent, and no page of others has it in a frame."""
    answer = await ask(shop_of(emporix, DebugPanel()), LOCAL)

    rules = [each.strip().partition(" ") for each in answer.headers["content-security-policy"].split(";")]
    policy = {name: value for name, _, value in rules}
    assert answer.headers["cache-control"] == "no-store"
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy.pop("sandbox") == ""
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert not re.search(r"<script|<link|<img|<form|href=|src=|url\(|@import| on\w+=| style=", answer.text)


async def test_escaped(emporix: FakeEmporix) -> None:
    """What comes from outside is text, and what it asks for is not kept."""
    app = shop_of(emporix, DebugPanel())
    await ask(app, LOCAL, path="/find/%3Cscript%3Ealert(1)%3C/script%3E?secret=querycanary")
    # Of a request that no route takes the path is shown as it came.
    broken = SessionContextMiddleware(_raw, tenant="acme", debug_panel=(panel := DebugPanel()), clock=VirtualClock())
    with pytest.raises(KeyError):
        await ask(broken, LOCAL, path="/%3Cscript%3E&quot;%22%27")
    assert panel.path == PANEL
    texts = [(await ask(each, LOCAL)).text for each in (app, broken)]

    assert "GET /find/{what:path}" in text_of(texts[0])
    assert "/<script>&quot;\"'" in text_of(texts[1])
    assert not [text for text in texts if "<script" in text or "querycanary" in text]


async def _raw(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] != PANEL:
        await scope["state"]["session_ctx"]
    raise KeyError


async def test_link(emporix: FakeEmporix) -> None:
    """Who may see the panel is told where the request of an answer is shown in it, and nobody else is told anything."""
    app = shop_of(emporix, DebugPanel())
    here, there = await ask(app, LOCAL, path="/"), await ask(app, LOCAL, "192.0.2.7", path="/")

    link = here.headers["x-debug-token-link"]
    address, _, name = link.partition("#")
    assert address == f"http://localhost{PANEL}"
    assert f'id="{name}"' in (await ask(app, LOCAL)).text
    assert "x-debug-token-link" not in there.headers


async def test_where_it_is(emporix: FakeEmporix) -> None:
    """It may be elsewhere, and is below the place where an application is mounted."""
    inner = shop_of(emporix, DebugPanel("/debug/context"))
    app = Starlette(routes=[Mount("/shop", inner)])

    assert (await ask(app, LOCAL, path=f"/shop{PANEL}")).status_code == 404
    assert (await ask(app, LOCAL, path="/shop/debug/context")).status_code == 200
    link = (await ask(app, LOCAL, path="/shop/")).headers["x-debug-token-link"]
    assert link.startswith("http://localhost/shop/debug/context#")


@pytest.mark.parametrize(
    "options",
    [
        *({"path": path} for path in ("", "/", "debug", "//evil.example", "/debug?all", "https://evil.example", 1)),
        *({"hosts": hosts} for hosts in ("shop.test", [""], ["http://shop.test"], [1], None, 5)),
        *({"requests": number} for number in (0, -1, 501, 1.5, "50", True)),
        {"behind_proxy": "yes"},
    ],
    ids=str,
)
def test_bad_configuration(options: dict[str, Any]) -> None:
    """What cannot work is told at once."""
    with pytest.raises(ConfigurationError):
        DebugPanel(**options)


@pytest.mark.parametrize("panel", [True, "on", DebugPanel, 1])
def test_no_panel(panel: Any) -> None:
    """The keyword wants a panel, and says what to write."""
    with pytest.raises(ConfigurationError, match=r"debug_panel=DebugPanel\(\) if DEBUG else None"):
        SessionContextMiddleware(Starlette(), tenant="acme", debug_panel=panel)
