"""Shoppers with real browsers, in a real shop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

from ..network.backend import Background
from . import chromium
from .live_shop import LiveShop, live_shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

    from .shopper import Shopper

# What drives the browser takes room and is not for every machine: `make browser` brings it.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]

NewShopper = Callable[..., "Shopper"]


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives browsers, while tests of this package run: it has an event loop of its own in this thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=chromium.PATIENCE_MS)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def path_of_chromium() -> str:
    """The browser of this machine."""
    found = chromium.executable()
    if found is not None:
        return found
    if chromium.is_required():
        pytest.fail(chromium.WANTED)
    pytest.skip(chromium.WANTED)


@pytest.fixture(scope="package")
def browser(path_of_chromium: str, playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests; every shopper has a profile of its own."""
    with playwright.chromium.launch(executable_path=path_of_chromium, args=[*chromium.FLAGS]) as running:
        yield running


@pytest.fixture(scope="package")
def background() -> Iterator[Background]:
    """Where the servers run."""
    running = Background()
    yield running
    running.close()


@pytest.fixture
def shop(background: Background) -> Iterator[LiveShop]:
    """A shop that nobody has been in yet."""
    with live_shop(background) as opened:
        yield opened


@pytest.fixture
def emporix(shop: LiveShop) -> FakeEmporix:
    return shop.emporix


@pytest.fixture
def new_shopper(browser: Browser, shop: LiveShop) -> Iterator[NewShopper]:
    """Let shoppers come in; in the end no page may have had an error."""
    from .shopper import Shopper

    shoppers: list[Shopper] = []

    def come_in(by: Browser = browser, **options: Any) -> Shopper:
        options = {"user_agent": chromium.user_agent(browser.version), **options}
        shoppers.append(Shopper(by.new_context(**options), shop.address))
        return shoppers[-1]

    yield come_in
    for shopper in shoppers:
        shopper.leave()
    assert not [error for shopper in shoppers for error in shopper.errors]


@pytest.fixture
def shopper(new_shopper: NewShopper) -> Shopper:
    return new_shopper()
