"""A crowd of known shoppers at a process that knows nothing, as after a deploy: with the document in cookies or not."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp

from session_ctx_middleware import ContinuityPolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore

from .apps import SECRET, TENANT, answer, endpoint
from .burst import percentile
from .figures import Effort, Figure, Section
from .processes import calls, serve_platform

__all__ = ["run"]

LATENCY: Final = 0.05
CROWD: Final = 1_000
STREAM: Final = 2_000
STREAM_SECONDS: Final = 1.0
AFTERWARDS: Final = 1.0
MOST_ROUNDS: Final = 3
COLUMNS: Final = (
    "shoppers",
    "they bring",
    "upstream GETs",
    "wrong first pages",
    "wrong a second later",
    "p50 ms",
    "p99 ms",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One crowd.

    Args:
        shoppers: how many.
        seconds: within which they come; 0 for at once.
        document: whether their browsers bring the travelling document.
    """

    shoppers: int
    seconds: float = 0.0
    document: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What one crowd has seen.

    Args:
        gets: that reached the upstream until all had their first page.
        wrong: first pages without the shopper's own context, or with another one's.
        later: of their second pages, asked for a second later.
        times: seconds that the first pages took.
    """

    gets: int
    wrong: int
    later: int
    times: Sequence[float]


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "with the travelling document": Scenario(CROWD, document=True),
    "without it": Scenario(CROWD),
    "without it, within a second": Scenario(STREAM, STREAM_SECONDS),
}


async def _who(request: Request) -> str:
    return str((await request.state.session_ctx).session_id)


def _middleware(url: str) -> SessionContextMiddleware:
    return SessionContextMiddleware(
        endpoint(_who),
        tenant=TENANT,
        base_url=url,
        secret_key=SECRET,
        continuity=ContinuityPolicy(document=True),
        store=MemoryStore(),  # as if in a process of its own
    )


async def _cookies(url: str, tokens: Sequence[str]) -> list[bytes]:
    """Return what the browsers keep of a visit before the deploy."""
    app = _middleware(url)
    kept = []
    for token in tokens:
        headers, _ = await answer(app, token)
        kept.append(b"; ".join(value.partition(b";")[0] for name, value in headers if name == b"set-cookie"))
    await app.aclose()
    return kept


async def _timed(app: ASGIApp, token: str, cookie: bytes, wait: float = 0.0) -> tuple[bool, float]:
    """Return whether a page was the shopper's own, and how long it took."""
    await asyncio.sleep(wait)
    began = time.perf_counter()
    _, body = await answer(app, token, cookie)
    return body.decode() == f"session-{token}", time.perf_counter() - began


async def _play(url: str, scenario: Scenario, name: str) -> Seen:
    tokens = [f"{name}-{number}" for number in range(scenario.shoppers)]
    cookies = await _cookies(url, tokens) if scenario.document else [b""] * len(tokens)
    async with AsyncExitStack() as stack:
        app = _middleware(url)
        stack.push_async_callback(app.aclose)
        await answer(app, "another")  # connects, and imports what is imported late
        await asyncio.to_thread(calls, url)
        step = scenario.seconds / scenario.shoppers
        waits = [number * step for number in range(scenario.shoppers)]
        coming = zip(tokens, cookies, waits, strict=True)
        first = await asyncio.gather(*(_timed(app, *each) for each in coming))
        gets = (await asyncio.to_thread(calls, url))["GET"]
        await asyncio.sleep(AFTERWARDS)
        later = await asyncio.gather(*(_timed(app, *each) for each in zip(tokens, cookies, waits, strict=True)))
    return Seen(gets, _wrong(first), _wrong(later), [seconds for _, seconds in first])


def _wrong(pages: Sequence[tuple[bool, float]]) -> int:
    return sum(not right for right, _ in pages)


def run(effort: Effort) -> Section:
    """Let each crowd come, round by round."""
    rounds = 1 if effort.quick else min(effort.rounds, MOST_ROUNDS)
    scenarios = {
        name: Scenario(effort.times(each.shoppers), each.seconds * effort.scale, each.document)
        for name, each in SCENARIOS.items()
    }
    seen: dict[str, list[Seen]] = {name: [] for name in scenarios}
    with serve_platform(LATENCY) as url:
        for number in range(rounds):
            for order, (name, scenario) in enumerate(scenarios.items()):
                seen[name].append(asyncio.run(_play(url, scenario, f"t{number}-{order}")))
    return Section(
        name="known",
        title="A crowd after a deploy",
        method=f"In process, against an upstream of {LATENCY * 1000:g} ms in a process of its own, with the client "
        "that is chosen by itself. Every shopper has been here before; this process has seen nobody. Wrong is a page "
        "without the shopper's own context. A second after the last first page all of them come again. Sums of "
        f"{rounds} rounds.",
        columns=COLUMNS,
        rows=[_row(scenarios[name], each) for name, each in seen.items()],
        figures=_figures(seen),
        raw={
            name: [{"gets": it.gets, "wrong": it.wrong, "later": it.later, "times": list(it.times)} for it in each]
            for name, each in seen.items()
        },
    )


def _figures(seen: Mapping[str, Sequence[Seen]]) -> list[Figure]:
    document, cold, stream = seen.values()
    crowd = sum(len(each.times) for each in cold)
    return [
        Figure("known shoppers at an empty process, document in the cookie: GETs", sum(it.gets for it in document), 0),
        Figure("the same: wrong first pages", sum(it.wrong for it in document), 0),
        Figure("the same without the document: share of wrong first pages", sum(it.wrong for it in cold) / crowd, 0.01),
        Figure("the same: wrong a second later", sum(it.later for it in (*document, *cold)), 0),
        Figure("2 000 within a second, without the document: wrong a second later", sum(it.later for it in stream), 0),
    ]


def _row(scenario: Scenario, seen: Sequence[Seen]) -> Sequence[str | float | int]:
    times = [seconds for each in seen for seconds in each.times]
    return (
        f"{scenario.shoppers:,} {'within a second' if scenario.seconds else 'at once'}",
        "the document" if scenario.document else "nothing",
        sum(each.gets for each in seen),
        sum(each.wrong for each in seen),
        sum(each.later for each in seen),
        round(statistics.median(times) * 1000, 1),
        round(percentile(times, 0.99) * 1000, 1),
    )
