"""The example storefront as a shopper's browser finds it: behind a real server, with FakeEmporix behind another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from starlette.applications import Starlette

from examples.storefront.app import create_app
from examples.storefront.settings import Settings
from session_ctx_middleware.testing import FakeEmporix

from ..network.backend import Background, WebServer

__all__ = ["LiveShop", "live_shop"]


class LiveShop:
    """One shop that nobody has been in yet.

    Args:
        emporix: the platform; it may be looked at and broken from here.
        server: the shop's.
        background: where both run.
    """

    def __init__(self, emporix: FakeEmporix, server: WebServer, background: Background) -> None:
        self.emporix = emporix
        self.address = server.address
        self._server = server
        self._background = background

    def finish(self) -> None:
        """Shut the shop down as a deployment does: whatever was under way has ended then."""
        self._background.run_and_block(self._server.stop())

    @property
    def patches(self) -> list[dict[str, Any]]:
        """What the shop has sent as changes of contexts, refused ones included."""
        bodies = [call.body for call in self.emporix.calls if call.operation == "context.patch"]
        return [body for body in bodies if isinstance(body, dict)]

    @property
    def document(self) -> dict[str, Any]:
        """The context of the one shopper that there is."""
        (session_id,) = {call.session_id for call in self.emporix.calls if call.operation.startswith("price.")}
        assert session_id is not None
        found = self.emporix.document(session_id)
        assert found is not None
        return found

    @property
    def cart(self) -> dict[str, Any]:
        """The cart that the context of this session names."""
        found = self.emporix.cart(self.document["cartId"])
        assert found is not None
        return found


@contextmanager
def live_shop(background: Background) -> Iterator[LiveShop]:
    """Open a shop inside the block.

    Args:
        background: where its servers run.
    """
    emporix = FakeEmporix()
    with ExitStack() as stack:
        platform = _served(WebServer(emporix), background, stack)
        app = _built(Settings(base_url=platform.address))
        server = _served(WebServer(app, lifespan=True), background, stack)
        # What is loaded once is no matter of the page that comes first.
        background.run_and_block(app.state.shop.sites.load())
        yield LiveShop(emporix, server, background)


def _built(settings: Settings) -> Starlette:
    """Build a shop where no event loop runs, as a deployment does: what drives the browser has one in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(create_app, settings).result()


def _served(server: WebServer, background: Background, stack: ExitStack) -> WebServer:
    stack.callback(lambda: background.run_and_block(server.aclose()))
    background.run_and_block(server.start())
    return server
