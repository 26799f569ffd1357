"""What the first request costs at a process that knows nothing, whose shopper brings the document in a cookie."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import httpx
from starlette.types import Scope

from session_ctx_middleware import ContinuityPolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore

from .apps import LONG, SECRET, TENANT, URL, answer, endpoint, make_scope, raw_headers, receive, send, touch
from .figures import Effort, Figure, Section
from .servers import upstream
from .timing import Contender, Rounds, alternate, microseconds, over, ratio, short, spread

CALLS = 100
LEEWAY = 200
"""Shoppers beyond those of the rounds, for warming up."""
GOAL = 3.0
COLUMNS = ("candidate", "whole, µs (middle half)", "added, of a touched hit's")
METHOD = (
    "One middleware reads sessions, and its answers give browsers the document in a cookie; a second one with the same "
    "secret, which shares nothing else with it, then gets the first request of each. A hit brings a document, too, "
    "which is not opened."
)
BARE, HIT, COLD = "bare app", "touched, hit, with the document", "a process that knows nothing"


def run(effort: Effort) -> Section:
    """Measure, and count the calls to Emporix."""
    rounds, gets = asyncio.run(_rounds(effort))
    hit, cold = over(rounds[HIT], rounds[BARE]), over(rounds[COLD], rounds[BARE])
    rows = [
        (BARE, str(spread(microseconds(rounds[BARE]))), ""),
        (HIT, str(spread(microseconds(rounds[HIT]))), short(1.0)),
        (COLD, str(spread(microseconds(rounds[COLD]))), short(ratio(cold, hit))),
    ]
    figures = [
        Figure("a process that knows nothing, document in the cookie: calls", gets, 0),
        Figure("the same: added, of a touched hit's", ratio(cold, hit), GOAL),
    ]
    return Section("document", "The document in a cookie", METHOD, COLUMNS, rows, figures, raw={"nanoseconds": rounds})


async def _rounds(effort: Effort) -> tuple[Rounds, int]:
    calls = effort.times(CALLS)
    tokens = [f"token-{number:024d}" for number in range(effort.rounds * calls + LEEWAY)]
    async with AsyncExitStack() as stack:
        before, after = await _middleware(stack), await _middleware(stack)
        brought = [raw_headers(token, await _cookies(before, token)) for token in tokens]
        unseen, known = iter(brought), brought[0]
        bare = endpoint()
        await after(make_scope(next(unseen)), receive, send)

        def call_bare(scope: Scope) -> Awaitable[None]:
            return bare(scope, receive, send)

        def call_hit(scope: Scope) -> Awaitable[None]:
            return before(scope, receive, send)

        def call_cold(scope: Scope) -> Awaitable[None]:
            return after(scope, receive, send)

        contenders = [
            Contender(BARE, call_bare, lambda: make_scope(known)),
            Contender(HIT, call_hit, lambda: make_scope(known)),
            Contender(COLD, call_cold, lambda: make_scope(next(unseen))),
        ]
        rounds = await alternate(contenders, rounds=effort.rounds, calls=calls)
        return rounds, after.stats()["upstream_gets"]


async def _cookies(app: SessionContextMiddleware, token: str) -> bytes:
    """Return what a browser keeps of its first page."""
    headers, _ = await answer(app, token)
    return b"; ".join(value.partition(b";")[0] for name, value in headers if name == b"set-cookie")


async def _middleware(stack: AsyncExitStack) -> SessionContextMiddleware:
    client = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(upstream), base_url=URL))
    middleware = SessionContextMiddleware(
        endpoint(touch),
        tenant=TENANT,
        http_client=client,
        secret_key=SECRET,
        continuity=ContinuityPolicy(document=True),
        cache=LONG,
        store=MemoryStore(),  # as if in a process of its own
    )
    stack.push_async_callback(middleware.aclose)
    return middleware
