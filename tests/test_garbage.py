"""What a request leaves behind."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.testing import FakeEmporix


@pytest.mark.parametrize("touched", [False, True])
async def test_request_leaves_no_garbage(emporix: FakeEmporix, http_library: Any, touched: bool) -> None:
    """A request leaves nothing for the garbage collector."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if touched:
            await scope["state"]["session_ctx"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(_: Any) -> None:
        pass

    async def receive() -> Any:
        raise AssertionError

    client = emporix.client(http_library)
    middleware = SessionContextMiddleware(app, tenant="acme", http_client=client)
    headers = [(b"authorization", f"Bearer {emporix.new_session(currency='EUR').token}".encode())]

    async def visit() -> None:
        await middleware({"type": "http", "headers": headers}, receive, send)

    await visit()
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            await visit()
        assert gc.collect() < 50
    finally:
        gc.enable()
    await client.aclose()
