"""Real workers for a while: ``python -m tests.workers --requests 100000`` plays set-ups and prints what it found."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Final

import httpx

from ..support.redis_server import redis_server
from .fleet import Fleet
from .outages import Outages, killed_again_and_again
from .platform import Platform
from .shoppers import Shopper, Tally, wander

SETUPS: Final = ("cookie", "cookie and Redis", "cookie and a Redis that is killed again and again")
SHOPPERS: Final = 100
CONNECTIONS: Final = httpx.Limits(max_keepalive_connections=50)


async def played(setup: str, requests: int, shoppers: int, clicks: int) -> tuple[Tally, Outages]:
    """Let shoppers switch and look on three workers at random until there were so many requests."""
    tally, outages = Tally(), Outages(0)
    settings: dict[str, Any] = {"secret_key": [secrets.token_hex(32)]}
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        platform = Platform(directory / "emporix")
        stack.callback(platform.stop)
        if "Redis" in setup:
            redis = stack.enter_context(redis_server())
            settings |= {"redis": redis.url, "budget": 0.05}
            if "killed" in setup:
                outages = await stack.enter_async_context(killed_again_and_again(redis))
        fleet = stack.enter_context(closing(Fleet({"base_url": platform.address, **settings}, directory)))
        transport = await stack.enter_async_context(httpx.AsyncHTTPTransport(limits=CONNECTIONS))
        visits = [platform.new_visit() for _ in range(shoppers)]
        crowd = [Shopper(visit, transport, str(seed), tally) for seed, visit in enumerate(visits)]
        await wander(crowd, fleet.addresses, steps=2, clicks=clicks, going_on=lambda: tally.requests < requests)
    return tally, outages


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workers", description=main.__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--shoppers", type=int, default=SHOPPERS)
    parser.add_argument(
        "--clicks", type=int, default=3, help="of a shopper within one moment; 1 to wait for each answer"
    )
    parser.add_argument("--setup", choices=SETUPS, action="append", help="play this one; several times for several")
    options = parser.parse_args(arguments)
    bad = 0
    for setup in options.setup or SETUPS:
        began = time.monotonic()
        tally, outages = asyncio.run(played(setup, options.requests, options.shoppers, options.clicks))
        seconds = time.monotonic() - began
        print(f"{setup}: {tally}, {outages.number} times Redis was killed, {seconds:.0f} s", flush=True)
        for violation in tally.violations[:5]:
            print(f"  {violation}")
        bad += len(tally.violations) + tally.failures
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
