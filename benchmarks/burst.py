"""A thousand cold requests at once: of one session, and of a thousand sessions, with caches of several kinds."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from session_ctx_middleware import SessionContextMiddleware

from .figures import Effort, Figure, Plot, Section
from .processes import calls, serve_platform

__all__ = ["percentile", "request", "run"]

LATENCY: Final = 0.05
REQUESTS: Final = 1_000
MOST_ROUNDS: Final = 3
TTL: Final = 60
NOTHING: Final = "nothing"

Fetch: TypeAlias = Callable[[str], Awaitable[dict[str, Any]]]
Remember: TypeAlias = Callable[[Fetch], Fetch]


@dataclass(slots=True)
class Measured:
    """What the rounds of one kind have brought.

    Args:
        gets: that reached the upstream, of each round.
        p50: seconds, of each round.
        p99: seconds, of each round.
        without: requests in all that were answered without a context.
        foreign: requests in all that were answered with the context of somebody else.
        errors: requests in all that failed.
    """

    gets: list[int] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    without: int = 0
    foreign: int = 0
    errors: int = 0


@asynccontextmanager
async def middleware(url: str) -> AsyncIterator[ASGIApp]:
    """This middleware, with its defaults."""

    async def page(request: Request) -> Response:
        ctx = await request.state.session_ctx
        return PlainTextResponse(ctx.session_id or NOTHING)

    app = SessionContextMiddleware(Starlette(routes=[Route("/", page)]), tenant="acme", base_url=url)
    yield app
    await app.aclose()


def by_hand(remember: Remember, client: Callable[[], Any] = httpx.AsyncClient) -> Callable[[str], Any]:
    """Return a maker of applications that fetch by themselves, and remember in some way."""

    @asynccontextmanager
    async def application(url: str) -> AsyncIterator[ASGIApp]:
        async with client() as http:

            async def fetch(token: str) -> dict[str, Any]:
                headers = {"Authorization": f"Bearer {token}"}
                answer = await http.get(f"{url}/session-context/acme/me/context", headers=headers)
                context: dict[str, Any] = answer.raise_for_status().json()
                return context

            remembered = remember(fetch)

            async def page(request: Request) -> Response:
                context = await remembered(request.headers["authorization"].removeprefix("Bearer "))
                return PlainTextResponse(context["sessionId"])

            yield Starlette(routes=[Route("/", page)])

    return application


def plain(fetch: Fetch) -> Fetch:
    """Remember nothing."""
    return fetch


def ttl_cache(fetch: Fetch) -> Fetch:
    """Look up, fetch, store: as it is written in ten minutes."""
    from cachetools import TTLCache

    cache: TTLCache[str, dict[str, Any]] = TTLCache(10_000, TTL)

    async def remembered(token: str) -> dict[str, Any]:
        if token not in cache:
            cache[token] = await fetch(token)
        return cache[token]

    return remembered


def with_cashews(*, lock: bool) -> Remember:
    """Remember in memory, with or without a lock around each key."""

    def remember(fetch: Fetch) -> Fetch:
        from cashews import Cache

        cache = Cache()
        cache.setup("mem://", size=10_000)

        @cache(ttl=TTL, key="context:{token}", lock=lock)
        async def remembered(token: str) -> dict[str, Any]:
            return await fetch(token)

        return remembered

    return remember


def with_aiocache(*, stampede: bool) -> Remember:
    """Remember in memory, with or without protection against a stampede."""

    def remember(fetch: Fetch) -> Fetch:
        from aiocache import cached, cached_stampede  # type: ignore[import-untyped]

        def key(_: object, token: str) -> str:
            return token

        kind = cached_stampede(lease=2, ttl=TTL, key_builder=key) if stampede else cached(ttl=TTL, key_builder=key)

        @kind  # type: ignore[untyped-decorator]
        async def remembered(token: str) -> dict[str, Any]:
            return await fetch(token)

        result: Fetch = remembered
        return result

    return remember


def with_async_lru(fetch: Fetch) -> Fetch:
    """Remember the call; callers at the same time share it."""
    from async_lru import alru_cache

    @alru_cache(maxsize=10_000, ttl=TTL)
    async def remembered(token: str) -> dict[str, Any]:
        return await fetch(token)

    return remembered


def hishel_client(**options: Any) -> Callable[[], Any]:
    """Return a maker of clients with an HTTP cache in memory; the answers allow a private cache to keep them."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        import anysqlite
        from hishel import AsyncSqliteStorage
        from hishel.httpx import AsyncCacheClient

        storage = AsyncSqliteStorage(connection=await anysqlite.connect(":memory:"))
        async with AsyncCacheClient(storage=storage, **options) as client:
            yield client

    return opened


APPLICATIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "this middleware": middleware,
    "TTLCache by hand": by_hand(ttl_cache),
    "cashews": by_hand(with_cashews(lock=False)),
    "cashews, lock": by_hand(with_cashews(lock=True)),
    "aiocache": by_hand(with_aiocache(stampede=False)),
    "aiocache, stampede": by_hand(with_aiocache(stampede=True)),
    "async-lru": by_hand(with_async_lru),
    "hishel, defaults": by_hand(plain, hishel_client()),
    "hishel, RFC 9111, private": by_hand(plain, hishel_client(rfc={"shared": False})),
}


async def request(app: ASGIApp, token: str, path: str = "/", method: str = "GET") -> tuple[int, bytes, float]:
    """Send one request into an application of this process; return status, body and seconds."""
    status, parts = 0, []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"shop.test"), (b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("shop.test", 443),
        "state": {},
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    began = time.perf_counter()
    await app(scope, receive, send)
    return status, b"".join(parts), time.perf_counter() - began


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]


async def burst(make: Callable[[str], Any], url: str, tokens: Sequence[str], measured: Measured) -> None:
    """Send one request for each token at once, into an application that knows nothing yet."""
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(make(url))
        await request(app, "another-session")  # connects, and imports what is imported late
        await asyncio.to_thread(calls, url)
        sent = [asyncio.create_task(request(app, token)) for token in tokens]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        measured.gets.append((await asyncio.to_thread(calls, url))["GET"])
    times = []
    for token, answer in zip(tokens, answers, strict=True):
        if isinstance(answer, BaseException) or answer[0] != 200:
            measured.errors += 1
            continue
        times.append(answer[2])
        measured.without += answer[1] == NOTHING.encode()
        measured.foreign += answer[1] not in {NOTHING.encode(), f"session-{token}".encode()}
    times = times or [float("nan")]
    measured.p50.append(percentile(times, 0.5))
    measured.p99.append(percentile(times, 0.99))


def run(effort: Effort) -> Section:
    """Send the bursts, round by round through all kinds."""
    count = effort.times(REQUESTS)
    rounds = 1 if effort.quick else min(effort.rounds, MOST_ROUNDS)
    scenarios = {"one session": ["s"] * count, f"{count:,} sessions": [f"s{number}" for number in range(count)]}
    found = {(scenario, name): Measured() for scenario in scenarios for name in APPLICATIONS}
    with serve_platform(LATENCY) as url:
        for _ in range(rounds):
            for (scenario, name), measured in found.items():
                asyncio.run(burst(APPLICATIONS[name], url, scenarios[scenario], measured))
    gets = max(found["one session", "this middleware"].gets)
    without = found[f"{count:,} sessions", "this middleware"].without / (count * rounds)
    return Section(
        name="burst",
        title=f"{count:,} cold requests at once",
        method=f"In process, against an upstream of {LATENCY * 1000:g} ms in a process of its own; medians of {rounds} "
        "rounds, each with empty caches and the defaults of each library. The middleware calls at most 50 times at "
        "once, and whoever has no answer within the deadline of 2 s gets a page without a context. Foreign: somebody "
        "else's context.",
        columns=(
            "requests of",
            "cache",
            "upstream GETs",
            "p50 ms",
            "p99 ms",
            "p99 spread ms",
            "no context",
            "foreign",
            "errors",
        ),
        rows=[_row(scenario, name, measured, rounds) for (scenario, name), measured in found.items()],
        figures=[
            Figure("1 000 concurrent cold requests of one session: upstream GETs", gets, 1),
            Figure("1 000 known shoppers at once at an empty process: without their context", without, 0.01),
        ],
        plots=[_plot(found, scenarios)],
        raw={
            f"{scenario}, {name}": {
                "gets": it.gets,
                "p50": it.p50,
                "p99": it.p99,
                "foreign": it.foreign,
                "errors": it.errors,
            }
            for (scenario, name), it in found.items()
        },
    )


def _row(scenario: str, name: str, it: Measured, rounds: int) -> Sequence[str | float | int]:
    return (
        scenario,
        name,
        statistics.median(it.gets),
        round(statistics.median(it.p50) * 1000, 1),
        round(statistics.median(it.p99) * 1000, 1),
        f"{min(it.p99) * 1000:.0f}-{max(it.p99) * 1000:.0f}",
        it.without // rounds,
        it.foreign // rounds,
        it.errors // rounds,
    )


def _plot(found: Mapping[tuple[str, str], Measured], scenarios: Mapping[str, object]) -> Plot:
    series = {
        scenario: [statistics.median(found[scenario, name].p99) * 1000 for name in APPLICATIONS]
        for scenario in scenarios
    }
    return Plot("burst", "A burst of cold requests: the slowest 1 %", list(APPLICATIONS), series, "ms (p99)", log=True)
