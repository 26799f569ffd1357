"""Templates write what the session's language, currency and site want, and whatever is missing costs no page."""

from __future__ import annotations

import re
from collections.abc import Callable
from gettext import NullTranslations
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from session_ctx_middleware import ConfigurationError, SessionContext
from session_ctx_middleware.templating import Formats, context_processor, install, install_texts
from session_ctx_middleware.templating.filters import FILTERS
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .test_formats import legible

LANGUAGES = ("ar", "de", "de-AT", "de-CH", "en", "es", "fr", "he", "ja", "pl", "xx")


@pytest.fixture(autouse=True, scope="module")
def read_files() -> None:
    """Read what the first page in a language, or of a zone, would wait a few milliseconds for."""
    install(templates_of(""))
    ZoneInfo("Asia/Tokyo")
    for tag in LANGUAGES:
        formats = Formats(tag)
        assert formats.language(tag)
        assert formats.date("2026-11-27")


class Texts(NullTranslations):
    """Translations of one language."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__()
        self._texts = texts

    def gettext(self, message: str) -> str:
        return self._texts.get(message, message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._texts.get(msgid1 if n == 1 else msgid2, msgid1 if n == 1 else msgid2)


def templates_of(text: str, *, others: dict[str, str] | None = None, **environment: Any) -> Jinja2Templates:
    loader = jinja2.DictLoader({"page": text, **(others or {})})
    return Jinja2Templates(env=jinja2.Environment(loader=loader, autoescape=True, **environment))


async def shown(shop: Shop, emporix: FakeEmporix, templates: Jinja2Templates, language: str, **values: Any) -> str:
    """Return what a page shows to a shopper who reads `language` and pays in Swiss francs."""
    session = emporix.new_session(currency="CHF", language=language)

    async def page(ctx: SessionContext, request: Request) -> Response:
        await ctx
        return templates.TemplateResponse(request, "page", values)

    response = await shop.visit(page, token=session.token)
    assert response.headers["cache-control"] == "private"
    return response.text.replace("\xa0", " ")


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", "<html lang=de dir=ltr>49,90 CHF, 49,90 €, 19 %, 1.000, 28.11.2026 00:30, Schweiz, Euro, Deutsch"),
        ("ar", "<html lang=ar dir=rtl>"),
        ("xx", "<html lang=en dir=ltr>CHF49.90, €49.90, 19%, 1,000, Nov 28, 2026 12:30\u202fAM, Switzerland, Euro"),
    ],
)
async def test_filters(shop: Shop, emporix: FakeEmporix, language: str, expected: str) -> None:
    """The filters follow the session, and the site's time zone."""
    templates = templates_of(
        "<html lang={{ formats().tag }} dir={{ formats().direction }}>"
        "{{ 49.9 | money }}, {{ 49.9 | money('EUR') }}, {{ 0.19 | percent }}, {{ 1000 | number }}, "
        "{{ at | date }} {{ at | time }}, {{ 'CH' | country }}, {{ 'EUR' | currency }}, {{ 'de' | language }}"
    )
    install(templates, time_zone="Europe/Berlin")
    assert (await shown(shop, emporix, templates, language, at="2026-11-27T23:30:00Z")).startswith(expected)


EVERY = (
    "{{ 1234.5 | money }}; {{ 1234.5 | money('EUR') }}; {{ 1234567.8 | number }}; {{ 0.2 | percent }}; "
    "{{ at | date }}; {{ at | time }}; {{ 'CH' | country }}; {{ 'EUR' | currency }}; {{ formats().tag | language }}; "
    "{{ formats().direction }}"
)
WRITTEN = {
    "de": "1.234,50 CHF; 1.234,50 €; 1.234.567,8; 20 %; 28.11.2026; 00:30; Schweiz; Euro; Deutsch; ltr",
    "en": "CHF1,234.50; €1,234.50; 1,234,567.8; 20%; Nov 28, 2026; 12:30 AM; Switzerland; Euro; English; ltr",
    "fr": "1 234,50 CHF; 1 234,50 €; 1 234 567,8; 20 %; 28 nov. 2026; 00:30; Suisse; euro; Français; ltr",
    "es": "1.234,50 CHF; 1.234,50 €; 1.234.567,8; 20 %; 28 nov 2026; 0:30; Suiza; euro; Español; ltr",
    "pl": "1 234,50 CHF; 1 234,50 €; 1 234 567,8; 20%; 28 lis 2026; 00:30; Szwajcaria; euro; Polski; ltr",
    "ja": "CHF1,234.50; €1,234.50; 1,234,567.8; 20%; 2026/11/28; 0:30; スイス; ユーロ; 日本語; ltr",
    "ar": "1,234.50 CHF; 1,234.50 €; 1,234,567.8; 20%; 28/11/2026; 12:30 ص; سويسرا; يورو; العربية; rtl",
    "he": "1,234.50 CHF; 1,234.50 €; 1,234,567.8; 20%; 28 בנוב׳ 2026; 0:30; שווייץ; אירו; עברית; rtl",  # noqa: RUF001
}


