"""Emporix' own clock may run ahead for a while: what it dated then does no harm once it is right again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate

import pytest

from session_ctx_middleware import CachePolicy, ContinuityPolicy
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop, held
from .browser import SECRET, Browser

HOUR = 3600.0


def run_ahead(emporix: FakeEmporix, now: float) -> None:
    """Have Emporix date its answers an hour ahead."""
    ahead = {"date": formatdate(now + HOUR, usegmt=True)}
    for operation in ("context.get", "context.patch"):
        emporix.fault(operation, Fault(headers=ahead), times=None)


@pytest.mark.parametrize("heard", [False, True], ids=["a new worker", "one that has heard of it"])
async def test_what_somebody_else_has_changed_since(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, *, heard: bool
) -> None:
    """A choice that was dated ahead does not show over what somebody else has changed since."""
    one, two = (make_shop(secret_key=SECRET, cache=CachePolicy(jitter=0)) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    run_ahead(emporix, two.clock.time())
    await browser.switch(two, currency="USD")
    emporix.clear_faults()
    if heard:
        assert await browser.currency(one) == "USD"
    await asyncio.sleep(90)
    emporix.edit(session.session_id, currency="GBP")
    await browser.switch(one, language="fr")

    for _ in range(3):
        assert await browser.currency(one) == "GBP"
        await asyncio.sleep(90)


async def test_document_that_the_browser_brings(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Nor does it keep a worker from using the document that the browser brings."""
    policy = ContinuityPolicy(document=True)
    one, two, cold = (make_shop(secret_key=SECRET, continuity=policy, cache=CachePolicy(jitter=0)) for _ in range(3))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    run_ahead(emporix, two.clock.time())
    await browser.switch(two, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(90)
    emporix.edit(session.session_id, currency="GBP")
    assert await browser.currency(one) == "GBP"
    other = emporix.new_session(currency="CHF")
    assert await Browser(other.token).currency(cold) == "CHF"  # which tells it what time it is
    emporix.clear_calls()

    assert await browser.currency(cold) == "GBP"
    assert emporix.count("context.get") == 0


async def test_what_a_proxy_has_swallowed(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A choice that was dated ahead and that Emporix never saw is sent once more as soon as any other one."""
    one, two = (make_shop(secret_key=SECRET, cache=CachePolicy(jitter=0)) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    run_ahead(emporix, two.clock.time())
    await browser.currency(two)
    emporix.clear_faults()
    emporix.fault("context.patch", Fault(status=204, headers={"date": formatdate(two.clock.time() + HOUR)}))
    await browser.switch(two, currency="USD")
    for _ in range(4):
        await browser.currency(one)
        await asyncio.sleep(15)

    assert await browser.currency(one) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"
