"""The code of docs/compatibility.md for frameworks that no other environment has: it runs as it stands."""

from __future__ import annotations

import re
import sys
import types
from typing import Any, Final
from unittest.mock import patch

import httpx2
from asgi_lifespan import LifespanManager

from session_ctx_middleware.emporix.transport import libraries
from session_ctx_middleware.emporix.transport.httpx_adapter import HttpxTransport
from session_ctx_middleware.testing import FakeEmporix

from .environment import ROOT

__all__ = ["PAGE", "check_page"]

PAGE: Final = ROOT / "docs" / "compatibility.md"
SECTION: Final = re.compile(r"^### (\w+)\n.*?^```py\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def check_page() -> dict[str, bool]:
    """Run each framework's code; tell whether its page reads and its form switches."""
    return {name: await _works(name, code) for name, code in SECTION.findall(PAGE.read_text("utf-8"))}


async def _works(name: str, code: str) -> bool:
    emporix = FakeEmporix()
    first, session = emporix.new_session(), emporix.new_session(currency="EUR")
    with patch.object(libraries, "build", lambda *_: HttpxTransport(emporix.client(httpx2), 4.0)):
        app = _run(name, code)["app"]
        async with LifespanManager(app):
            await _visit(
                app, first.token
            )  # who comes first waits for imports, on a busy machine for longer than a page may
            emporix.clear_calls()
            pages, switched = await _visit(app, session.token)
    shown = [page["currency"] for page in pages]
    return shown == ["EUR", "USD"] and switched.is_success and emporix.count("context.patch") == 1


async def _visit(app: Any, token: str) -> tuple[list[Any], httpx2.Response]:
    """Look at the page, send the form, and look at the page once more."""
    browser = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://shop", headers={"Authorization": f"Bearer {token}"}
    )
    async with browser:
        before = await browser.get("/")
        switched = await browser.post("/switch", params={"currency": "USD"})
        return [before.json(), (await browser.get("/")).json()], switched


def _run(name: str, code: str) -> dict[str, Any]:
    module = types.ModuleType(f"page_{name.lower()}")
    sys.modules[module.__name__] = module
    exec(compile(code, f"{PAGE.name} {name}", "exec", dont_inherit=True), vars(module))
    return vars(module)
