"""What is no request: above all the lifespan of an application, and one for applications that have none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["pass_on"]

ENDS: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})


async def pass_on(
    app: ASGIApp, close: Callable[[], Awaitable[None]], scope: Scope, receive: Receive, send: Send
) -> None:
    """Pass a connection on to an application; close something at the end of a lifespan.

    Args:
        app: the application.
        close: is awaited before the server hears of the end.
        scope: of the connection.
        receive: as the server gives it.
        send: as the server gives it.
    """
    if scope["type"] == "lifespan":
        await _live(app, close, scope, receive, send)
    else:
        await app(scope, receive, send)


async def _live(app: ASGIApp, close: Callable[[], Awaitable[None]], scope: Scope, receive: Receive, send: Send) -> None:
    took_part = False

    async def hear() -> Message:
        nonlocal took_part
        took_part = True
        return await receive()

    async def tell(message: Message) -> None:
        nonlocal took_part
        took_part = True
        if message["type"] in ENDS:
            await close()
        await send(message)

    try:
        await app(scope, hear, tell)
    except Exception as error:
        if took_part or not _refuses(error):
            raise
    if not took_part:
        await _without_application(receive, tell)


def _refuses(error: Exception) -> bool:
    """Tell whether an application has no lifespan: Django and Channels say so; other errors are those of a start."""
    return isinstance(error, ValueError) and "lifespan" in str(error)


async def _without_application(receive: Receive, tell: Send) -> None:
    """Start and shut down alone: the server would not say when it ends to an application without a lifespan."""
    for _ in ("startup", "shutdown"):
        message = await receive()
        await tell({"type": f"{message['type']}.complete"})
