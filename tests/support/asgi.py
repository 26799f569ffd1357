"""Calling the middleware as a server does."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from session_ctx_middleware import (
    SessionContextMiddleware,
)
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .virtual_time import VirtualClock

__all__ = ["Message", "middleware", "never", "scope_for"]

Message = MutableMapping[str, Any]


def scope_for(token: str | None, **more: Any) -> dict[str, Any]:
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": headers,
        **more,
    }


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def middleware(app: Any, emporix: FakeEmporix, http_library: Any, **options: Any) -> SessionContextMiddleware:
    client = options.pop("http_client", None) or emporix.client(http_library)
    clock = options.pop("clock", None) or VirtualClock()
    options.setdefault("store", MemoryStore(clock=clock))  # as if in a process of its own
    return SessionContextMiddleware(app, tenant="acme", http_client=client, clock=clock, **options)
