"""What a request costs whose session context is known already, and one that never asks."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from .alternatives import OTHERS, OURS
from .apps import CORE, Builder, Candidate, Shop, answer
from .figures import Effort, Figure, Plot, Section
from .servers import redis_binary
from .timing import Rounds, alternate, microseconds, over, ratio, short, spread

CALLS = 1_000
FLOOR, YARDSTICK = "bare app", "Starlette SessionMiddleware"
GOALS = {"untouched": 0.10, "touched, hit": 0.35, "touched, hit, notes": 0.45}
METHOD = (
    "All candidates answer the same request in one process, in turns whose order changes each round; each is driven as "
    "an ASGI application, without a server. Added is what a request costs more than the same application without the "
    "candidate: the median of all rounds, and the middle half. The ratio to SessionMiddleware is taken within each "
    "round; it reads one key of its signed cookie."
)


def run(effort: Effort) -> Section:
    """Measure everything."""
    ours = [each for each in OURS if each.__name__ != "redis_store" or redis_binary()]
    return asyncio.run(measure([*CORE, *ours, *OTHERS], effort))


def run_core(effort: Effort) -> Section:
    """Measure what needs nothing but this package and Starlette, in processor time: the machine may be busy."""
    return asyncio.run(measure(CORE, effort, collecting=False, clock=time.process_time_ns))


async def measure(
    builders: Sequence[Builder],
    effort: Effort,
    *,
    collecting: bool = True,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Section:
    """Compare candidates, of which one is bare and one is SessionMiddleware.

    Args:
        builders: of the candidates.
        effort: how long it may take.
        collecting: measure some of them with the garbage collector on as well.
        clock: see `alternate`.
    """
    async with AsyncExitStack() as stack:
        shop = Shop.open(stack)
        candidates = [await build(shop) for build in builders]
        for each in candidates:
            await _check(each)
        contenders = [each.contender() for each in candidates]
        asked = shop.emporix.count()
        rounds = await alternate(contenders, rounds=effort.rounds, calls=effort.times(CALLS), clock=clock)
        if shop.emporix.count() != asked:
            raise RuntimeError("these were not all hits")
        watched = [each for each in contenders if each.name in {FLOOR, YARDSTICK, *GOALS}]
        again = effort.rounds if collecting else 0
        collected = await alternate(watched, rounds=again, calls=effort.times(CALLS), collect=True)
    return _section(candidates, rounds, collected)


async def _check(candidate: Candidate) -> None:
    for _ in range(2):
        _, body = await answer(candidate.app, candidate.token, candidate.cookie)
        if b"EUR" not in body:
            raise RuntimeError(f"{candidate.name} answers {body!r}")


def _section(candidates: Sequence[Candidate], rounds: Rounds, collected: Rounds) -> Section:
    yardstick = over(rounds[YARDSTICK], rounds[FLOOR])
    added = {each.name: over(rounds[each.name], rounds[each.floor]) for each in candidates if each.name != FLOOR}
    rows = [_row(name, rounds[name], added.get(name), yardstick) for name in rounds]
    floor = collected[FLOOR]
    collected_yardstick = over(collected[YARDSTICK], floor)
    rows += [
        _row(f"{name}, garbage collector on", values, over(values, floor), collected_yardstick)
        for name, values in collected.items()
        if name != FLOOR and values
    ]
    shown = [each.name for each in candidates if each.name in added and each.name != "Jinja, constant"]
    return Section(
        name="hit_path",
        title="A hit, and a request that never asks",
        method=METHOD,
        columns=("candidate", "whole request, µs", "added, µs (middle half)", "of SessionMiddleware's"),
        rows=rows,
        figures=[
            Figure(f"{name}: added, of SessionMiddleware's", ratio(added[name], yardstick), goal)
            for name, goal in GOALS.items()
            if name in added
        ],
        plots=[
            Plot(
                name="hit_path",
                title="Added to a request whose context is known",
                labels=shown,
                series={"added": [spread(microseconds(added[name])).median for name in shown]},
                unit="µs",
                log=True,
            )
        ],
        raw={"nanoseconds": dict(rounds), "nanoseconds_with_garbage_collector": dict(collected)},
    )


def _row(
    name: str, whole: Sequence[float], added: Sequence[float] | None, yardstick: Sequence[float]
) -> tuple[str, str, str, str]:
    total = short(spread(microseconds(whole)).median)
    if added is None:
        return (name, total, "", "")
    return (name, total, str(spread(microseconds(added))), short(ratio(added, yardstick)))


if __name__ == "__main__":
    core = run_core(Effort(rounds=int(sys.argv[1]), scale=float(sys.argv[2])))
    print(json.dumps({figure.name: figure.value for figure in core.figures}))