@pytest.mark.parametrize("language", WRITTEN)
async def test_every_filter(shop: Shop, emporix: FakeEmporix, language: str) -> None:
    """Every filter writes what readers of the session's language expect, from right to left where they read so."""
    templates = templates_of(EVERY)
    install(templates, time_zone="Europe/Berlin")
    page = await shown(shop, emporix, templates, language, at="2026-11-27T23:30:00Z")
    assert legible(page) == WRITTEN[language]
    assert all(re.search(rf"\| {name}\b", EVERY) for name in FILTERS)


async def test_zone_of_a_site(shop: Shop, emporix: FakeEmporix) -> None:
    """The time zone may be told by the context; one that nobody knows is UTC."""
    templates = templates_of("{{ '2026-11-27T23:30:00Z' | time }}")
    zones = {"de": "Asia/Tokyo", "fr": ""}
    install(templates, time_zone=lambda ctx: zones[ctx.language or ""])
    assert await shown(shop, emporix, templates, "de") == "08:30"
    assert await shown(shop, emporix, templates, "fr") == "23:30"


async def test_what_is_written_is_escaped(shop: Shop, emporix: FakeEmporix) -> None:
    """What comes from elsewhere is text, also where a filter has nothing to do."""
    templates = templates_of("{{ bad | money }}{{ bad | country }}{{ 1 | money(bad) }}{{ bad | date }}")
    install(templates)
    assert "<b>" not in (await shown(shop, emporix, templates, "de", bad="<b>")).lower()


async def test_missing_amount(shop: Shop, emporix: FakeEmporix) -> None:
    """An amount that is not there is empty; in a strict environment the template is told."""
    templates = templates_of("[{{ price | money }}{{ none | number }}]")
    install(templates)
    assert await shown(shop, emporix, templates, "de") == "[]"
    strict = templates_of("[{{ price | money }}]", undefined=jinja2.StrictUndefined)
    install(strict)
    with pytest.raises(jinja2.UndefinedError, match="price"):
        await shown(shop, emporix, strict, "de")


async def test_macros(shop: Shop, emporix: FakeEmporix) -> None:
    """Macros that are imported with their context can use filters; others are told how."""
    macro = {"macros": "{% macro price(amount) %}{{ amount | money }}{% endmacro %}"}
    templates = templates_of(
        "{% from 'macros' import price with context %}{{ price(1) }}", others=macro, auto_reload=False
    )
    install(templates)
    assert await shown(shop, emporix, templates, "de") == "1,00 CHF"
    without = templates_of("{% from 'macros' import price %}{{ price(1) }}", others=macro)
    install(without)
    with pytest.raises(ConfigurationError, match="with context"):
        await shown(shop, emporix, without, "de")


def test_context_is_added_once() -> None:
    """Templates get the session context along with the filters, once."""
    templates = templates_of("")
    install(templates)
    install(templates, languages=["de", "fr-CH"])
    assert templates.context_processors == [context_processor]


async def test_texts(shop: Shop, emporix: FakeEmporix) -> None:
    """Texts are those of the session's language, of its parent where there are none, and else as they are written."""
    templates = templates_of(
        "{{ _('Cart') }}; {% trans count=count %}{{ count }} item{% pluralize %}{{ count }} items{% endtrans %}"
    )
    install(templates)
    install_texts(
        templates,
        {
            "de": Texts({"Cart": "Warenkorb", "%(count)s items": "%(count)s Artikel"}),
            "de_AT": Texts({"Cart": "Einkaufskorb"}),
        },
    )
    assert await shown(shop, emporix, templates, "de-CH", count=2) == "Warenkorb; 2 Artikel"
    assert await shown(shop, emporix, templates, "de-AT", count=1) == "Einkaufskorb; 1 item"
    assert await shown(shop, emporix, templates, "fr", count=1) == "Cart; 1 item"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: install("templates/"), "Jinja2Templates"),  # type: ignore[arg-type]
        (lambda: install(templates_of(""), languages=["klingon"]), "klingon"),
        (lambda: install(templates_of(""), languages="de"), r"list of tags, such as \['de', 'de-CH'\]"),
        (lambda: install(templates_of(""), fallback="xx"), "xx"),
        (lambda: install(templates_of(""), time_zone="Mars/Olympus"), "Europe/Berlin"),
        (lambda: install(templates_of(""), time_zone="../etc/passwd"), "Europe/Berlin"),
        (lambda: install(templates_of(""), time_zone=3), "time_zone"),  # type: ignore[arg-type]
        (lambda: install_texts(templates_of(""), {"de": {"Cart": "Warenkorb"}}), "gettext"),  # type: ignore[dict-item]
    ],
)
def test_mistakes(wrong: Callable[[], None], told: str) -> None:
    """What cannot work is told when templates are made."""
    with pytest.raises(ConfigurationError, match=told):
        wrong()
