"""Every page, in every state of the table, fits into every window, also with text of twice the size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, Playwright

from session_ctx_middleware.testing import FakeEmporix

from . import chromium
from .conftest import NewShopper
from .shop_pages import SCREENS, Screen
from .shopper import Shopper

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)]

WIDTHS: Final = (320, 390, 768, 1280, 2560)
# What sticks out, or is cut off: text in a box that does not grow, and the chosen value of a list. A list that fills
# the window may cut a long value off: it cannot be wider.
WIDER: Final = r"""() => {
  const all = [...document.body.querySelectorAll('*')], room = document.documentElement.clientWidth;
  const hidden = all.filter(it => getComputedStyle(it).clipPath !== 'none' || it.matches('svg'));
  const pen = document.createElement('canvas').getContext('2d');
  const cut = it => {
    if (!it.matches('select')) return it.clientWidth && it.scrollWidth > it.clientWidth + 1;
    if (it.clientWidth > 0.7 * room) return false;
    const style = getComputedStyle(it);
    pen.font = style.font;
    const space = it.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return pen.measureText(it.selectedOptions[0].text).width > space;
  };
  const found = all.filter(it => {
    const box = it.getBoundingClientRect();
    if (!box.width || hidden.some(part => part.contains(it))) return false;
    return box.right > room + 1 || box.left < -1 || (it.matches('a, button, h1, h2, th, td, select') && cut(it));
  }).map(it => it.outerHTML.replace(/\s+/g, ' ').slice(0, 90));
  const wider = document.documentElement.scrollWidth - room;
  return wider > 0 ? [`${wider} px to scroll`, ...found] : found;
}"""


@pytest.fixture(scope="package")
def browser_with_large_text(path_of_chromium: str, playwright: Playwright) -> Iterator[Browser]:
    """The browser of somebody who has set text to twice its size."""
    flags = [*chromium.FLAGS, chromium.LARGE_TEXT]
    with playwright.chromium.launch(executable_path=path_of_chromium, args=flags) as running:
        yield running


def too_wide(page: Page) -> list[str]:
    """Return, by width and colours, what does not fit."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": chromium.HEIGHT})
        for scheme in chromium.SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found += [f"{width} {scheme}: {each}" for each in page.evaluate(WIDER)]
    return found


def test_fits(screen: Screen, shopper: Shopper, emporix: FakeEmporix) -> None:
    """At no width does a page have to be scrolled sideways, and nothing is cut off."""
    screen.arrange(shopper.tab, emporix)

    found = too_wide(shopper.tab.page)
    assert not found, "\n".join(found)


def test_fits_with_large_text(
    screen: Screen, browser_with_large_text: Browser, new_shopper: NewShopper, emporix: FakeEmporix
) -> None:
    """Nor with text of twice the size."""
    tab = new_shopper(browser_with_large_text).tab
    screen.arrange(tab, emporix)

    assert tab.page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
    found = too_wide(tab.page)
    assert not found, "\n".join(found)
