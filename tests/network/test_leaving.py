"""Shoppers who leave, and servers that shut down, while a change is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_ctx_middleware import UpstreamPolicy
from session_ctx_middleware.testing import Fault

from .backend import Network
from .conftest import OpenShop
from .proxy import Mode
from .shop import RealShop, Stopwatch, until

pytestmark = pytest.mark.network

SLOW = 0.2
IMPATIENT = UpstreamPolicy(deadline=2.0, commit_deadline=2.0, timeout=2.0, total_timeout=2.0)
LONGEST_SHUTDOWN = 30.0
MOMENTS = [Fault(delay=SLOW), Fault(delay_after=SLOW)]
MOMENT_IDS = ["before the effect", "after the effect"]


def patient(app: ASGIApp) -> ASGIApp:
    """Serve as uvicorn does: a request whose client has left goes on."""
    return app


def hasty(app: ASGIApp) -> ASGIApp:
    """Serve as other servers do: a request whose client has left is cancelled."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        messages = [await receive()]
        silence: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        async def replay() -> Message:
            return messages.pop() if messages else await silence

        request = asyncio.ensure_future(app(scope, replay, send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait({request, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (request, leaving):
            task.cancel()
        await asyncio.gather(request, leaving, return_exceptions=True)

    return serve


async def _send_and_leave(shop: RealShop, token: str, moment: Callable[[], bool]) -> None:
    """Send the form, and reset the connection when the moment has come."""
    _, writer = await asyncio.open_connection(*shop.address)
    writer.write(
        b"POST /switch?currency=USD HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 0\r\n"
        b"authorization: Bearer %s\r\n\r\n" % token.encode()
    )
    await until(moment)
    writer.transport.abort()


def _statuses(network: Network) -> list[int | None]:
    """What Emporix answered to every PATCH; `None` where the caller was gone."""
    return [call.status for call in network.emporix.calls if call.operation == "context.patch"]


@pytest.mark.parametrize("around", [patient, hasty])
@pytest.mark.parametrize("fault", MOMENTS, ids=MOMENT_IDS)
async def test_shopper_leaves_during_commit(
    fault: Fault, around: Callable[[ASGIApp], ASGIApp], open_shop: OpenShop, network: Network
) -> None:
    """A shopper who leaves during the commit has made the change."""
    shop = await open_shop(served=True, around=around)
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.emporix.fault("context.patch", fault)

    await _send_and_leave(shop, session.token, lambda: network.proxy.requests["PATCH"] == 1)
    await until(lambda: network.emporix.count("context.patch") == 1 and not shop.busy_connections)
    page = await shop.page(session.token)

    assert (page["currency"], page["version"], page["pending"]) == ("USD", 2, [])
    assert _statuses(network) == [204]


@pytest.mark.parametrize("fault", MOMENTS, ids=MOMENT_IDS)
async def test_f39_shutdown_finishes_a_change(fault: Fault, open_shop: OpenShop, network: Network) -> None:
    """F39: A change on its way is finished before the shop shuts down."""
    shop = await open_shop(served=True)
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.emporix.fault("context.patch", fault)

    sending = asyncio.ensure_future(shop.switch(session.token, "USD"))
    await until(lambda: network.proxy.requests["PATCH"] == 1)
    await shop.close()
    await sending

    assert (network.emporix.document(session.session_id) or {})["currency"] == "USD"
    assert _statuses(network) == [204]
    await until(lambda: network.proxy.open_connections == 0)


@pytest.mark.parametrize("around", [patient, hasty])
async def test_f39_change_of_one_who_left(
    around: Callable[[ASGIApp], ASGIApp], open_shop: OpenShop, network: Network
) -> None:
    """F39: A change whose shopper has left is finished before the shop shuts down."""
    shop = await open_shop(served=True, around=around)
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.emporix.fault("context.patch", Fault(delay=SLOW))

    await _send_and_leave(shop, session.token, lambda: network.proxy.requests["PATCH"] == 1)
    await shop.close()

    assert (network.emporix.document(session.session_id) or {})["currency"] == "USD"
    assert _statuses(network) == [204]


async def test_f39_lifespan_waits(shop: RealShop, network: Network) -> None:
    """F39: A lifespan that ends waits for a change nobody waits for."""
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.emporix.fault("context.patch", Fault(delay=SLOW))

    sending = asyncio.ensure_future(shop.switch(session.token, "USD"))
    await until(lambda: network.proxy.requests["PATCH"] == 1)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await shop.close()

    assert (network.emporix.document(session.session_id) or {})["currency"] == "USD"
    assert _statuses(network) == [204]


async def test_f39_silent_emporix(open_shop: OpenShop, network: Network) -> None:
    """F39: An Emporix that does not answer does not keep the shop from shutting down."""
    shop = await open_shop(upstream=IMPATIENT)
    session = network.emporix.new_session(currency="EUR")
    await shop.converge(session.token, currency="EUR")
    await network.set(Mode.BLACKHOLE)

    sending = asyncio.ensure_future(shop.switch(session.token, "USD"))
    await until(lambda: network.proxy.requests["PATCH"] == 1)
    with Stopwatch() as watch:
        await shop.close()
    await asyncio.gather(sending, return_exceptions=True)

    assert watch.seconds < LONGEST_SHUTDOWN
