"""What all tests share: virtual time, the HTTP libraries, and an eye on everything that must not be left behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any
from weakref import WeakValueDictionary

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

from session_ctx_middleware.engine import neighbours
from session_ctx_middleware.sessions.visits import Crawlers
from session_ctx_middleware.testing import FakeEmporix

from .support.after_failures import pytest_runtest_protocol
from .support.examples import EXAMPLES
from .support.shop import Shop
from .support.virtual_time import VIRTUAL_BACKEND, WALL_START

__all__ = ["pytest_runtest_protocol"]  # a hook

# How long an example takes says how busy the machine is. And whether somebody's change is good must not depend on luck:
# who looks for what no run has found yet asks for new examples.
settings.register_profile(
    "unhurried",
    settings(),
    deadline=None,
    derandomize=not EXAMPLES,
    max_examples=EXAMPLES or 20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")


def pytest_report_header() -> str:
    names = ("starlette", "httpx", "httpx2", "aiohttp", "cachetools", "pyjwt", "fastapi", "anyio")
    return "with " + ", ".join(f"{name} {version(name)}" for name in names)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Take two workers more than there are cores: many tests wait for sockets and processes."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow tier what httpx2 repeats: it shares the adapter of httpx, and is cancelled like aiohttp."""
    for item in items:
        params = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        if any(value == "httpx2" or getattr(value, "__name__", "") == "httpx2" for value in params):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Keep what was imported out of the collections that follow almost every test: they take 3 ms instead of 60."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Tests run in virtual time unless their module says otherwise."""
    return VIRTUAL_BACKEND


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test whose code blocks the event loop."""
    with blockbuster_ctx("session_ctx_middleware") as buster:
        # Coverage measures several threads at once, and has a lock for what it has measured.
        buster.functions["threading.Lock.acquire"].can_block_in("/coverage/collector.py", "lock_data")
        yield buster


@pytest.fixture(autouse=True, scope="session")
def crawlers() -> None:
    """Read the list of crawlers ahead: a thread does that otherwise, and virtual time does not wait for threads."""
    Crawlers.read()


@pytest.fixture(params=["httpx", "httpx2"])
def http_library(request: pytest.FixtureRequest) -> Any:
    """Every upstream test runs with httpx and with httpx2."""
    return import_module(request.param)


@pytest.fixture(autouse=True)
def forget_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test apart from the middleware instances that earlier ones have left, and that were not collected yet."""
    monkeypatch.setattr(neighbours, "_known", WeakValueDictionary())


@pytest.fixture
def emporix() -> FakeEmporix:
    """Emporix, in this process; its clock is the loop's."""
    return FakeEmporix(now=lambda: WALL_START + asyncio.get_running_loop().time())


@pytest.fixture
async def make_shop(emporix: FakeEmporix, http_library: Any) -> AsyncIterator[Callable[..., Shop]]:
    """Build shops around one Emporix; in the end nothing may be left running or unnoticed."""
    loop = asyncio.get_running_loop()
    unnoticed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unnoticed.append(context))
    shops: list[Shop] = []

    def make(**options: Any) -> Shop:
        shops.append(Shop(options.pop("emporix", emporix), http_library, **options))
        return shops[-1]

    yield make
    for shop in shops:
        await shop.browser.aclose()
        await shop.upstream_client.aclose()
    await asyncio.sleep(100)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    gc.collect()
    assert not unnoticed
    assert not [task for task in left if "session_ctx_middleware" in str(task.get_coro())]


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """A shop with the defaults."""
    return make_shop()
