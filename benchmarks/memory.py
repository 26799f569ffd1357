"""How much memory cached sessions take, and whether a hit among many of them costs more than among few."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from starlette.types import Scope

from session_ctx_middleware import CachePolicy, ContextDocument, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore

from .apps import TENANT, endpoint, make_scope, raw_headers, receive, send, touch
from .figures import Effort, Figure, Plot, Section
from .servers import ROOT, document
from .timing import Contender, Rounds, alternate, microseconds, over, ratio, short, spread

SMALL, PROMISED, LARGE = 1_000, 100_000, 1_000_000
HOT = 1_000
CALLS = 1_000
MAX_BYTES, MAX_GROWTH = 1741, 1.2
COLUMNS = ("what", "value", "of a hit among 1,000")
METHOD = (
    "A process of its own fills one middleware with sessions, each with a document of about 600 bytes (as JSON) of its "
    "own, straight from memory; its growth in resident memory divided by the sessions is what one takes. A second "
    "middleware in the same process holds 1,000: hits on the same 1,000 sessions in both are timed in turns, less what "
    "the bare application takes. Hits on sessions at random show what the caches of the processor add."
)


def run(effort: Effort) -> Section:
    """Measure each size in a process of its own."""
    sizes = [SMALL, PROMISED] if effort.quick else [SMALL, PROMISED, LARGE]
    found = {size: _measured(size, effort) for size in sizes}
    rows: list[tuple[str, str, str]] = []
    for size, each in found.items():
        rows.append((f"bytes per session among {size:,}", short(each["bytes"]), ""))
        if "traced" in each:
            rows.append((f"bytes per session among {size:,}, as allocated by Python", short(each["traced"]), ""))
    for size, each in found.items():
        if size != SMALL:
            few, many, anywhere = each["few"], each["many"], each["anywhere"]
            rows += [
                (f"hit among {SMALL:,}, beside {size:,}", _time(few), ""),
                (f"hit among {size:,}, the same sessions", _time(many), short(ratio(many, few))),
                (f"hit among {size:,}, at random", _time(anywhere), short(ratio(anywhere, few))),
            ]
    largest = sizes[-1]
    growth = ratio(found[largest]["many"], found[largest]["few"])
    return Section(
        name="memory",
        title="Memory, and hits among many sessions",
        method=METHOD,
        columns=COLUMNS,
        rows=rows,
        figures=[
            Figure(f"memory per session among {PROMISED:,}", found[PROMISED]["bytes"], MAX_BYTES, "bytes"),
            Figure(f"hit among {largest:,} sessions, of one among {SMALL:,}", growth, MAX_GROWTH),
        ],
        plots=[
            Plot(
                name="memory",
                title="Memory per cached session",
                labels=[f"{size:,}" for size in sizes],
                series={"resident": [found[size]["bytes"] for size in sizes]},
                unit="bytes",
            )
        ],
        raw={str(size): each for size, each in found.items()},
    )


def _time(values: list[float]) -> str:
    return f"{spread(microseconds(values))} µs"


def _measured(size: int, effort: Effort) -> dict[str, Any]:
    child = (sys.executable, "-m", "benchmarks.memory", str(size), str(effort.rounds), str(effort.times(CALLS)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(child, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


class Documents:
    """Answers in the place of Emporix, without HTTP."""

    platform_time: Final = None

    async def get(self, token: str) -> ContextDocument:
        """Return a document that belongs to one token alone."""
        return ContextDocument.parse(document(token))

    async def aclose(self) -> None:
        """Do nothing."""


def _middleware(size: int) -> SessionContextMiddleware:
    with patch("session_ctx_middleware.middleware.OwnContextClient", return_value=Documents()):
        policy = CachePolicy(ttl=24 * 3600, max_entries=size)
        return SessionContextMiddleware(endpoint(touch), tenant=TENANT, cache=policy, store=MemoryStore())


def _scope(number: int) -> Scope:
    return make_scope(raw_headers(f"token-{number:024d}"))


async def fill(middleware: SessionContextMiddleware, count: int) -> None:
    """Let a middleware read sessions; what requests leave is collected, without a look at all that is kept."""
    gc.disable()
    for number in range(count):
        await middleware(_scope(number), receive, send)
        if number % 500 == 0:
            gc.collect(1)
    gc.enable()


def resident() -> int:
    """Return the bytes of memory that this process has in use, or the most it ever had where that is not told."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def measure(size: int, rounds: int, calls: int) -> dict[str, Any]:
    """Fill a middleware; return bytes per session, and the times of hits."""
    await fill(_middleware(10), 100)  # imports, and pools of the allocator
    if size == SMALL:
        return {"bytes": await _grown(size, resident), "traced": await _traced(size)}
    many = _middleware(size)
    gc.collect()
    before = resident()
    await fill(many, size)
    gc.collect()
    grown = (resident() - before) / size
    gc.freeze()  # a full collection before each turn would take seconds
    found = await _hits(many, size, rounds, calls)
    bare = found["bare"]
    return {"bytes": grown, **{name: over(found[name], bare) for name in ("few", "many", "anywhere")}}


async def _grown(size: int, measured: Any) -> float:
    middleware = _middleware(size)
    gc.collect()
    before = measured()
    await fill(middleware, size)
    gc.collect()
    return float(measured() - before) / size


async def _traced(size: int) -> float:
    tracemalloc.start()
    try:
        return await _grown(size, lambda: tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


async def _hits(many: SessionContextMiddleware, size: int, rounds: int, calls: int) -> Rounds:
    numbers = random.Random(0)
    hot = [number * (size // HOT) for number in range(HOT)]
    bare, few = endpoint(), _middleware(SMALL)
    for number in hot:  # it holds nothing else
        await few(_scope(number), receive, send)
    contenders = [
        Contender("bare", lambda scope: bare(scope, receive, send), lambda: _scope(numbers.choice(hot))),
        Contender("few", lambda scope: few(scope, receive, send), lambda: _scope(numbers.choice(hot))),
        Contender("many", lambda scope: many(scope, receive, send), lambda: _scope(numbers.choice(hot))),
        Contender("anywhere", lambda scope: many(scope, receive, send), lambda: _scope(numbers.randrange(size))),
    ]
    missed = many.stats()["misses"], few.stats()["misses"]
    found = await alternate(contenders, rounds=rounds, calls=calls)
    if (many.stats()["misses"], few.stats()["misses"]) != missed:
        raise RuntimeError("these were not all hits")
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(*map(int, sys.argv[1:])))))
