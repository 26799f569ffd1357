"""The ready switcher: switches what the shopper has changed, and nothing else, and for nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import httpx2
import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

from session_ctx_middleware import ConfigurationError, SessionContextMiddleware, get_session_context
from session_ctx_middleware.emporix import CartFollows, PublicToken, SiteCatalog
from session_ctx_middleware.resolution import Resolver
from session_ctx_middleware.same_origin import local_target
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.switcher import switcher_routes
from session_ctx_middleware.templating import Formats, install
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import patches
from .support.virtual_time import VirtualClock

OFFERS = {"currency": ["EUR", "USD", "CHF"], "language": ["de", "en"], "site_code": [("main", "Main <shop>")]}
PAGE = "{{ switcher(offers, {'currency': 'Währung'}) }}"
TEMPLATES = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.DictLoader({"page": PAGE}), autoescape=True, undefined=jinja2.StrictUndefined, auto_reload=False
    )
)


@pytest.fixture(autouse=True, scope="module")
def templates() -> None:
    """Read the files that an application reads when it starts."""
    install(TEMPLATES, languages=["de", "en"])
    assert Formats("de").language("en") == "English"


async def page(request: Request) -> Response:
    await get_session_context(request)
    return TEMPLATES.TemplateResponse(request, "page", {"offers": OFFERS})


class Visitor:
    """A browser that has a session, and pages that were opened in it."""

    def __init__(
        self,
        emporix: FakeEmporix,
        *,
        carts: CartFollows | None = None,
        sites: SiteCatalog | None = None,
        resolve: Sequence[Resolver] = (),
        root: str = "",
        **options: Any,
    ) -> None:
        self.emporix = emporix
        self.root = root
        self.session = emporix.new_session(currency="EUR", language="de", site_code="main")
        self.clock = VirtualClock()
        self.app = Starlette(
            routes=[*switcher_routes(**options), Route("/{any:path}", page)],
            middleware=[
                Middleware(
                    SessionContextMiddleware,
                    tenant=emporix.tenant,
                    carts=carts,
                    sites=sites,
                    resolve=resolve,
                    http_client=emporix.client(httpx2, base_url="http://emporix.test"),
                    clock=self.clock,
                    store=MemoryStore(clock=self.clock),
                )
            ],
        )
        app: Any = Starlette(routes=[Mount(root, self.app)]) if root else self.app
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url="https://shop.test",
            headers={"Authorization": f"Bearer {self.session.token}"},
        )

    async def open(self, path: str = "/") -> dict[str, str]:
        """Return the fields of the form on a page, as they stand."""
        form = Form()
        form.feed((await self.http.get(path)).text)
        return form.fields

    async def submit(self, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> httpx2.Response:
        return await self.http.post(
            f"{self.root}/switch", data=dict(fields), headers={"Sec-Fetch-Site": "same-origin", **(headers or {})}
        )

    def sent(self) -> list[dict[str, Any]]:
        """Return what Emporix was told."""
        return [{key: value for key, value in body.items() if key != "metadata"} for body in patches(self.emporix)]


class Form(HTMLParser):
    """Reads the fields of the only form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.options: dict[str, list[str]] = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.fields[found["name"]] = found["value"]
        elif tag == "select":
            self._select = found["name"]
            self.options[self._select] = []
        elif tag == "option":
            self.options[self._select].append(found["value"])
            if "selected" in found:
                self.fields[self._select] = found["value"]


@pytest.fixture
async def visitor(emporix: FakeEmporix) -> AsyncIterator[Visitor]:
    visitor = Visitor(emporix)
    yield visitor
    await visitor.http.aclose()


