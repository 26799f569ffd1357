"""Somebody with a browser of his own."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage

from . import chromium
from .shop_pages import Tab

__all__ = ["Shopper"]


class Shopper:
    """A profile with cookies of its own, and any number of tabs.

    Args:
        context: the profile.
        address: the shop's.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        context.set_default_timeout(chromium.PATIENCE_MS)
        self.context = context
        self.errors: list[str] = []
        self._address = address
        self._first: Tab | None = None

    @property
    def tab(self) -> Tab:
        """The tab that was opened first."""
        if self._first is None:
            self._first = self.new_tab()
        return self._first

    def new_tab(self) -> Tab:
        page = self.context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return Tab(page, self._address)

    def leave(self) -> None:
        self.context.close()

    def _note(self, message: ConsoleMessage) -> None:
        """Keep what a browser complains of: a broken policy, a file that is missing."""
        # Browsers complain of pages, too, that say themselves what is wrong.
        pages = ("/nothing", "/checkout")
        about_the_page = message.text.startswith("Failed to load") and message.location["url"].endswith(pages)
        if message.type in {"error", "warning"} and not about_the_page:
            self.errors.append(message.text)
