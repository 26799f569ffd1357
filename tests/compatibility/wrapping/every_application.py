"""A pytest plugin for the test suites of others: every application that they test stands behind the middleware.

It is loaded by its name (``-p wrapping.every_application``), in an environment where nothing else of these tests is to
be imported: a suite has a package `tests` of its own. The variable ``EVERY_APPLICATION`` says how: see `WAYS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import suppress
from importlib import import_module
from itertools import count
from typing import Any, Final

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient, _is_asgi3, _WrapASGI2
from starlette.types import ASGIApp, Receive, Scope, Send

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .only_our_headers import Comparison, Inside, Outside

ANSWERS: Final = "answers with headers of ours"
WAY: Final = "EVERY_APPLICATION"
SECRET: Final = "every application stands behind it"
CURRENCIES: Final = ("USD", "CHF", "EUR")


COMPARISON: Final = Comparison()
"""What came out of the middleware in the test that runs now."""


class Shopper:
    """An application each of whose requests reads the context, and changes it.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requests = count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            context = await scope["state"]["session_ctx"]
            if scope["type"] == "http":
                context.switch_currency(CURRENCIES[next(self._requests) % len(CURRENCIES)])
        await self._app(scope, receive, send)


def settings() -> dict[str, Any]:
    """Return the keywords of a middleware with a platform of its own, in this process."""
    emporix = FakeEmporix()
    token = emporix.new_session(currency="EUR").token
    return {
        "tenant": emporix.tenant,
        "token": lambda _: token,
        "secret_key": SECRET,
        "store": MemoryStore(),
        "http_client": emporix.client(httpx2),
    }


def around(app: Any) -> ASGIApp:
    """Return an application behind the middleware, every request to which changes something."""
    app = app if _is_asgi3(app) else _WrapASGI2(app)
    return Outside(SessionContextMiddleware(Shopper(Inside(app)), **settings()), COMPARISON)


def wrap_what_clients_call(patch: pytest.MonkeyPatch) -> None:
    """Put the middleware around whatever a client for tests is given."""
    for owner in (TestClient, httpx2.ASGITransport, import_module("httpx").ASGITransport):
        patch.setattr(owner, "__init__", _wrapping(owner.__init__))


def _wrapping(original: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Any, app: Any, *args: Any, **options: Any) -> None:
        original(self, app if isinstance(app, FakeEmporix) else around(app), *args, **options)

    return begin


def add_to_every_application(patch: pytest.MonkeyPatch) -> None:
    """Have every application of Starlette and FastAPI built with the middleware as the first of its own."""
    owners: list[Any] = [Starlette]
    with suppress(ImportError):
        owners.append(import_module("fastapi").FastAPI)
    for owner in owners:
        patch.setattr(owner, "build_middleware_stack", _adding(owner.build_middleware_stack))


def _adding(original: Callable[[Any], ASGIApp]) -> Callable[[Any], ASGIApp]:
    def build_middleware_stack(self: Any) -> ASGIApp:
        own = self.user_middleware
        if any(each.cls is SessionContextMiddleware for each in own):
            return original(self)
        self.user_middleware = [Middleware(SessionContextMiddleware, **settings()), *own]
        try:
            return original(self)
        finally:
            self.user_middleware = own

    return build_middleware_stack


WAYS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "not at all": lambda _: None,
    "untouched": add_to_every_application,
    "used": wrap_what_clients_call,
}


def pytest_configure(config: pytest.Config) -> None:
    """Wrap before any test module is imported: some build their clients there."""
    patch = pytest.MonkeyPatch()
    WAYS[os.environ[WAY]](patch)
    config.add_cleanup(patch.undo)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs under trio: the middleware is for asyncio, and says so."""
    under_trio = {item for item in items if "trio" in _parameters(item)}
    config.hook.pytest_deselected(items=[*under_trio])
    items[:] = [item for item in items if item not in under_trio]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test in which something else came out of the middleware than went in, whatever it thinks itself."""
    COMPARISON.begin()
    yield
    item.user_properties.append((ANSWERS, COMPARISON.with_ours))
    assert not COMPARISON.odd


def _parameters(item: pytest.Item) -> list[str]:
    callspec = getattr(item, "callspec", None)
    return [] if callspec is None else [str(value) for value in callspec.params.values()]