async def test_switch(visitor: Visitor) -> None:
    """A changed field is sent alone, and the shopper is back on the same page."""
    fields = await visitor.open("/products?sort=price&page=2")
    answer = await visitor.submit({**fields, "currency": "USD"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/products?sort=price&page=2")
    assert visitor.sent() == [{"currency": "USD"}]
    assert (await visitor.open())["currency"] == "USD"


@pytest.mark.parametrize("make_carts", [None, CartFollows], ids=["alone", "with its cart"])
@pytest.mark.parametrize("knows", [True, False], ids=["known", "first request"])
async def test_what_the_site_does_not_offer(
    emporix: FakeEmporix, make_carts: type[CartFollows] | None, *, knows: bool
) -> None:
    """A value that the site does not offer is refused, and the answer says why, whenever that is found out."""
    sites = SiteCatalog(PublicToken("storefront"))
    visitor = Visitor(emporix, carts=None if make_carts is None else make_carts(), sites=sites)
    await visitor.open() if knows else None
    await sites.load() if knows else None

    answer = await visitor.submit({"currency": "CAD"})

    assert answer.status_code == 422
    assert "EUR" in answer.text
    assert visitor.sent() == []
    assert (await visitor.open())["currency"] == "EUR"
    await visitor.http.aclose()


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        (None, ""),
        (Fault(status=400), "&cart=failed"),
        (Fault(hang=True), "&cart=half"),
        (Fault(body={"id": "x", "siteCode": "main", "currency": "EUR", "items": []}), "&cart=accepted"),
    ],
    ids=["moved", "failed", "half", "accepted"],
)
async def test_cart_that_follows(emporix: FakeEmporix, fault: Fault | None, note: str) -> None:
    """The next page is told of a cart that is not where its shopper is, and no more of an earlier one."""
    visitor = Visitor(emporix, carts=CartFollows(names_unpriced=False))
    async with emporix.client(httpx2, base_url="http://emporix.test") as client:
        headers = {"authorization": f"Bearer {visitor.session.token}"}
        await client.post("/cart/acme/carts", json={"currency": "EUR", "siteCode": "main"}, headers=headers)
    fields = await visitor.open("/cart?cart=half&page=2")
    if fault is not None:
        operation = "cart.get" if fault.body else "cart.change_currency"
        emporix.fault(operation, fault, times=None)
    answer = await visitor.submit({**fields, "back": f"{fields['back']}#end", "currency": "USD"})

    assert answer.headers["location"] == f"/cart?page=2{note}#end"
    assert (await visitor.open())["currency"] == ("USD" if note in {"", "&cart=accepted"} else "EUR")
    await visitor.http.aclose()


SPELLINGS = (
    "/k%C3%A4se",
    "/a%20b",
    "/a%3Fb%23c",
    "/100%25",
    "/a%2Fb",
    "/a%5Cb",
    "/%ff",
    "/a;b@c:80,d",
    "/x?a&&b=%C3%A4",
)


@pytest.mark.parametrize("path", SPELLINGS)
async def test_back_to_any_page(visitor: Visitor, path: str) -> None:
    """However a page is spelt, the shopper is back on it, and on no other."""
    fields = await visitor.open(path)
    answer = await visitor.submit({**fields, "currency": "USD"})
    assert answer.headers["location"] == path


@pytest.mark.parametrize("path", SPELLINGS)
async def test_back_without_the_spelling(visitor: Visitor, path: str) -> None:
    """Where a server does not say how a page was spelt, what leads back to it is spelt anew, and means the same."""
    app = visitor.app

    async def without(scope: Any, receive: Any, send: Any) -> None:
        await app({key: value for key, value in scope.items() if key != "raw_path"}, receive, send)

    transport = httpx2.ASGITransport(without)
    async with httpx2.AsyncClient(transport=transport, base_url="https://shop.test") as http:
        form = Form()
        form.feed((await http.get(path)).text)
    back = form.fields["back"]
    assert local_target(back, "-") == back
    if path != "/%ff":
        assert unquote(back) == unquote(path)


async def test_query_that_speaks_of_a_cart(visitor: Visitor) -> None:
    """Where no cart follows, what a shop's own query says of one is led back to as it is."""
    fields = await visitor.open("/basket?cart=abc")
    answer = await visitor.submit({**fields, "currency": "USD"})
    assert answer.headers["location"] == "/basket?cart=abc"


