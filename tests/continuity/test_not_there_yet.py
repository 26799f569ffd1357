"""Pages of workers that know less than their shopper's browser: of a context, or of what Emporix has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from session_ctx_middleware import ContextDefaults, ContinuityPolicy
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop, held
from ..support.virtual_time import VirtualClock
from .browser import SECRET, Browser, again, choosing, everything
from .travel import DOCUMENT, travelling

MakeShop = Callable[..., Shop]


async def test_no_context_though_others_have_one(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What others have sent, over an answer from before the context was there, hides no choice that the browser has."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each, secret_key=SECRET) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.switch(one, currency="GBP")  # waits for a context
    emporix.fault("context.get", Fault(delay_after=0.5), times=1)
    page = browser.send(two, everything)
    await asyncio.sleep(0.2)
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(0.1)
    await Browser(session.token).switch(one, currency="USD")
    assert held(emporix, session.session_id)["currency"] == "USD"

    assert (await page).text.split()[0] in {"GBP", "USD"}


async def test_document_of_the_browser_that_lacks_a_choice(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A travelling document that may be too old for a choice of its browser shows that, as one from Emporix would."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR", language="en")
    browser, other = Browser(session.token), Browser(session.token)
    await asyncio.gather(*(Browser(session.token).visit(shop, everything) for shop in (one, two)))
    emporix.fault("context.patch", Fault(status=204), times=1)  # changes nothing
    await browser.switch(two, currency="USD")
    for language in ("de", "fr"):  # the first makes the version that USD was to have; their answers are lost
        await other.switch(one, language=language)
    await asyncio.sleep(2)
    await Browser(session.token).visit(one, again)
    page = await Browser(session.token).visit(one, everything)
    assert page.text == "EUR fr"
    browser.receive(page)
    assert DOCUMENT in browser.cookies

    assert (await browser.visit(three, everything)).text.startswith("USD")


async def test_document_of_the_browser_that_is_the_truth(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What Emporix has had for longer than a replica lags is what there is, though the browser brings it."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await asyncio.gather(*(Browser(session.token).visit(shop, everything) for shop in (one, two)))
    await browser.switch(two, currency="USD")
    emporix.edit(session.session_id, currency="EUR")  # somebody else takes it back
    await asyncio.sleep(90)
    page = await Browser(session.token).visit(one, everything)
    assert page.text == "EUR en"
    browser.receive(page)

    assert (await browser.visit(three, everything)).text == "EUR en"


async def test_document_of_the_same_version_from_before_a_backup(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """That versions have fallen, so that one was made twice, hides no choice behind what the first one had."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    session = emporix.new_session(currency="EUR", language="en")
    backup = held(emporix, session.session_id)
    for values in ({"currency": "USD"}, {"language": "de"}):
        await Browser(session.token).visit(two, choosing(**values))
    assert (await Browser(session.token).visit(two, everything)).text == "USD de"
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(5)
    browser = Browser(session.token)
    for values in ({"currency": "CHF"}, {"language": "fr"}):
        await browser.visit(one, choosing(**values))
    emporix.fault("context.get", Fault(status=503), times=None)

    assert (await browser.visit(two, everything)).text.split()[1] == "fr"


def two_workers(make_shop: MakeShop, *, document: bool = False) -> list[Shop]:
    """Return two workers that share nothing but a secret."""
    defaults = ContextDefaults(currency="CHF", language="xx")
    return travelling(make_shop, 2, continuity=ContinuityPolicy(document=document), defaults=defaults)


@pytest.mark.parametrize("document", [False, True])
@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("pause", [130, 700])
async def test_no_context_any_more(
    pause: float, deleted: bool, document: bool, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """What the browser knows shows on every page, also on the second one of which a worker knows no document."""
    one, two = two_workers(make_shop, document=document)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await browser.switch(one, currency="USD")
    assert await browser.currency(two) == "USD"
    if deleted:
        emporix.delete_context(session.session_id)
    else:
        emporix.fault("context.get", Fault(status=404), times=1)
    await asyncio.sleep(pause)

    for _ in range(4):
        assert await browser.currency(two) == "USD"
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("wait", [50, 130, 300])
async def test_backup_that_is_read_in_the_background(wait: float, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document that comes between two pages is weighed against what the browser knows, too."""
    one, two = two_workers(make_shop)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    backup = held(emporix, session.session_id)
    await browser.switch(one, currency="USD")
    assert await browser.currency(two) == "USD"
    await asyncio.sleep(20)
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(wait)

    for pause in (1, 1, 30, 0):
        assert await browser.currency(two) == "USD"
        await asyncio.sleep(pause)
    assert held(emporix, session.session_id)["currency"] == "USD"


@pytest.mark.parametrize("document", [False, True])
@pytest.mark.parametrize("size", [20, 600])
async def test_answer_from_before_the_context(
    size: int, document: bool, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """A page does not wait for an answer that was asked for before its browser knew of a context."""
    one, two = two_workers(make_shop, document=document)
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    emporix.fault("context.get", Fault(delay_after=1.5), times=1)
    early = browser.send(two, everything)
    await asyncio.sleep(0.1)
    emporix.create_context(session.session_id, currency="EUR", language="en")
    await browser.visit(one, choosing(currency="USD", gift="x" * size))
    await asyncio.sleep(0.3)

    shown = [(await browser.visit(two, everything)).text]
    browser.receive(await early)
    shown.append((await browser.visit(two, everything)).text)
    assert shown == [f"USD en gift={'x' * size}"] * 2


async def test_replica_that_knows_no_context_yet(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where the browser knows of a context, a replica that has none yet is asked once more."""
    one, two = two_workers(make_shop)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await browser.visit(one, choosing(currency="USD", gift="x" * 600))
    emporix.fault("context.get", Fault(status=404), times=1)

    for _ in range(3):
        assert (await browser.visit(two, everything)).text == f"USD en gift={'x' * 600}"
        await asyncio.sleep(0.8)
