"""One version that stands for two states: a proxy swallows a change while another is made, or a backup is put back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from ..support.shop import Shop, held, patches
from .browser import SECRET, Browser, choosing, everything, named

LAG = 10


@pytest.fixture
def shops(make_shop: Callable[..., Shop]) -> list[Shop]:
    """Three workers that share nothing but the secret."""
    return [make_shop(secret_key=SECRET) for _ in range(3)]


@pytest.fixture
async def session(emporix: FakeEmporix) -> FakeSession:
    return emporix.new_session(currency="EUR", language="en")


@pytest.fixture
def browser(session: FakeSession) -> Browser:
    return Browser(session.token)


def attributes(emporix: FakeEmporix, session: FakeSession) -> dict[str, Any]:
    """Return the attributes that Emporix holds."""
    context = held(emporix, session.session_id).get("context", {})
    return {key: value for key, value in context.items() if not key.startswith("_")}


async def shown(browser: Browser, shop: Shop) -> str:
    return (await browser.visit(shop, everything)).text


async def swallowed_beside(
    browser: Browser, emporix: FakeEmporix, one: Shop, other: Shop, *languages: str
) -> list[Any]:
    """Let a proxy swallow a switch to USD while other pages write; return the answers, which are on their way."""
    emporix.fault("context.patch", Fault(status=204), times=1)
    answers = [await browser.send(one, choosing(currency="USD"))]
    return answers + [await browser.send(other, choosing(1.1, language=language)) for language in languages]


async def test_swallowed_while_another_page_writes(
    shops: list[Shop], emporix: FakeEmporix, session: FakeSession, browser: Browser
) -> None:
    """It is shown for as long as nobody knows of the other page, and sent once more as soon as somebody does."""
    swallowed, first, second = await swallowed_beside(browser, emporix, shops[0], shops[1], "fr", "it")
    browser.receive(swallowed)
    for shop in (shops[0], shops[2]):  # the other one has served the other page
        assert await shown(browser, shop) == "USD it"
    assert held(emporix, session.session_id)["currency"] == "EUR"

    browser.receive(first)
    browser.receive(second)

    assert await shown(browser, shops[2]) == "USD it"
    assert held(emporix, session.session_id)["currency"] == "USD"
    for _ in range(3):
        await asyncio.sleep(LAG)
        assert {await shown(browser, shop) for shop in shops} == {"USD it"}
    assert [body.get("currency") for body in patches(emporix)].count("USD") == 2


async def test_swallowed_while_somebody_else_writes(
    shops: list[Shop], emporix: FakeEmporix, session: FakeSession, browser: Browser
) -> None:
    """Nothing tells it from one that was taken back: it shows over what was read at once, and then what Emporix has."""
    (swallowed,) = await swallowed_beside(browser, emporix, shops[0], shops[1])
    for language in ("fr", "it"):
        emporix.edit(session.session_id, language=language)
    browser.receive(swallowed)

    assert await shown(browser, shops[2]) == "USD it"
    await asyncio.sleep(LAG + 1)
    assert await shown(browser, shops[1]) == "EUR it"
    await asyncio.sleep(120)
    assert await shown(browser, shops[2]) == "EUR it"
    assert len(patches(emporix)) == 1


@pytest.mark.parametrize("seconds", [LAG + 1, 70, 3600])
async def test_taken_and_set_back_by_somebody_else(
    seconds: float, shops: list[Shop], emporix: FakeEmporix, session: FakeSession, browser: Browser
) -> None:
    """What somebody else has set back to what it was is never set again."""
    await browser.switch(shops[0], currency="USD")
    assert await shown(browser, shops[1]) == "USD en"
    emporix.edit(session.session_id, currency="EUR")
    await asyncio.sleep(seconds)

    for shop in (shops[2], shops[0]):
        assert await shown(browser, shop) == "EUR en"
    assert len(patches(emporix)) == 1
    assert held(emporix, session.session_id)["currency"] == "EUR"


async def test_there_and_back_again(shops: list[Shop], emporix: FakeEmporix, browser: Browser) -> None:
    """A shopper who switches back has what he chose last, and nothing is sent once more, whatever is on its way."""
    await browser.switch(shops[0], currency="USD")
    back = await browser.send(shops[1], choosing(currency="EUR"))
    assert await shown(browser, shops[2]) == "USD en", "the answer to the other page may get lost"
    browser.receive(back)

    for _ in range(3):
        assert {await shown(browser, shop) for shop in shops} == {"EUR en"}
        await asyncio.sleep(LAG)
    assert len(patches(emporix)) == 2


def put_back(emporix: FakeEmporix, session: FakeSession, version: int, **fields: Any) -> None:
    """Put a backup back."""
    document = held(emporix, session.session_id)
    document["metadata"]["version"] = version
    emporix.rewrite_context(session.session_id, {**document, **fields})


async def test_change_to_a_document_from_before_a_backup(
    shops: list[Shop], emporix: FakeEmporix, session: FakeSession, browser: Browser
) -> None:
    """Attributes are not put back to what they were in an earlier state that had the same version."""
    emporix.edit(session.session_id, context={"tier": "bronze"})
    assert await shown(Browser(session.token), shops[0]) == "EUR en tier=bronze"
    put_back(emporix, session, 1)
    await asyncio.sleep(1)
    await browser.visit(shops[1], named("tier", "gold"))
    assert held(emporix, session.session_id)["metadata"]["version"] == 2

    await browser.visit(shops[0], named("colour", "red"))

    assert attributes(emporix, session) == {"tier": "gold", "colour": "red"}
    assert await shown(browser, shops[2]) == "EUR en colour=red tier=gold"


async def test_later_choice_after_a_backup(
    shops: list[Shop], emporix: FakeEmporix, session: FakeSession, browser: Browser
) -> None:
    """It shows in place of an earlier one that was taken with a higher version, also where Emporix is behind."""
    for language in ("fr", "it", "es"):
        emporix.edit(session.session_id, language=language)
    await browser.visit(shops[0], named("tier", "one"))
    put_back(emporix, session, 1, context={})
    await asyncio.sleep(LAG + 61)
    later = await browser.send(shops[1], named("tier", "two"))
    assert await shown(Browser(session.token), shops[2]) == "EUR es tier=two"
    emporix.fault("context.patch", Fault(status=204), times=1)
    beside = await browser.send(shops[2], choosing(language="de"))

    browser.receive(later)
    browser.receive(beside)

    assert await shown(browser, shops[2]) == "EUR de tier=two"