async def test_stale_tab(visitor: Visitor) -> None:
    """A tab that was open for long, or the Back button, undoes nothing that was chosen elsewhere meanwhile."""
    old = await visitor.open()
    await visitor.submit({**await visitor.open(), "currency": "CHF"})
    await visitor.submit({**old, "language": "en"})

    assert visitor.sent() == [{"currency": "CHF"}, {"language": "en"}]
    now = await visitor.open()
    assert (now["currency"], now["language"]) == ("CHF", "en")


async def test_one_button(visitor: Visitor) -> None:
    """A form of one button that shows nothing switches what it says."""
    assert (await visitor.submit({"currency": "USD"})).headers["location"] == "/"
    assert visitor.sent() == [{"currency": "USD"}]


async def test_nothing_changed(visitor: Visitor) -> None:
    """A form that is sent as it was costs no call."""
    assert (await visitor.submit(await visitor.open())).status_code == 303
    assert visitor.sent() == []


async def test_form(visitor: Visitor) -> None:
    """The form offers names in their own language, has a label for each list, and escapes what it shows."""
    text = (await visitor.http.get("/a?b=%22%3E%3Cscript%3E")).text
    form = Form()
    form.feed(text)

    assert form.options == {"currency": ["EUR", "USD", "CHF"], "language": ["de", "en"], "site_code": ["main"]}
    assert form.fields["back"] == "/a?b=%22%3E%3Cscript%3E"
    assert "Main &lt;shop&gt;" in text
    assert text.count("<label>") == text.count("</label>") == 3
    assert "<span>Währung</span>" in text
    assert '<option value="en" lang="en">English</option>' in text


async def test_switcher_without_its_routes(emporix: FakeEmporix) -> None:
    """A page whose form leads nowhere says what is missing; so does one that offers what nobody can switch."""
    visitor = Visitor(emporix, path="/elsewhere")
    assert (await visitor.open())["currency"] == "EUR"
    visitor.app.router.routes = [
        route for route in visitor.app.router.routes if getattr(route, "path", "") != "/elsewhere"
    ]
    with pytest.raises(ConfigurationError, match="switcher_routes"):
        await visitor.open()


async def test_value_that_is_not_offered_any_more(visitor: Visitor) -> None:
    """What holds is shown, also where nobody offers it; sending the form leaves it alone."""
    await visitor.submit({"currency": "SEK"})
    fields = await visitor.open()
    assert fields["currency"] == fields["shown.currency"] == "SEK"


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"currency": "SEK"}, "CHF, EUR"), ({"language": "x;y"}, "language"), ({"currency": "<script>"}, "CHF, EUR")],
)
async def test_value_that_is_refused(emporix: FakeEmporix, fields: dict[str, str], told: str) -> None:
    """A value that is not allowed, or is none, is refused, and nothing is switched."""
    visitor = Visitor(emporix, allowed={"currency": ["EUR", "CHF"]})
    answer = await visitor.submit({"site_code": "other", **fields})

    assert answer.status_code == 422
    assert told in answer.text
    assert "<script>" not in answer.text
    assert visitor.sent() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://blog.shop.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://shop.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://app.test"}, 303),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://app.test:444"}, 403),
        ({"Sec-Fetch-Site": "", "Origin": "https://shop.test"}, 403),
        ({"Origin": "https://shop.test"}, 303),
        ({"Origin": "https://shop.test:443"}, 303),
        ({"Origin": "http://shop.test"}, 403),
        ({"Origin": "https://shop.test.evil.test"}, 403),
        ({"Origin": "https://shop.test@evil.test"}, 403),
        ({"Origin": "https://evil.test/https://shop.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "https://app.test"}, 303),
        ({}, 303),
        ({"Referer": "https://evil.test/"}, 303),
    ],
    ids=str,
)
async def test_other_sites(emporix: FakeEmporix, headers: dict[str, str], status: int) -> None:
    """Pages of other places cannot switch for the shopper, unless the shop trusts them; refusals say who differs."""
    visitor = Visitor(emporix, trusted_origins=["https://app.test"])
    answer = await visitor.http.post("/switch", data={"currency": "USD"}, headers=headers)

    assert answer.status_code == status
    assert visitor.sent() == ([{"currency": "USD"}] if status == 303 else [])
    if status == 403:
        assert "https://shop.test: nothing was changed" in answer.text


