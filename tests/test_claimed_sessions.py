"""A session id that an application believes a client opens nothing, and pushes nothing aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import HTTPConnection

from session_ctx_middleware import StorefrontToken
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .continuity.browser import Browser, choosing, everything
from .support.shop import Shop, held
from .support.team import DEFAULTS, SECRET, Team, look, team
from .support.virtual_time import WALL_START, VirtualClock

__all__ = ["team"]

Claims = dict[str, str]


def claiming(claims: Claims) -> Callable[[HTTPConnection], StorefrontToken | None]:
    """Return a token source that believes what the client says, such as a cookie with the session id."""

    def source(connection: HTTPConnection) -> StorefrontToken | None:
        token = connection.headers.get("authorization", "")[7:]
        return StorefrontToken(token, session_id=claims.get(token)) if token else None

    return source


async def attacked(emporix: FakeEmporix, alices: Shop, mallorys: Shop, claims: Claims, first: Fault) -> str:
    """Return what Mallory sees and has, who claims Alice's session, while Alice chooses."""
    alice, mallory = (emporix.new_session(currency="EUR", language="en") for _ in range(2))
    claims[mallory.token] = alice.session_id
    hers, his = Browser(alice.token), Browser(mallory.token)
    await look(hers, alices)
    await asyncio.sleep(1)
    emporix.fault("context.get", first, times=1)
    page = his.send(mallorys, everything)
    await asyncio.sleep(0.2)
    await hers.visit(alices, choosing(currency="USD", note="for Alice alone"))
    seen = [his.receive(await page).text]
    await asyncio.sleep(2)
    seen.append(await look(his, mallorys))
    await his.visit(mallorys, choosing(language="de"))
    return str([*seen, held(emporix, mallory.session_id)])


@pytest.mark.parametrize("first", [Fault(delay=1.0), Fault(status=503, delay=1.0)], ids=["slow", "slow and failing"])
@pytest.mark.parametrize("secret", [None, SECRET], ids=["no notes", "notes"])
async def test_one_process(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, secret: str | None, first: Fault
) -> None:
    """What another shopper chooses shows to nobody who claims that session, and is not sent for him."""
    claims: Claims = {}
    options = {} if secret is None else {"secret_key": secret}
    shop = make_shop(token=claiming(claims), defaults=DEFAULTS, **options)

    shown = await attacked(emporix, shop, shop, claims, first)
    assert "Alice" not in shown
    assert "USD" not in shown


@pytest.mark.parametrize("notes", [False, True], ids=["no notes", "notes"])
async def test_by_a_notice(team: Team, emporix: FakeEmporix, notes: bool) -> None:
    """Nor what other workers tell of it."""
    claims: Claims = {}
    shops = team(notes=notes, token=claiming(claims))

    shown = await attacked(emporix, shops[0], shops[1], claims, Fault(delay=1.0))
    assert "Alice" not in shown
    assert "USD" not in shown


@pytest.mark.parametrize("tokens", [0, 40])
async def test_crowd(make_shop: Callable[..., Shop], tokens: int) -> None:
    """Made-up tokens that claim a session push nothing out that is known of it."""
    emporix = FakeEmporix(replica_lag=3.0, now=lambda: WALL_START + asyncio.get_running_loop().time())
    claims: Claims = {}
    shop = make_shop(emporix=emporix, token=claiming(claims), defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await asyncio.sleep(10)
    await look(browser, shop)
    await asyncio.sleep(1)
    await browser.visit(shop, choosing(currency="USD"))
    for number in range(tokens):
        token = f"garbage-{number:030}"
        claims[token] = session.session_id
        await look(Browser(token), shop)

    assert await look(browser, shop) == "USD en"


def sharing(make_shop: Callable[..., Shop], claims: Claims) -> tuple[Shop, Shop]:
    """Return two workers that share a store."""
    memory = MemoryStore(clock=VirtualClock(), shared=True)
    options = {"token": claiming(claims), "defaults": DEFAULTS}
    return make_shop(store=memory, **options), make_shop(store=memory.sibling(), **options)


async def test_notice_during_the_first_get(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What is told of a session while Emporix is asked whose a token is counts once that has turned out to be of it."""
    session = emporix.new_session(currency="EUR", language="en")
    newer = emporix.new_token(session.session_id)
    one, two = sharing(make_shop, dict.fromkeys([session.token, newer], session.session_id))
    guest, customer = Browser(session.token), Browser(newer)
    assert await look(guest, one) == "EUR en"
    await asyncio.sleep(1)
    emporix.fault("context.get", Fault(delay_after=0.5), times=1)
    page = customer.send(two, everything)
    await asyncio.sleep(0.1)
    await guest.switch(one, currency="USD")
    await page

    for pause in (5, 40):
        await asyncio.sleep(pause)
        assert await look(customer, two) == "USD en"


async def test_first_get_behind_a_replica(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A worker that has not been there yet is told the version below which a token of the session shows nothing."""
    session = emporix.new_session(currency="EUR", language="en")
    newer, before = emporix.new_token(session.session_id), emporix.document(session.session_id)
    one, two = sharing(make_shop, dict.fromkeys([session.token, newer], session.session_id))
    guest, customer = Browser(session.token), Browser(newer)
    assert await look(guest, one) == "EUR en"
    await asyncio.sleep(1)
    emporix.fault("context.get", Fault(delay=0.2, body=before), times=6)  # a replica is behind
    page = customer.send(one, everything)
    await asyncio.sleep(0.1)
    await guest.switch(one, currency="USD")
    await page

    assert "EUR" not in await look(customer, two)
