"""The switcher of a shop whose addresses say something: what was chosen there shows on the next page."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from session_ctx_middleware.resolution import AcceptLanguage, Host, Resolver, Resolvers, UrlPrefix
from session_ctx_middleware.same_origin import local_target
from session_ctx_middleware.templating import Formats, install
from session_ctx_middleware.testing import FakeEmporix

from .test_switcher import ELSEWHERE, SPELLINGS, TEMPLATES, Visitor

LANGUAGES = UrlPrefix({"de": {"language": "de"}, "en": {"language": "en"}, "Pt-BR": {"language": "pt-BR"}})
COUNTRIES = UrlPrefix(
    {
        "fr": {"language": "fr", "target_location": "FR"},
        "fr-ch": {"language": "fr", "target_location": "CH"},
        "de-ch": {"language": "de", "target_location": "CH"},
        "de": {"language": "de", "target_location": "DE"},
    }
)
HOSTS = Host({"shop.test": {"language": "de"}, "fr.shop.test": {"language": "fr"}})


@pytest.fixture(autouse=True, scope="module")
def templates() -> None:
    """Read the files that an application reads when it starts."""
    install(TEMPLATES, languages=["de", "en", "fr"])
    assert Formats("de").language("en") == "English"


def led(target: str, *, at: Resolver, root: str = "", host: str = "shop.test", **changes: str) -> str:
    """Return where the switcher leads from a page."""
    scope = {"type": "http", "path": "/switch", "root_path": root, "headers": [(b"host", host.encode("latin-1"))]}
    return Resolvers(at, lambda _: None).at_its_address(HTTPConnection(scope), target, changes)


@pytest.mark.parametrize("root", ["", "/shop"])
async def test_choice_that_the_address_decides(emporix: FakeEmporix, root: str) -> None:
    """Who chooses another language on /de/cart is on /en/cart next, with all that was asked, and reads it there."""
    visitor = Visitor(emporix, resolve=[LANGUAGES], root=root)
    fields = await visitor.open(f"{root}/de/cart?page=2")
    assert fields["language"] == "de"
    answer = await visitor.submit({**fields, "back": fields["back"] + "#end", "language": "en"})

    assert (answer.status_code, answer.headers["location"]) == (303, f"{root}/en/cart?page=2#end")
    assert visitor.sent() == [{"language": "en"}]
    assert (await visitor.open(answer.headers["location"].partition("#")[0]))["language"] == "en"


async def test_choice_that_no_address_says(emporix: FakeEmporix) -> None:
    """Where no address says what was chosen, the page without a prefix shows it."""
    visitor = Visitor(emporix, resolve=[LANGUAGES])
    answer = await visitor.submit({**await visitor.open("/de/cart?a=1"), "language": "fr"})

    assert answer.headers["location"] == "/cart?a=1"
    assert (await visitor.open("/cart"))["language"] == "fr"


async def test_choice_that_the_address_leaves_open(emporix: FakeEmporix) -> None:
    """A page stays where it is, if its address says nothing of what was changed, or nothing was."""
    visitor = Visitor(emporix, resolve=[LANGUAGES, AcceptLanguage(["en"])])
    fields = await visitor.open("/de/cart")
    assert (await visitor.submit({**fields, "currency": "USD"})).headers["location"] == "/de/cart"
    assert (await visitor.submit(fields)).headers["location"] == "/de/cart"
    fields = await visitor.open("/cart")
    assert (await visitor.submit({**fields, "language": "en"})).headers["location"] == "/cart"


async def test_htmx(emporix: FakeEmporix) -> None:
    """With htmx, too, the page is that at the address of the choice."""
    visitor = Visitor(emporix, resolve=[LANGUAGES])
    answer = await visitor.submit({**await visitor.open("/de/cart"), "language": "en"}, {"HX-Request": "true"})
    assert answer.headers["hx-redirect"] == "/en/cart"


async def test_another_host(emporix: FakeEmporix) -> None:
    """A host that says what was chosen is led to with the browser's scheme and port; others of no one are not."""
    visitor = Visitor(emporix, resolve=[HOSTS])
    fields = await visitor.open("/cart?a=1")
    answer = await visitor.submit({**fields, "language": "fr"})
    assert answer.headers["location"] == "//fr.shop.test/cart?a=1"

    answer = await visitor.submit({**fields, "language": "it"})
    assert answer.headers["location"] == "/cart?a=1"


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("shop.test:8443", "//fr.shop.test:8443/cart"),
        ("SHOP.test", "//fr.shop.test/cart"),
        ("shop.test:80@evil.test", "//fr.shop.test/cart"),
        ("shop.test:", "//fr.shop.test/cart"),
        ("evil.test", "/cart"),
        ("shop.test.evil.test", "/cart"),
        ("", "/cart"),
    ],
)
def test_host_that_a_client_makes_up(host: str, location: str) -> None:
    """Hosts are those that were configured, whatever a request says of its own."""
    assert led("/cart", at=HOSTS, host=host, language="fr") == location


