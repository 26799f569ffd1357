"""The proxy breaks connections in the way that its modes say."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from .backend import PATIENCE, Network
from .proxy import Mode

pytestmark = pytest.mark.network

LOST = [
    (Mode.REFUSE, httpx.ConnectError, 0),
    (Mode.STALL, httpx.ConnectTimeout, 0),
    (Mode.BLACKHOLE, httpx.ReadTimeout, 0),
    (Mode.CUT_BEFORE, httpx.RemoteProtocolError, 0),
    (Mode.CUT_AFTER, httpx.RemoteProtocolError, 1),
    (Mode.RESET_BEFORE, httpx.ReadError, 0),
    (Mode.RESET_AFTER, httpx.ReadError, 1),
    (Mode.RESET_WITHIN, httpx.ReadError, 1),
]


@pytest.mark.parametrize(("mode", "error", "arrived"), LOST, ids=[mode.name for mode, *_ in LOST])
async def test_request_is_lost(mode: Mode, error: type[Exception], arrived: int, network: Network) -> None:
    """A request is lost at the chosen moment."""
    url = f"{network.address}/site/acme/sites"
    phase = {Mode.STALL: "connect", Mode.BLACKHOLE: "read"}.get(mode)
    patience = httpx.Timeout(PATIENCE, **({phase: 0.3} if phase else {}))
    async with httpx.AsyncClient(timeout=patience) as client:
        await network.set(mode)
        with pytest.raises(error):
            await client.get(url)
        assert network.emporix.count() == arrived
        await network.set(Mode.PASS)
        assert (await client.get(url, timeout=PATIENCE)).status_code == 401


async def test_answer_drips(network: Network) -> None:
    """An answer drips until the proxy is healed."""
    async with httpx.AsyncClient(base_url=network.address, timeout=PATIENCE) as client:
        await network.set(Mode.DRIP)
        call: asyncio.Task[Any] = asyncio.create_task(client.get("/site/acme/sites"))
        assert not (await asyncio.wait({call}, timeout=0.4))[0]
        await network.set(Mode.PASS)
        assert (await call).status_code == 401


async def test_plan_for_a_method(network: Network) -> None:
    """A plan is for the next requests of its method."""
    async with httpx.AsyncClient(base_url=network.address, timeout=PATIENCE) as client:
        network.proxy.next(Mode.RESET_BEFORE, times=2, method="GET")
        assert (await client.delete("/site/acme/sites")).status_code == 404
        for _ in range(2):
            with pytest.raises(httpx.ReadError):
                await client.get("/site/acme/sites")
        assert (await client.get("/site/acme/sites")).status_code == 401
