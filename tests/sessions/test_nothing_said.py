"""Whatever goes wrong with a session: no log, event, span, error, frame or repr has a token, a password or a name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from session_ctx_middleware import SessionContextError
from session_ctx_middleware.testing import Fault

from ..emporix.test_token_endpoints import locals_of
from ..emporix.test_traces import Tracer
from .customers import KIM, CustomerShop, MakeShop, platform

HOURS = 3600.0


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    built = Tracer()
    yield built
    built.shutdown()


def secrets_of(emporix: Any) -> set[str]:
    """Return everything that FakeEmporix has ever handed out, and what it is asked with."""
    world = emporix._world
    return {*world.access, *world.refresh, *world.saas, *world.codes, *world.sessions, *KIM}


async def test_sessions(make_shop: MakeShop, tracer: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    """A customer comes, acts for a company, comes back after hours, and goes, while one call after the other fails."""
    for name in ("", "httpx", "httpx2", "httpcore", "session_ctx_middleware"):
        caplog.set_level(logging.DEBUG, name)
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    tracer.watch(shop.shop.upstream_client)
    told: list[str] = []
    secrets: set[str] = set()
    steps: dict[str, tuple[float, Callable[[], Awaitable[object]]]] = {
        "anonymous.login": (0.0, shop.page),
        "anonymous.refresh": (3550.0, shop.page),
        "customer.login": (0.0, lambda: shop.login(KIM)),
        "customer.refresh": (0.0, lambda: shop.company("le-north")),
        "customer.validate": (0.0, lambda: shop.do(shop.sessions.validate)),
        "customer.companies": (0.0, lambda: shop.do(shop.sessions.companies)),
        "customer": (13 * HOURS, shop.page),
        "customer.logout": (0.0, shop.logout),
    }
    for fault in (Fault(status=401), Fault(status=500, retry_after=1), Fault(drop="after"), Fault(body={"a": 1})):
        for operation, (later, step) in steps.items():
            await asyncio.sleep(later)
            secrets |= secrets_of(emporix)
            if operation != "customer.companies":
                emporix.fault(operation, fault, times=1)
            try:
                done = await step()
                told.append("" if isinstance(done, dict) else repr(done))  # what a page shows is for the shopper
            except SessionContextError as error:
                told.append(f"{error!r} {vars(error)} {locals_of(error)}")
            emporix.clear_faults()
            await asyncio.sleep(5.0)
            with suppress(SessionContextError):
                await step()
            told.append(repr([shop.sessions, shop.sessions._guests, shop.sessions._customers]))
        secrets |= secrets_of(emporix)
    spans = [span for span in tracer.spans() if "/session-context/" not in span]
    told += [f"{record.name} {record.getMessage()} {vars(record)}" for record in caplog.records]
    told += [repr(event) for event in shop.shop.events]
    text = "\n".join([*told, *spans])
    assert len(secrets) > 20
    assert sum("status" in each for each in told) > 8, "calls did fail"
    assert shop.shop.named("session.failed")
    assert sorted(secret for secret in secrets if secret in text) == []
