"""What a request costs whose session context another process has put into Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import httpx
from redis.asyncio import Redis
from starlette.types import Scope

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.stores.redis import RedisStore

from .apps import LONG, TENANT, URL, endpoint, make_scope, raw_headers, receive, send, touch
from .figures import Effort, Figure, Section
from .servers import redis_binary, redis_server, upstream
from .timing import ALONE, Contender, Rounds, alternate, microseconds, over, ratio, short, spread

CALLS = 100
LEEWAY = 200
"""Tokens beyond those of the rounds, for warming up."""
COLUMNS = ("candidate", "whole, µs (middle half)", "of one HGETALL")
METHOD = (
    "One middleware reads sessions and puts them into a Redis on this machine; a second one with the same Redis then "
    "reads each for the first time. The yardstick is HGETALL of the same keys through a client of redis-py, without "
    "anything around it; what the bare application takes is not counted."
)
GOAL = 1.7
TOLERATED = 0.01
"""Share of requests that may be no hits: medians do not see them."""


def run(effort: Effort) -> Section:
    """Measure, where there is a Redis."""
    name, title = "l2", "A hit in Redis"
    if redis_binary() is None:
        return Section(name, title, METHOD, COLUMNS, [("left out: there is no redis-server on PATH", "", "")])
    rounds = asyncio.run(_rounds(effort))
    bare, hgetall, hit = rounds["bare app"], rounds["HGETALL"], rounds["hit in Redis"]
    added = over(hit, bare)
    rows = [(name, str(spread(microseconds(values))), short(ratio(values, hgetall))) for name, values in rounds.items()]
    rows.append(("hit in Redis, added", str(spread(microseconds(added))), short(ratio(added, hgetall))))
    figure = Figure("hit in Redis: added, of one bare HGETALL", ratio(added, hgetall), GOAL)
    return Section(name, title, METHOD, COLUMNS, rows, [figure], raw={"nanoseconds": dict(rounds)})


async def _rounds(effort: Effort) -> Rounds:
    calls = effort.times(CALLS)
    tokens = [f"token-{number:024d}" for number in range(effort.rounds * calls + LEEWAY)]
    async with AsyncExitStack() as stack:
        url = stack.enter_context(redis_server())
        first, second = await _middleware(stack, url), await _middleware(stack, url)
        for token in tokens:
            await first(make_scope(raw_headers(token)), receive, send)
        client = Redis.from_url(url)
        stack.push_async_callback(client.aclose)
        keys = itertools.cycle([key async for key in client.scan_iter("*token-*", count=1000)])
        unseen = iter(tokens)
        await second(make_scope(raw_headers(next(unseen))), receive, send)
        await asyncio.sleep(0.2)  # until the subscription stands
        bare = endpoint()

        def call_bare(scope: Scope) -> Awaitable[None]:
            return bare(scope, receive, send)

        def call(scope: Scope) -> Awaitable[None]:
            return second(scope, receive, send)

        def prepare() -> Scope:
            return make_scope(raw_headers(next(unseen)))

        raw = raw_headers(tokens[0])
        contenders = [
            Contender("bare app", call_bare, lambda: make_scope(raw)),
            Contender("HGETALL", client.hgetall, lambda: next(keys)),
            Contender("hit in Redis", call, prepare),
        ]
        rounds = await alternate(contenders, rounds=effort.rounds, calls=calls, batch=ALONE)
        if second.stats()["upstream_gets"] > len(tokens) * TOLERATED:
            raise RuntimeError("these were not all hits in Redis")
        return rounds


async def _middleware(stack: AsyncExitStack, url: str) -> SessionContextMiddleware:
    client = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(upstream), base_url=URL))
    store = RedisStore(url, budget=1.0)  # a busy machine must not turn hits into misses
    middleware = SessionContextMiddleware(endpoint(touch), tenant=TENANT, http_client=client, store=store, cache=LONG)
    stack.push_async_callback(middleware.aclose)
    return middleware