async def test_behind_a_proxy_that_ends_tls(emporix: FakeEmporix) -> None:
    """Where the proxy does not pass the scheme on, the page's origin is https all the same."""
    visitor = Visitor(emporix)
    answer = await visitor.http.post(
        "http://shop.test/switch", data={"currency": "USD"}, headers={"Origin": "https://shop.test"}
    )
    assert answer.status_code == 303


ELSEWHERE = (
    "https://evil.test",
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\/evil.test",
    "/\t/evil.test",
    "\t//evil.test",
    " //evil.test",
    "/\n/evil.test",
    "/\r\nLocation: https://evil.test",
    "/./\\evil.test",
    "/.//evil.test",
    "/x/..//evil.test",
    "/x/../..//evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.test",
    "https:evil.test",
    "http:/evil.test",
    "?x",
    "",
    "/\u2028/evil.test",
    "/\x00/evil.test",
    "/" + "x" * 4096,
    "@evil.test",
    "/%0d%0aX: y\x7f",
)


@pytest.mark.parametrize("target", ELSEWHERE, ids=ascii)
async def test_other_targets(visitor: Visitor, target: str) -> None:
    """The switcher leads to no page but the shop's own; what is doubtful leads home."""
    answer = await visitor.submit({"currency": "USD", "back": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "target", ["/", "/a", "/a?b=//c&d=https://e", "/a#//b", "/%2F%2Fevil.test", "/a;b@c:80", "/a..b/...", "/~x?y"]
)
async def test_own_targets(visitor: Visitor, target: str) -> None:
    """Pages of the shop are led back to as they are."""
    assert (await visitor.submit({"currency": "USD", "back": target})).headers["location"] == target


@given(st.text(alphabet="/\\.?#@:%x \t\n\r", max_size=12))
def test_any_target(text: str) -> None:
    """Whatever is asked for, a browser stays with the shop (the URL standard, as far as a resolver follows it)."""
    target = local_target(text, "/home")
    assert httpx2.URL("https://shop.test/page").join(target).host == "shop.test"
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))


async def test_htmx(visitor: Visitor) -> None:
    """With htmx, the browser is told where to go, so that the whole page is anew; caches are told so."""
    answer = await visitor.submit({"currency": "USD", "back": "/cart"}, {"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/cart")
    assert "HX-Request" in answer.headers["vary"]
    assert visitor.sent() == [{"currency": "USD"}]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("currency=USD", "application/json"),
        ("currency=" + "x" * 20_000, "application/x-www-form-urlencoded"),
        ("a=&" * 200, "application/x-www-form-urlencoded"),
        ("currency=\xff", "application/x-www-form-urlencoded"),
        ("currency=%ff", "application/x-www-form-urlencoded"),
    ],
    ids=["json", "large", "many", "not ascii", "not utf-8"],
)
async def test_no_form(visitor: Visitor, body: str, kind: str) -> None:
    """What is no form of a bearable size is refused."""
    answer = await visitor.http.post("/switch", content=body.encode("latin-1"), headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert visitor.sent() == []


async def test_several_values_of_one_name(visitor: Visitor) -> None:
    """Of several values the first one counts."""
    answer = await visitor.http.post(
        "/switch",
        content=b"currency=USD&currency=CHF&unknown=1",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
    )
    assert answer.status_code == 303
    assert visitor.sent() == [{"currency": "USD"}]


@pytest.mark.parametrize(
    "options",
    [
        {"path": "switch"},
        {"home": "https://shop.test"},
        {"allowed": {"currency": "EUR"}},
        {"allowed": {"colour": ["red"]}},
        {"allowed": ["EUR"]},
        {"trusted_origins": "https://app.test"},
        {"trusted_origins": ["app.test"]},
        {"trusted_origins": ["https://app.test/"]},
        {"trusted_origins": [None]},
    ],
    ids=str,
)
def test_mistakes(options: dict[str, Any]) -> None:
    """What cannot work is told at once."""
    with pytest.raises(ConfigurationError):
        switcher_routes(**options)
