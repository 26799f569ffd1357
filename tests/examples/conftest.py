"""A browser in front of the storefront, in front of FakeEmporix: all in this process, in real time."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from examples.storefront.app import create_app
from examples.storefront.settings import Settings
from session_ctx_middleware.testing import FakeEmporix

FIELDS = ("site_code", "currency", "language", "target_location")
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Page:
    """What a browser shows."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.text = html.unescape(response.text)

    @property
    def prices(self) -> list[str]:
        return [each for each in re.findall(r'<p class="price">(.*?)</p>', self.text, re.DOTALL) if "<" not in each]

    @property
    def notices(self) -> str:
        return " ".join(re.findall(r'<p class="notice">(.*?)</p>', self.text))

    def quantity(self, product: str) -> str:
        """How much of a product is in the cart."""
        form = self.text.partition(f'action="/cart/items/{product}"')[2].partition("</form>")[0]
        found = re.search(r'value="([^"]*)" required', form)
        assert found is not None
        return found[1]

    def chosen(self, field: str) -> str:
        """The option that a drop-down list shows."""
        options = self.text.partition(f'<select name="{field}"')[2].partition("</select>")[0]
        found = re.search(r'<option value="(\S*)" selected', options)
        assert found is not None
        return found[1]


class Browser:
    """One visitor, with cookies of its own."""

    def __init__(self, transport: Any, base_url: str = "https://shop.test") -> None:
        self.http = httpx2.AsyncClient(transport=transport, base_url=base_url, follow_redirects=True, timeout=60)
        self.open: Page | None = None

    async def get(self, path: str = "/") -> Page:
        response = await self.http.get(path)
        assert response.status_code in {200, 404}
        self.open = Page(response)
        return self.open

    async def submit(self, path: str, **fields: str) -> Page:
        response = await self.http.post(path, data=fields, headers=SAME_ORIGIN)
        assert response.status_code == 200
        assert [step.status_code for step in response.history] == [303]
        self.open = Page(response)
        return self.open

    async def switch(self, **fields: str) -> Page:
        """Send the switcher's form of the page that is open, with these fields changed."""
        page = self.open or await self.get()
        form = {field: page.chosen(field) for field in FIELDS}
        shown = {f"shown.{field}": value for field, value in form.items()}
        return await self.submit("/switch", **shown, **{**form, **fields})

    async def add(self, product: str, quantity: str = "1") -> Page:
        return await self.submit("/cart/items", product=product, quantity=quantity)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix()


async def warm(app: Any) -> None:
    """Have the shop know its sites: what is loaded once is no matter of the page that comes first."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") as http:
        await http.get("/health")  # builds the middleware
    await app.state.shop.sites.load()


@pytest.fixture
def app(emporix: FakeEmporix) -> Starlette:
    """The storefront; made before any loop runs, as it reads files."""
    return create_app(Settings(), emporix.client(httpx2))


@pytest.fixture
async def new_browser(app: Starlette, emporix: FakeEmporix) -> AsyncIterator[Callable[[], Browser]]:
    """Make visitors of one storefront."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        await warm(app)
        emporix.clear_calls()

        def make() -> Browser:
            browser = Browser(httpx2.ASGITransport(app))
            stack.push_async_callback(browser.http.aclose)
            return browser

        yield make


@pytest.fixture
def browser(new_browser: Callable[[], Browser]) -> Browser:
    return new_browser()