@pytest.mark.parametrize(
    ("target", "changes", "location"),
    [
        ("/de-ch/cart", {"language": "fr"}, "/fr-ch/cart"),
        ("/de/cart", {"language": "fr"}, "/fr/cart"),
        ("/de/cart", {"target_location": "CH"}, "/de-ch/cart"),
        ("/de/cart", {"target_location": "CH", "language": "fr"}, "/fr-ch/cart"),
        ("/de-ch/cart", {"target_location": "AT"}, "/cart"),
        ("/de/cart", {"target_location": "AT", "language": "fr"}, "/cart"),
        ("/fr/cart", {"language": "fr"}, "/fr/cart"),
    ],
)
def test_several_fields(target: str, changes: dict[str, str], location: str) -> None:
    """Of several addresses that say what was chosen it is the one most like the page's; none that contradicts."""
    assert led(target, at=COUNTRIES, **changes) == location


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/de", "/Pt-BR"),
        ("/de/", "/Pt-BR/"),
        ("/DE/cart", "/Pt-BR/cart"),
        ("/%64e/cart", "/Pt-BR/cart"),
        ("/de?x=/de/#/de", "/Pt-BR?x=/de/#/de"),
        ("/de/de", "/Pt-BR/de"),
        ("/dehli/de", "/dehli/de"),
        ("/", "/"),
    ],
)
def test_prefixes(target: str, location: str) -> None:
    """One whole segment is put in the place of another, as it was configured, and nothing else is touched."""
    assert led(target, at=LANGUAGES, language="pt-BR") == location


@pytest.mark.parametrize(
    ("target", "location"),
    [("/de", "/"), ("/de/", "/"), ("/de#x", "/#x"), ("/de/a/", "/a/"), ("/de//evil.test", "/evil.test")],
)
def test_page_without_a_prefix(target: str, location: str) -> None:
    """A page without its prefix is a page of this host all the same, the home page among them."""
    assert led(target, at=LANGUAGES, language="it") == location


def test_where_the_application_is_mounted() -> None:
    """What an application is mounted under is no prefix, however it is spelt, and stays as it is."""
    assert led("/de/de/cart", at=LANGUAGES, root="/de", language="en") == "/de/en/cart"
    assert led("/k%C3%A4se/de", at=LANGUAGES, root="/käse", language="en") == "/k%C3%A4se/en"
    assert led("/de", at=LANGUAGES, root="/de", language="en") == "/de"


async def test_first_resolver_counts(emporix: FakeEmporix) -> None:
    """Where two addresses say one field, the page goes where the one says it that counts."""
    visitor = Visitor(emporix, resolve=[HOSTS, LANGUAGES])
    answer = await visitor.submit({"language": "fr", "back": "/en/cart"})
    assert answer.headers["location"] == "//fr.shop.test/en/cart"


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_spelling(emporix: FakeEmporix, spelling: str) -> None:
    """However a page is spelt, its counterpart is spelt the same."""
    visitor = Visitor(emporix, resolve=[LANGUAGES])
    answer = await visitor.submit({**await visitor.open(f"/de{spelling}"), "language": "en"})
    assert answer.headers["location"] == f"/en{spelling}"


@pytest.mark.parametrize("target", [f"/de{target}" for target in ELSEWHERE], ids=ascii)
@pytest.mark.parametrize("language", ["en", "it"], ids=["another prefix", "no prefix"])
async def test_other_targets(emporix: FakeEmporix, target: str, language: str) -> None:
    """No trick behind a prefix leads to another host, with or without it; what is doubtful leads home."""
    visitor = Visitor(emporix, resolve=[LANGUAGES])
    answer = await visitor.submit({"language": language, "back": target})

    assert answer.status_code == 303
    location = answer.headers["location"]
    assert httpx2.URL("https://shop.test/page").join(location).host == "shop.test"
    assert local_target(location, "-") == location
    if local_target(target, "-") == "-":
        assert location == "/"


@given(st.text(alphabet="/\\.?#@:%xde \t\n\r", max_size=12), st.sampled_from(["en", "it"]))
def test_any_target(text: str, language: str) -> None:
    """Whatever is asked for, a browser stays with the shop."""
    target = led(local_target(f"/de{text}", "/home"), at=LANGUAGES, language=language)
    assert local_target(target, "-") == target
    assert httpx2.URL("https://shop.test/page").join(target).host == "shop.test"


@pytest.mark.parametrize("fields", [{"language": "x;y"}, {"currency": "euro"}, {"language": "\x00"}], ids=str)
async def test_value_that_cannot_be(emporix: FakeEmporix, fields: dict[str, str]) -> None:
    """A value that is none is refused, and leads nowhere."""
    visitor = Visitor(emporix, resolve=[LANGUAGES, HOSTS])
    answer = await visitor.submit({**fields, "back": "/de/cart"})
    assert (answer.status_code, "location" in answer.headers, visitor.sent()) == (422, False, [])
