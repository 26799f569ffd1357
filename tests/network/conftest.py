"""Real sockets and real time; nothing may be left running or unnoticed in the end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, Literal

import pytest

from .backend import Network
from .shop import QUICK, RealShop

LAST_CHANCES: Final = 200
PHASES: Final[tuple[Literal["setup", "call", "teardown"], ...]] = ("setup", "call", "teardown")
SIGNS_OF_TROUBLE: Final = ("never retrieved", "was destroyed but it is pending", "unexpectedly")
OpenShop = Callable[..., Awaitable[RealShop]]


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets need real time."""
    return "asyncio"


@pytest.fixture(params=["httpx", "httpx2", "aiohttp"])
def http_library(request: pytest.FixtureRequest) -> str:
    """The library whose client calls Emporix."""
    library: str = request.param
    return library


@pytest.fixture
async def nothing_left(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """No task is left behind and no error is left unnoticed, whatever the test did."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    unnoticed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unnoticed.append(context))
    yield
    for _ in range(LAST_CHANCES):
        if not _running(before):
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert not _running(before)
    assert not unnoticed
    assert not [text for text in _logged(caplog) if any(sign in text for sign in SIGNS_OF_TROUBLE)]


@pytest.fixture(scope="session")
def the_network() -> Iterator[Network]:
    """Servers that are worth starting only once."""
    with Network.up() as network:
        yield network


@pytest.fixture
async def network(the_network: Network, nothing_left: None) -> Network:
    """Emporix, where nothing has happened yet, behind the proxy, both healthy."""
    await the_network.renew()
    return the_network


@pytest.fixture
async def open_shop(network: Network, http_library: str) -> AsyncIterator[OpenShop]:
    """Open shops whose own HTTP client is of the library of this run; all are closed in the end."""
    shops: list[RealShop] = []

    async def open_shop(**options: Any) -> RealShop:
        shop = RealShop(options.pop("base_url", network.address), http_client=http_library, **options)
        shops.append(shop)
        await shop.open()
        return shop

    yield open_shop
    for shop in shops:
        await shop.close()


@pytest.fixture
async def shop(open_shop: OpenShop) -> RealShop:
    """A shop with the defaults: patient enough for every machine."""
    return await open_shop()


@pytest.fixture
async def quick_shop(open_shop: OpenShop) -> RealShop:
    """A shop with short deadlines."""
    return await open_shop(upstream=QUICK)


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what has been logged since the test was set up."""
    return [record.getMessage() for phase in PHASES for record in caplog.get_records(phase)]


def _running(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Return the tasks that were begun since then, without those that run the tests."""
    return [task for task in asyncio.all_tasks() - before if "TestRunner" not in str(task.get_coro())]
