"""Real processes and real time: nothing of it may be left behind."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.redis_server import RedisServer, redis_server
from .fleet import Fleet, Uvicorn
from .platform import Platform
from .shoppers import Shopper, Tally

OpenFleet = Callable[..., Fleet]
OpenUvicorn = Callable[..., Uvicorn]
MakeShoppers = Callable[..., list[Shopper]]

_log = logging.getLogger(__name__)


@pytest.fixture
def anyio_backend() -> str:
    """Processes know no virtual time."""
    return "asyncio"


@pytest.fixture(scope="session")
def emporix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all tests: each has sessions of its own."""
    platform = Platform(tmp_path_factory.mktemp("emporix") / "log")
    yield platform
    platform.stop()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server for one test alone."""
    with redis_server() as server:
        yield server


@pytest.fixture
def open_fleet(emporix: Platform, tmp_path: Path) -> Iterator[OpenFleet]:
    """Start workers, each at an address of its own; all are stopped in the end."""
    with ExitStack() as stack:
        numbers = count()

        def open_fleet(size: int = 3, **settings: Any) -> Fleet:
            directory = tmp_path / f"fleet-{next(numbers)}"
            directory.mkdir()
            fleet = Fleet({"base_url": emporix.address, **settings}, directory, size)
            stack.callback(fleet.close)
            return fleet

        yield open_fleet


@pytest.fixture
def open_uvicorn(emporix: Platform, tmp_path: Path) -> Iterator[OpenUvicorn]:
    """Start a server with workers that share its socket; it is stopped in the end."""
    with ExitStack() as stack:

        def open_uvicorn(workers: int = 3, **settings: Any) -> Uvicorn:
            uvicorn = Uvicorn({"base_url": emporix.address, **settings}, tmp_path / "uvicorn.log", workers)
            stack.callback(uvicorn.stop)
            return uvicorn

        yield open_uvicorn


@pytest.fixture
def tally() -> Iterator[Tally]:
    """Counts what happens in one test; ``--log-cli-level=info`` shows it."""
    tally = Tally()
    yield tally
    _log.info("%s", tally)


@pytest.fixture
async def make_shoppers(emporix: Platform, tally: Tally) -> AsyncIterator[MakeShoppers]:
    """Bring shoppers to the shop, each with a session of their own."""
    async with httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=50)) as transport:

        def make(number: int = 1, *, fresh: bool = False, **fields: object) -> list[Shopper]:
            visits = [emporix.new_visit(**fields) for _ in range(number)]
            return [Shopper(visit, transport, str(seed), tally, fresh=fresh) for seed, visit in enumerate(visits)]

        yield make
