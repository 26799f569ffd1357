"""The token endpoint that tests of the service token talk to."""

from __future__ import annotations

import asyncio
from typing import Any

from session_ctx_middleware.emporix import ServiceToken

from .clock import VirtualClock

__all__ = ["SCOPE", "OAuth", "settle"]

SCOPE = "tenant=acme sessioncontext.context_manage"


class OAuth:
    """The token endpoint: answers what a test says, when the test says so."""

    def __init__(self, library: Any, clock: VirtualClock) -> None:
        self.library = library
        self.clock = clock
        self.requests: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fields: dict[str, object] = {"expires_in": 3600, "scope": SCOPE}
        self.failure: Any = None
        self.token = ServiceToken(
            "acme",
            client_id="shop",
            client_secret="s&cret=1",
            http_client=library.AsyncClient(transport=library.MockTransport(self.handle)),
            clock=clock,
        )

    async def handle(self, request: Any) -> Any:
        self.requests.append(request)
        number = len(self.requests)
        await self.open.wait()
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure is not None:
            return self.failure
        return self.library.Response(200, json={"access_token": f"token-{number}", **self.fields})


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)
