"""Broken connections: as an exception of the HTTP library in process, as a closed socket behind a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

from starlette.types import ASGIApp, Receive

from .faults import ConnectionDropped

__all__ = ["build_client", "disconnected", "drop_connection"]


def build_client(app: ASGIApp, module: Any, options: Mapping[str, Any], now: Callable[[], float]) -> Any:
    """Return a client of `module` (httpx or httpx2) for an application in this process.

    A dropped connection becomes the library's own error: that it could not connect, or that reading broke off. As from
    a server, every answer has a date.
    """
    inner = module.ASGITransport(app=app)

    class Transport(module.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            try:
                answer = await inner.handle_async_request(request)
            except ConnectionDropped as error:
                kind = module.ConnectError if error.when == "before" else module.ReadError
                raise kind(str(error), request=request) from None
            answer.headers.setdefault("date", formatdate(now(), usegmt=True))
            return answer

    return module.AsyncClient(transport=Transport(), **options)


async def disconnected(receive: Receive) -> None:
    """Wait until the caller is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def drop_connection(receive: Receive) -> bool:
    """Close the TCP connection under uvicorn; tell whether there was one.

    ASGI has no message for this; uvicorn's `receive` is a method of an object that holds the transport.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    abort = getattr(transport, "abort", None)
    if abort is None:
        return False
    abort()
    await disconnected(receive)
    return True
