"""Workers that share nothing but a secret, and a document that travels between them in the browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request

from session_ctx_middleware import ContinuityPolicy, SessionContext

from ..support.shop import Shop
from .browser import PREFIX, SECRET

__all__ = ["DOCUMENT", "TRAVELS", "in_full", "stats", "travelling"]

DOCUMENT = f"{PREFIX}doc"
TRAVELS = ContinuityPolicy(document=True)


def travelling(make_shop: Callable[..., Shop], number: int = 1, **options: Any) -> list[Shop]:
    """Return workers of one shop whose documents travel."""
    given = {"secret_key": SECRET, "continuity": TRAVELS, **options}
    return [make_shop(**given) for _ in range(number)]


def stats(shop: Shop) -> Mapping[str, int]:
    """Return the counters of a worker that has answered something."""
    layer: Any = shop.app.middleware_stack
    while not hasattr(layer, "stats"):
        layer = layer.app
    counters: Mapping[str, int] = layer.stats()
    return counters


async def in_full(ctx: SessionContext, _: Request) -> str:
    """Show a value, and how good it is."""
    await ctx
    how = [word for word in ("stale", "degraded", "rejected") if getattr(ctx, f"is_{word}")]
    return " ".join([ctx.currency or "-", *how])
