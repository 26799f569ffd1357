"""The texts of the shop, in all of its languages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from examples.storefront.rendering import HERE, TEXTS
from session_ctx_middleware.testing.catalogue import PRODUCTS, SITES

WORDS = {"_": None, "marked": None}
LANGUAGES = sorted({language for site in SITES.values() for language in site["languages"]})


def written() -> set[str]:
    """What templates and code say."""
    methods = [("**.py", "python"), ("templates/**.html", "jinja2")]
    return {str(message) for _, _, message, _, _ in extract_from_dir(HERE, methods, keywords=WORDS)}


def catalogue(language: str) -> Catalog:
    with (TEXTS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def places(text: str) -> Iterator[str]:
    return iter(sorted(re.findall(r"%\(\w+\)s", text)))


def test_there_are_four_languages() -> None:
    """Two sites speak four languages; English is what is written."""
    assert LANGUAGES == ["de", "en", "es", "fr"]
    assert sorted(path.stem for path in TEXTS.iterdir()) == ["de", "es", "fr"]


@pytest.mark.parametrize("language", ["de", "es", "fr"])
def test_every_text_is_translated(language: str) -> None:
    """Every text is translated, with all of its places, and nothing is translated that nobody says."""
    known = {str(message.id): str(message.string) for message in catalogue(language) if message.id}

    assert {*known} == written()
    assert [text for text, translation in known.items() if not translation] == []
    assert [text for text, translation in known.items() if [*places(text)] != [*places(translation)]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_product_is_translated(language: str) -> None:
    """The fake platform has names and descriptions in all of them."""
    assert all(product["name"][language] and product["description"][language] for product in PRODUCTS.values())


def test_no_text_stands_alone_in_a_template() -> None:
    """No template writes words of its own: none would be translated."""
    for path in (HERE / "templates").glob("*.html"):
        text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}|<[^>]*>", " ", path.read_text("utf-8"), flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-zÀ-ÿ]{2,}", text)) - {"Slow", "Morning", "doctype", "html"}
        assert words == set(), path.name
