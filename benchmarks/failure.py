"""What pages take while Emporix or Redis fails: before, at first, once the breaker is open, and after."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from session_ctx_middleware import CachePolicy, SessionContextMiddleware
from session_ctx_middleware.stores.redis import RedisStore
from tests.support.fault_proxy import FaultProxy
from tests.support.redis_server import RedisServer, redis_server

from .apps import LONG, TENANT, endpoint, make_scope, raw_headers, receive, send, touch
from .burst import percentile, request
from .figures import Effort, Figure, Plot, Section
from .processes import serve_platform

__all__ = ["run"]

LATENCY: Final = 0.02
PER_SECOND: Final = 100
SESSIONS: Final = 50
NEW_ONE_IN: Final = 10
HEALED_AFTER: Final = 20
HEALING_SECONDS: Final = 40.0
PAGES: Final = 5_000
MOST_ROUNDS: Final = 3
DEADLINE: Final = 2.0
PHASES: Final = ("before", "at first", "later", "after")
SECONDS: Final[Mapping[str, float]] = {"before": 2.0, "at first": 8.0, "later": 4.0, "after": 2.0}
COLUMNS: Final = (
    "what fails",
    "phase",
    "p50 ms",
    "p99 ms",
    "slowest ms",
    "bare p99 ms",
    "fresh",
    "stale",
    "degraded",
    "errors",
    "s until fresh",
)

Fault: TypeAlias = Callable[[], Awaitable[None]]
Scenario: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scenario needs: the shop, and how to break what is behind it and to heal it again."""

    app: ASGIApp
    breaks: Fault
    heals: Fault


@dataclass(slots=True)
class Phase:
    """What was seen in one phase, of the shop and of a bare application beside it; times are seconds."""

    times: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Round:
    """The phases of one round, and for how long it was not well after it was healed."""

    phases: dict[str, Phase]
    healing: float = 0.0


