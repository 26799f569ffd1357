"""Requests of one browser overlap, and their answers arrive in any order: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import Commit, ContinuityPolicy, NoToken, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from ..support.shop import Shop, held
from ..support.virtual_time import VirtualClock
from .browser import OTHER_SECRET, SECRET, Browser, choosing, everything, payload

MakeShop = Callable[..., Shop]

DOWN = Fault(status=503)
ORDERS = pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "overtaken"])
SHARING = pytest.mark.parametrize("shared", [False, True], ids=["nothing shared", "shared store"])


def fleet(make_shop: MakeShop, number: int, *, shared: bool = False, **options: Any) -> list[Shop]:
    """Return workers of one shop, with a shared store beside the cookies or not."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    beside = [{"store": each} if shared else {} for each in (store, *(store.sibling() for _ in range(number - 1)))]
    return [make_shop(secret_key=SECRET, **each, **options) for each in beside]


async def shown(browser: Browser, *shops: Shop) -> set[str]:
    """Return what pages of these workers show, one after the other."""
    return {(await browser.visit(shop, everything)).text for shop in shops}


def taken(emporix: FakeEmporix, field: str) -> list[Any]:
    """Return the values of a field that Emporix has taken, in order."""
    done: list[Any] = [call.body for call in emporix.calls if call.operation == "context.patch" and call.status == 204]
    return [body[field] for body in done if field in body]


def attributes(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (document.get("context") or {}).items() if key != "_session_ctx"}


async def is_available(emporix: FakeEmporix, session: FakeSession) -> None:
    """Have Emporix take what was parked."""
    emporix.clear_faults()
    if emporix.document(session.session_id) is None:
        emporix.create_context(session.session_id, currency="EUR", language="en")
    await asyncio.sleep(20)


# A1: two choices at once, while Emporix cannot take them


