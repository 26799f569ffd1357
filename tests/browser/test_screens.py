"""Every page, in every state of the table: accessible, and in pictures."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Error, Page, expect

from session_ctx_middleware.testing import FakeEmporix

from .chromium import HEIGHT, SCHEMES, Scheme
from .shop_pages import SCREENS, Screen
from .shopper import Shopper

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)]

PICTURED: Final[tuple[tuple[str, int, Scheme], ...]] = (
    ("phone", 390, "light"),
    ("desk", 1280, "light"),
    ("dark", 1280, "dark"),
)
BUILD: Final = Path(__file__).parents[2] / "build" / "screenshots"
DOCS: Final = BUILD / "docs"
REFUSED: Final = "Unable to capture screenshot"
REFUSALS: Final = 3
AGAIN_MS: Final = 250

AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
# All rules but those that are experiments. What the page's policy keeps axe from loading, it is not to wait for.
OPTIONS: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "preload": False,
    "resultTypes": ["violations"],
}


def violations(page: Page) -> list[str]:
    """Return what axe has found, with the places."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", OPTIONS)
    return [
        f"{rule['id']}: {rule['help']}: {', '.join(str(node['target']) for node in rule['nodes'])}"
        for rule in found["violations"]
    ]


def picture_of(page: Page) -> bytes:
    """Return a picture of a whole page; Chromium now and then refuses one that it takes a moment later."""
    for _ in range(REFUSALS):
        try:
            return page.screenshot(full_page=True, animations="disabled")
        except Error as error:
            if REFUSED not in error.message:
                raise
            page.wait_for_timeout(AGAIN_MS)
    return page.screenshot(full_page=True, animations="disabled")


def test_accessible(screen: Screen, shopper: Shopper, emporix: FakeEmporix) -> None:
    """Axe has nothing to say, in light and in dark colours."""
    tab = shopper.tab
    screen.arrange(tab, emporix)

    expect(tab.heading).to_have_count(1)
    for scheme in SCHEMES:
        tab.page.emulate_media(color_scheme=scheme)
        assert violations(tab.page) == [], scheme


def test_pictures(screen: Screen, shopper: Shopper, emporix: FakeEmporix) -> None:
    """Each page can be looked at, as on a phone, on a desk and in the dark, and looks different there."""
    tab = shopper.tab
    screen.arrange(tab, emporix)
    DOCS.mkdir(parents=True, exist_ok=True)
    taken = set()
    for kind, width, scheme in PICTURED:
        tab.page.set_viewport_size({"width": width, "height": HEIGHT})
        tab.page.emulate_media(color_scheme=scheme)
        picture = picture_of(tab.page)
        (BUILD / f"{screen.name}-{kind}.png").write_bytes(picture)
        if kind in screen.pictures:
            (DOCS / screen.pictures[kind]).write_bytes(picture)
        taken.add(picture)

    assert len(taken) == len(PICTURED)
