"""What the shops have in common: how the middleware is set up, what a page shows, and streams that wait."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final

from session_ctx_middleware import SessionContext, UpstreamPolicy

from ...workers.fleet import SETTINGS

__all__ = ["MIDDLEWARE", "chunks", "open_gate", "shown", "switched"]

# What is asked is whether it works, not how fast: a busy machine must not look like an outage.
SECONDS: Final = 30.0
PATIENT: Final = UpstreamPolicy(deadline=SECONDS, commit_deadline=SECONDS, timeout=SECONDS, total_timeout=SECONDS)
MIDDLEWARE: Final[dict[str, Any]] = {
    "tenant": "acme",
    "secret_key": "a secret key for shops of all frameworks",
    "upstream": PATIENT,
    **json.loads(os.environ.get(SETTINGS, "{}")),
}
"""The keywords of the middleware."""

_gates: Final[defaultdict[str, asyncio.Event]] = defaultdict(asyncio.Event)


async def shown(context: SessionContext) -> dict[str, Any]:
    """Return what a page shows."""
    await context
    return {"currency": context.currency, "language": context.language, "version": context.version}


async def chunks(gate: str) -> AsyncIterator[bytes]:
    """Yield a beginning, and the end once somebody has opened the gate."""
    yield b"first;"
    await _gates[gate].wait()
    yield b"last"


def open_gate(gate: str) -> None:
    """Let a stream go on to its end."""
    _gates[gate].set()


async def switched(context: SessionContext, currency: str) -> str:
    """Change the currency at once, as in a WebSocket; return what became of it."""
    context.switch_currency(currency)
    return (await context.commit()).name
