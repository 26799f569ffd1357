"""What one tab chooses while another one logs in, on a worker that does not hear of it: the login may not lose it."""

from __future__ import annotations

import asyncio

import pytest

from session_ctx_middleware import CachePolicy
from session_ctx_middleware.testing import FakeEmporix, Fault

from .customers import CustomerShop, MakeShop, platform

QUICK = CachePolicy(ttl=0.2, stale_while_revalidate=0)


def two_workers(make_shop: MakeShop, emporix: FakeEmporix) -> tuple[CustomerShop, CustomerShop]:
    """Return workers before which one browser stands."""
    one, other = (CustomerShop(make_shop, emporix, cache=QUICK) for _ in range(2))
    other.shop.browser._cookies = one.shop.browser._cookies
    return one, other


def currency(emporix: FakeEmporix) -> str:
    (session,) = emporix._world.sessions
    return str((emporix.document(session) or {})["currency"])


async def log_in_while_another_worker_switches(one: CustomerShop, other: CustomerShop, *faults: Fault) -> None:
    """Choose before Emporix writes the customer's preferences, and after the login has looked.

    Args:
        one: logs in.
        other: switches.
        faults: of changes from then on.
    """
    one.emporix.fault("customer.login", Fault(delay=0.5))
    login = asyncio.create_task(one.login())
    await asyncio.sleep(0.2)
    await other.switch(currency="CHF")
    assert currency(one.emporix) == "CHF"
    for fault in faults:
        one.emporix.fault("context.patch", fault, times=None)
    await login


@pytest.mark.parametrize("before", [{}, {"currency": "GBP"}, {"language": "de"}])
async def test_choice_during_a_login(before: dict[str, str], make_shop: MakeShop) -> None:
    """It is there on every worker, and at Emporix, whatever was chosen before."""
    one, other = two_workers(make_shop, platform())
    await one.page()
    if before:
        await one.switch(**before)
    await log_in_while_another_worker_switches(one, other)

    assert (await one.page())["currency"] == "CHF"
    assert (await other.page())["currency"] == "CHF"
    assert currency(one.emporix) == "CHF"


async def test_choice_during_a_login_before_an_outage(make_shop: MakeShop) -> None:
    """What the login takes along has to wait, and shows, as if it was chosen now: the preferences do not."""
    one, other = two_workers(make_shop, platform())
    await one.page()
    await one.switch(currency="GBP")
    await log_in_while_another_worker_switches(one, other, Fault(status=503))
    assert (await one.page())["currency"] in {"GBP", "CHF"}
    one.emporix.clear_faults()
    await asyncio.sleep(10.0)

    shown = [(await each.page())["currency"] for each in (one, other)]
    assert shown in (["GBP"] * 2, ["CHF"] * 2)
    assert currency(one.emporix) == shown[0]