@ORDERS
@SHARING
@pytest.mark.parametrize("variant", list(itertools.product([False, True], ["language", "tier"], [1, 2])), ids=str)
async def test_a1_two_parked_at_once(
    order: tuple[int, int], shared: bool, variant: tuple[bool, str, int], make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """A1: Two choices that overlap and are both parked are both shown, everywhere, and both reach Emporix.

    A variant is whether Emporix is down or has no context, which other field is chosen, and by how many workers.
    """
    down, second, workers = variant
    shops = fleet(make_shop, 3, shared=shared)
    session = emporix.new_session(exists=down, **({"currency": "EUR", "language": "en"} if down else {}))
    browser = Browser(session.token)
    if down:
        emporix.fault("context.*", DOWN, times=None)
    slow = browser.send(shops[0], choosing(3, **{second: "fr"}))
    await asyncio.sleep(1)
    quick = browser.send(shops[workers - 1], choosing(currency="USD"))
    answers = await asyncio.gather(slow, quick)
    for index in order:
        browser.receive(answers[index])

    expected = "USD fr" if second == "language" else "USD - tier=fr"
    assert await shown(browser, *shops, *shops) == {expected}
    await is_available(emporix, session)
    await shown(browser, *shops)
    document = held(emporix, session.session_id)
    assert document["currency"] == "USD"
    assert {**document, **attributes(document)}[second] == "fr"


@ORDERS
async def test_a1_two_attributes_at_once(order: tuple[int, int], make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A1: The same for two attributes, of which Emporix has one map."""
    shops = fleet(make_shop, 3)
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    slow = browser.send(shops[0], choosing(3, one="1"))
    quick = browser.send(shops[1], choosing(two="2"))
    answers = await asyncio.gather(slow, quick)
    for index in order:
        browser.receive(answers[index])

    assert await shown(browser, *shops) == {"- - one=1 two=2"}
    await is_available(emporix, session)
    await shown(browser, *shops)
    assert attributes(held(emporix, session.session_id)) == {"one": "1", "two": "2"}


async def test_a1_one_answer_is_lost(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A1: An answer that never arrives costs the other choice nothing."""
    shops = fleet(make_shop, 2)
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    lost = browser.send(shops[0], choosing(3, language="fr"))
    browser.receive(await browser.send(shops[1], choosing(currency="USD")))
    await lost

    assert (await browser.visit(shops[1], everything)).text == "USD -"
    await is_available(emporix, session)
    await shown(browser, *shops)
    assert held(emporix, session.session_id)["currency"] == "USD"


# A2: two workers at once, and a slow page beside a choice


@ORDERS
@SHARING
@pytest.mark.parametrize("exists", [True, False])
async def test_a2_clicks_on_two_workers(
    order: tuple[int, int], shared: bool, exists: bool, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """A2: Of two clicks at once on two workers none is lost, whether Emporix takes them or they are parked."""
    shops = fleet(make_shop, 4, shared=shared)
    session = emporix.new_session(exists=exists, **({"currency": "EUR", "language": "en"} if exists else {}))
    browser = Browser(session.token)
    await shown(browser, *shops)
    clicks = [browser.send(shops[0], choosing(currency="USD")), browser.send(shops[1], choosing(language="fr"))]
    answers = await asyncio.gather(*clicks)
    for index in order:
        browser.receive(answers[index])

    assert await shown(browser, *shops, *shops) == {"USD fr"}
    await is_available(emporix, session)
    assert await shown(browser, *shops) == {"USD fr"}
    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")


@SHARING
@pytest.mark.parametrize("page", [everything, choosing(language="fr")], ids=["reads", "chooses"])
async def test_a2_choice_beside_a_slow_page(page: Any, shared: bool, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A2: What a slow page has brought along does not come back over a choice that was acknowledged meanwhile."""
    shops = fleet(make_shop, 3, shared=shared)
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.visit(shops[0], choosing(currency="USD"))
    await browser.visit(shops[1], choosing(tier="gold"))

    async def slowly(ctx: SessionContext, request: Request) -> Any:
        await ctx
        await asyncio.sleep(5)
        return await page(ctx, request)

    slow = browser.send(shops[2], slowly)
    await asyncio.sleep(1)
    await browser.visit(shops[0], choosing(currency="GBP"))
    browser.receive(await slow)

    assert {text.split()[0] for text in await shown(browser, *shops, *shops)} == {"GBP"}
    await is_available(emporix, session)
    await shown(browser, *shops)
    assert taken(emporix, "currency") == ["GBP"]


# A3: a slow page that only reads sends what it has brought along


@SHARING
@pytest.mark.parametrize("reads_early", [True, False])
@pytest.mark.parametrize("drained", [True, False])
async def test_a3_old_choice_over_a_newer_one(
    reads_early: bool, drained: bool, shared: bool, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """A3: A slow page that holds a parked choice does not send it over a newer one that Emporix has taken."""
    one, two = fleet(make_shop, 2, shared=shared)
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.visit(one, choosing(currency="USD"))
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(20)

    async def slowly(ctx: SessionContext, request: Request) -> str:
        if reads_early:
            await ctx
        await asyncio.sleep(5)
        return await everything(ctx, request)

    slow = browser.send(two, slowly)
    await asyncio.sleep(1)
    if drained:
        await browser.visit(one, everything)
    await browser.visit(one, choosing(currency="GBP"))
    browser.receive(await slow)

    assert await shown(browser, one, two) == {"GBP en"}
    assert taken(emporix, "currency") == (["USD", "GBP"] if drained else ["GBP"])
    await asyncio.sleep(100)
    assert await shown(browser, two, one) == {"GBP en"}
    assert held(emporix, session.session_id)["currency"] == "GBP"


@SHARING
async def test_a3_choice_that_was_taken_after_all(shared: bool, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A choice that Emporix took just after the browser was told that it waits is not sent over a later one."""
    one, two = fleet(make_shop, 2, shared=shared)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in (one, two):
        await browser.currency(shop)
    emporix.fault("context.patch", Fault(delay=3.5))
    slow = browser.send(one, choosing(currency="USD"))
    await asyncio.sleep(5)
    late = await browser.send(one, choosing(currency="CHF"))
    browser.receive(await slow)
    assert held(emporix, session.session_id)["currency"] == "CHF"

    await browser.currency(two)
    await browser.visit(two, choosing(language="fr"))
    assert held(emporix, session.session_id)["currency"] == "CHF"
    browser.receive(late)
    assert [await browser.currency(shop) for shop in (two, one)] == ["CHF", "CHF"]


# A4: answers overtake each other


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("exists", [True, False])
async def test_a4_answers_in_any_order(seed: int, exists: bool, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A4: However the answers of four workers arrive, each worker shows the last choice of every field."""
    shops = fleet(make_shop, 4)
    rng = random.Random(seed)
    session = emporix.new_session(exists=exists, **({"currency": "EUR", "language": "en"} if exists else {}))
    browser = Browser(session.token)
    await shown(browser, *shops)
    last: dict[str, str] = {}
    for number in range(3):
        values = [{"currency": code} for code in ("USD", "GBP", "CHF")] + [{"language": code} for code in ("fr", "it")]
        rng.shuffle(values)
        last = {name: value for each in values for name, value in each.items()}
        on_their_way = []
        for each in values:
            on_their_way.append(browser.send(rng.choice(shops), choosing(**each)))
            await asyncio.sleep(0.5)
        answers = [await answer for answer in on_their_way]
        rng.shuffle(answers)
        for answer in answers:
            browser.receive(answer)

        assert await shown(browser, *shops) == {f"{last['currency']} {last['language']}"}, number
    await is_available(emporix, session)
    assert await shown(browser, *shops) == {f"{last['currency']} {last['language']}"}
    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == (last["currency"], last["language"])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_a4_pages_between_the_answers(order: tuple[int, ...], make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A4: Pages between the answers show what was acknowledged by then, or later choices, and never go back."""
    shops = fleet(make_shop, 4)
    codes = ["EUR", "USD", "GBP", "CHF"]
    browser = Browser(emporix.new_session(currency=codes[0]).token)
    await shown(browser, *shops)
    answers = [await browser.send(shops[number], choosing(currency=codes[number + 1])) for number in range(3)]

    acknowledged = 0
    for index in order:
        browser.receive(answers[index])
        acknowledged = max(acknowledged, index + 1)
        for shop in shops:
            text = (await browser.visit(shop, everything)).text
            assert codes.index(text.split()[0]) >= acknowledged


# A5: answers from before a logout


async def log_out(ctx: SessionContext, _: Request) -> None:
    await ctx.forget()


@SHARING
@pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "encrypted"])
@pytest.mark.parametrize("exists", [True, False])
async def test_a5_answer_after_logout(
    shared: bool, encrypted: bool, exists: bool, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """A5: What was chosen before a logout, and is answered after it, is nothing to the next customer."""
    shops = fleet(make_shop, 3, shared=shared, continuity=ContinuityPolicy(encrypted=encrypted))
    old = emporix.new_session(exists=exists, **({"currency": "EUR"} if exists else {}))
    new = emporix.new_session(currency="EUR", language="en")
    browser = Browser(old.token)
    await browser.visit(shops[1], choosing(language="fr"))
    slow = browser.send(shops[0], choosing(5, currency="USD", tier="gold"))
    await asyncio.sleep(1)
    await browser.visit(shops[1], log_out)
    browser.token = new.token
    browser.receive(await slow)

    assert await shown(browser, *shops, *shops) == {"EUR en"}
    await asyncio.sleep(30)
    assert await shown(browser, *shops) == {"EUR en"}
    document = held(emporix, new.session_id)
    assert (document["currency"], document["language"], document.get("context") or {}) == ("EUR", "en", {})
    if not encrypted:
        assert not [
            word for value in browser.cookies.values() for word in ("gold", "USD") if word in str(payload(value))
        ]


async def test_a5_slow_page_after_logout(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A5: A page that brought several notes before the logout joins them in vain after it."""
    shops = fleet(make_shop, 3)
    old, new = emporix.new_session(exists=False), emporix.new_session(currency="EUR", language="en")
    browser = Browser(old.token)
    for shop, values in ((shops[0], {"currency": "USD"}), (shops[1], {"tier": "gold"})):
        answer = await browser.send(shop, choosing(**values))
        browser.receive(answer)

    async def slowly(ctx: SessionContext, request: Request) -> str:
        await asyncio.sleep(5)
        return await everything(ctx, request)

    slow = browser.send(shops[2], slowly)
    await asyncio.sleep(1)
    await browser.visit(shops[1], log_out)
    browser.token = new.token
    browser.receive(await slow)

    assert await shown(browser, *shops) == {"EUR en"}
    assert browser.operations == []


# A7: a visitor without a token


async def test_a7_choice_without_a_token(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A7: What a visitor chooses without a token is shown on every worker, and sent once there is one."""
    shops = fleet(make_shop, 3)
    browser = Browser(None)
    clicks = [browser.send(shops[0], choosing(2, currency="USD")), browser.send(shops[1], choosing(language="fr"))]
    for answer in reversed(await asyncio.gather(*clicks)):
        browser.receive(answer)
    assert await shown(browser, *shops) == {"USD fr"}
    assert emporix.count() == 0

    session = emporix.new_session(currency="EUR", language="en")
    browser.token = session.token
    assert await shown(browser, *shops) == {"USD fr"}
    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")
    assert taken(emporix, "currency") == ["USD"]


async def test_a7_commit_without_a_token(make_shop: MakeShop) -> None:
    """A7: A switch without a token is parked where the browser can keep it; an attribute is refused."""
    (shop,) = fleet(make_shop, 1)

    async def switching(ctx: SessionContext, _: Request) -> str:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.PARKED
        return f"{ctx.currency}"

    async def setting(ctx: SessionContext, _: Request) -> str:
        ctx.set_attribute("tier", "gold")
        with pytest.raises(NoToken):
            await ctx.commit()
        return "refused"

    browser = Browser(None)
    assert (await browser.visit(shop, switching)).text == "USD"
    assert len(browser.operations) == 1
    assert (await browser.visit(shop, setting)).text == "refused"
    assert len(browser.operations) == 1


async def test_a7_switch_and_attribute(make_shop: MakeShop) -> None:
    """A7: Where a request sets an attribute beside a switch, the switch is kept and the loss is told."""
    (shop,) = fleet(make_shop, 1)
    browser = Browser(None)
    await browser.visit(shop, choosing(currency="USD", tier="gold"))

    assert [event.outcome for event in shop.named("changes.lost")] == ["NoToken"]
    assert await shown(browser, shop) == {"USD -"}


async def test_a7_nobody_keeps_it(shop: Shop) -> None:
    """A7: Without a secret there is nobody to keep it, and that is told."""
    browser = Browser(None)
    await browser.visit(shop, choosing(currency="USD"))

    assert [event.outcome for event in shop.named("changes.lost")] == ["NoToken"]
    assert browser.cookies == {}


# C4: two shops on one host


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET], ids=["one secret", "two secrets"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "encrypted"])
async def test_c4_two_tenants_on_one_host(
    secret: str, encrypted: bool, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """C4: Two tenants on one host name neither read nor clear nor join each other's notes."""
    policy = ContinuityPolicy(encrypted=encrypted)
    other = FakeEmporix("other", seed=1, now=emporix.now)
    mine = [make_shop(secret_key=SECRET, continuity=policy) for _ in range(2)]
    theirs = [make_shop(emporix=other, secret_key=secret, continuity=policy) for _ in range(2)]
    browser = Browser(emporix.new_session(exists=False).token)
    session = other.new_session(currency="JPY", language="ja")
    first, second = browser.token, session.token

    for values in ({"currency": "USD"}, {"language": "fr"}):  # in notes of their own
        browser.receive(await browser.send(mine[0], choosing(**values)))
    before = dict(browser.cookies)
    browser.token = second
    assert await shown(browser, *theirs) == {"JPY ja"}
    assert browser.cookies == before
    await browser.visit(theirs[0], choosing(currency="KRW"))
    assert await shown(browser, *theirs) == {"KRW ja"}
    assert before.items() <= browser.cookies.items()

    browser.token = first
    assert await shown(browser, *mine) == {"USD fr"}
    browser.token = second
    await browser.visit(theirs[0], log_out)
    browser.token = first
    assert await shown(browser, *mine) == {"USD fr"}
    assert held(other, session.session_id)["currency"] == "KRW"