class Traffic:
    """Shoppers who come at a steady pace, whatever becomes of the ones before; each tenth one is new.

    Args:
        app: the shop.
        name: what sessions are called.
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._bare = Starlette(routes=[Route("/", _bare)])
        self._name = name
        self._number = 0

    async def during(self, seconds: float) -> Phase:
        """Send requests for some seconds, and wait for their answers."""
        phase, loop = Phase(), asyncio.get_running_loop()
        began, sent = loop.time(), list[asyncio.Task[None]]()
        for number in range(int(seconds * PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - loop.time()))
            sent.append(asyncio.create_task(self._shop(phase)))
            sent.append(asyncio.create_task(self._beside(phase)))
        await asyncio.gather(*sent)
        return phase

    async def until_fresh(self) -> float:
        """Send requests one by one until several of them in a row are well; return the seconds."""
        loop = asyncio.get_running_loop()
        began, well = loop.time(), 0
        while well < HEALED_AFTER and loop.time() - began < HEALING_SECONDS:
            phase = Phase()
            await self._shop(phase)
            well = well + 1 if phase.kinds["fresh"] else 0
            await asyncio.sleep(1 / PER_SECOND)
        return loop.time() - began

    async def _shop(self, phase: Phase) -> None:
        self._number += 1
        new = self._number % NEW_ONE_IN == 0
        token = f"{self._name}-{'new' if new else ''}{self._number if new else self._number % SESSIONS}"
        try:
            status, body, seconds = await request(self._app, token)
        except Exception:  # noqa: BLE001 - that is what is counted
            status, body, seconds = 500, b"", 0.0
        phase.times.append(seconds)
        phase.kinds[body.decode() if status == 200 else "error"] += 1

    async def _beside(self, phase: Phase) -> None:
        phase.bare.append((await request(self._bare, "bare"))[2])


async def _bare(_: Request) -> Response:
    return PlainTextResponse("fresh")


async def _page(request: Request) -> Response:
    ctx = await request.state.session_ctx
    return PlainTextResponse("degraded" if ctx.is_degraded else "stale" if ctx.is_stale else "fresh")


def _shop(url: str, **options: Any) -> SessionContextMiddleware:
    # Far shorter than in production, so that pages depend on what is behind them all the time.
    cache = CachePolicy(ttl=1.0, stale_while_revalidate=0.0)
    shop = Starlette(routes=[Route("/", _page)])
    return SessionContextMiddleware(shop, tenant="acme", base_url=url, cache=cache, **options)


@asynccontextmanager
async def emporix_silent(url: str) -> AsyncIterator[Stage]:
    """Connections stay open, and nothing passes through them any more."""
    async with FaultProxy(int(url.rpartition(":")[2])) as proxy:

        async def breaks() -> None:
            proxy.blackhole()

        async def heals() -> None:
            proxy.pass_on()

        app = _shop(f"http://127.0.0.1:{proxy.port}")
        yield Stage(app, breaks, heals)
        await app.aclose()


@asynccontextmanager
async def emporix_half_broken(url: str) -> AsyncIterator[Stage]:
    """Half of the calls are answered with 503."""

    async def fail(share: float) -> None:
        async with httpx.AsyncClient() as client:
            await client.get(f"{url}/_fail/{share}")

    app = _shop(url)
    yield Stage(app, lambda: fail(0.5), lambda: fail(0.0))
    await app.aclose()


def redis_gone(breaks: Callable[[RedisServer], object], heals: Callable[[RedisServer], object]) -> Scenario:
    """Return a scenario in which something is done to the redis-server that the shop uses."""

    @asynccontextmanager
    async def scenario(url: str) -> AsyncIterator[Stage]:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(redis_server())

            async def broken() -> None:
                await asyncio.to_thread(breaks, server)

            async def healed() -> None:
                await asyncio.to_thread(heals, server)

            app = _shop(url, store=RedisStore(server.url))
            yield Stage(app, broken, healed)
            await app.aclose()

    return scenario


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "Emporix silent": emporix_silent,
    "Emporix, 50 % errors": emporix_half_broken,
    "Redis killed": redis_gone(RedisServer.kill, RedisServer.start),
    "Redis silent": redis_gone(RedisServer.pause, RedisServer.resume),
}


async def play(scenario: Scenario, url: str, name: str, scale: float) -> Round:
    """Play all phases of a scenario."""
    async with scenario(url) as stage:
        traffic = Traffic(stage.app, name)
        await traffic.during(1.0)
        phases = {"before": await traffic.during(SECONDS["before"] * scale)}
        await stage.breaks()
        phases["at first"] = await traffic.during(SECONDS["at first"])
        phases["later"] = await traffic.during(SECONDS["later"] * scale)
        await stage.heals()
        healing = await traffic.until_fresh()
        phases["after"] = await traffic.during(SECONDS["after"] * scale)
    return Round(phases, healing)


async def refused_pages(count: int) -> tuple[float, float]:
    """Return what a page costs of somebody who was never seen, while the breaker is open, and what a hit costs.

    Args:
        count: pages of each kind.

    Returns:
        The slowest 1 % of the first, and the median of the second: nanoseconds of processor time, less those of the
        bare application.
    """
    down = False

    def emporix(request: httpx.Request) -> httpx.Response:
        if down:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json={"sessionId": "s", "currency": "EUR", "metadata": {"version": 1}})

    bare, times = endpoint(), {name: list[float]() for name in ("bare", "hit", "refused")}
    async with httpx.AsyncClient(transport=httpx.MockTransport(emporix)) as client:
        shop = SessionContextMiddleware(endpoint(touch), tenant=TENANT, http_client=client, cache=LONG)
        strangers = (raw_headers(f"stranger-{number:016d}") for number in itertools.count())
        known = raw_headers("known")
        await shop(make_scope(known), receive, send)
        down = True
        while shop.health().breaker:
            await shop(make_scope(next(strangers)), receive, send)
        gc.disable()
        for _ in range(count):
            for name, app, raw in (("bare", bare, known), ("hit", shop, known), ("refused", shop, next(strangers))):
                scope = make_scope(raw)
                began = time.thread_time_ns()
                await app(scope, receive, send)
                times[name].append(time.thread_time_ns() - began)
        gc.enable()
        await shop.aclose()
    floor = statistics.median(times["bare"])
    return percentile(times["refused"], 0.99) - floor, statistics.median(times["hit"]) - floor


def run(effort: Effort) -> Section:
    """Play the scenarios, round by round."""
    rounds = 1 if effort.quick else min(effort.rounds, MOST_ROUNDS)
    scale = max(0.5, min(1.0, effort.scale))
    played: dict[str, list[Round]] = {name: [] for name in SCENARIOS}
    with serve_platform(LATENCY) as url:
        for number in range(rounds):
            for name, scenario in SCENARIOS.items():
                played[name].append(asyncio.run(play(scenario, url, f"{number}-{name.replace(' ', '')}", scale)))
    refused, hit = asyncio.run(refused_pages(effort.times(PAGES)))
    silent = played["Emporix silent"]
    slowest = max(max(each.phases["at first"].times) for each in silent)
    healing = max(each.healing for name in played if name.startswith("Emporix") for each in played[name])
    return Section(
        name="failure",
        title="Pages while Emporix or Redis fails",
        method=f"In process, {PER_SECOND} pages a second, {SESSIONS} sessions and each {NEW_ONE_IN}th page of a new "
        f"one, TTL 1 s and no stale-while-revalidate; upstream of {LATENCY * 1000:g} ms over real sockets. A bare "
        f"application is asked beside each page. At first: {SECONDS['at first']:g} s. Medians of {rounds} rounds. "
        f"Fresh again are {HEALED_AFTER} pages in a row. What a page costs while the breaker is open was taken apart "
        "from this: in processor time, in turns with hits and with the bare application.",
        columns=COLUMNS,
        rows=[_row(name, phase, each) for name, each in played.items() for phase in PHASES],
        figures=[
            Figure(
                "slowest page when Emporix falls silent (deadline 2 s, 5 % for timers)", slowest, 1.05 * DEADLINE, "s"
            ),
            Figure("page p99 once the breaker is open: added, of a touched hit's", refused / hit, 10.0),
            Figure("seconds until pages are fresh once Emporix is back", round(healing, 1), 5.0, "s"),
        ],
        plots=[_plot(played)],
        raw={
            name: [
                {phase: [_p99(it), _bare_p99(it), dict(it.kinds)] for phase, it in each.phases.items()} for each in some
            ]
            for name, some in played.items()
        },
    )


def _p99(phase: Phase) -> float:
    return percentile(phase.times, 0.99) * 1000


def _bare_p99(phase: Phase) -> float:
    return percentile(phase.bare, 0.99) * 1000


def _row(name: str, phase: str, rounds: Sequence[Round]) -> Sequence[str | float | int]:
    seen = [each.phases[phase] for each in rounds]
    kinds = sum((each.kinds for each in seen), Counter[str]())
    return (
        name,
        phase,
        round(statistics.median(percentile(each.times, 0.5) * 1000 for each in seen), 2),
        round(statistics.median(_p99(each) for each in seen), 2),
        round(statistics.median(max(each.times) * 1000 for each in seen), 1),
        round(statistics.median(_bare_p99(each) for each in seen), 2),
        *(f"{kinds[kind] / kinds.total():.0%}" for kind in ("fresh", "stale", "degraded")),
        kinds["error"],
        round(statistics.median(each.healing for each in rounds), 1) if phase == "after" else "",
    )


def _plot(played: Mapping[str, Sequence[Round]]) -> Plot:
    series = {
        name: [statistics.median(_p99(each.phases[phase]) for each in rounds) for phase in PHASES]
        for name, rounds in played.items()
    }
    return Plot("failure", "The slowest 1 % of pages", PHASES, series, "ms (p99)", log=True)
