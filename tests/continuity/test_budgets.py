"""Room: proxies take 4 KiB of response header and 8 KiB of request header, and notes are to stay far below that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import httpx2
import pytest
from starlette.requests import Request

from session_ctx_middleware import ContinuityPolicy, SessionContext
from session_ctx_middleware import continuity as module
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Handler, Shop
from .browser import SECRET, Browser, choosing, everything

MakeShop = Callable[..., Shop]

KIB = 1024


def weight(browser: Browser) -> int:
    """Return how many bytes the notes of a browser take in a request."""
    return sum(len(name) + len(value) for name, value in browser.cookies.items())


def slowly(seconds: float) -> Handler:
    """Return a page that takes a while once it has looked."""

    async def endpoint(ctx: SessionContext, request: Request) -> str:
        text = await everything(ctx, request)
        await asyncio.sleep(seconds)
        return text

    return endpoint


def longest(headers: list[str]) -> int:
    return max((len(header.partition(";")[0]) - 1 for header in headers), default=0)


def cleared(headers: list[str]) -> set[str]:
    return {header.partition("=")[0] for header in headers if "Max-Age=0" in header}


@pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "encrypted"])
@pytest.mark.parametrize("size", [20, 400])
@pytest.mark.parametrize("exists", [True, False])
async def test_storm(size: int, exists: bool, encrypted: bool, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Whatever overlaps, a response sets 3 KiB at most, and a few pages later 4 KiB of notes are left, at most.

    It is a single one, unless attributes make some of them heavy.
    """
    policy = ContinuityPolicy(encrypted=encrypted)
    shops = [make_shop(secret_key=SECRET, continuity=policy) for _ in range(3)]
    rng = random.Random(size)
    browser = Browser(emporix.new_session(exists=exists).token)
    for round_ in range(3):
        waves = [
            browser.send(
                rng.choice(shops),
                choosing(rng.random(), currency=rng.choice(["USD", "GBP"]), **{f"k{each}": "x" * size}),
            )
            for each in range(8)
        ]
        answers = list(await asyncio.gather(*waves))
        rng.shuffle(answers)
        for answer in answers:
            browser.receive(answer)
            assert sum(map(len, browser.last)) <= 3 * KIB, round_
            assert longest(browser.last) <= policy.max_bytes
    for _ in range(6):
        await asyncio.sleep(0.5)
        await browser.visit(rng.choice(shops), everything)
        assert sum(map(len, browser.last)) <= 3 * KIB

    assert size > 100 or len(browser.cookies) == 1
    assert weight(browser) <= 4 * KIB
    await browser.visit(shops[0], everything)
    assert browser.last == [], "once settled, reading sets nothing"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [5, 500])
async def test_crowds_of_double_clicks(size: int, seed: int, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Eight requests at once, each of them twice, again and again: a browser never sends more than 8 KiB of notes."""
    shops = [make_shop(secret_key=SECRET) for _ in range(3)]
    rng = random.Random(seed)
    browser = Browser(emporix.new_session(exists=False).token)
    on_their_way: list[asyncio.Task[httpx2.Response]] = []

    def click() -> None:
        field, value = rng.choice([("currency", rng.choice(["USD", "GBP"])), ("a", "x"), ("b", "x")])
        for each in range(2):
            page = choosing(rng.random() * 4, **{field: value * size if value == "x" else value})
            on_their_way.append(browser.send(rng.choice(shops), rng.choice([page, everything]) if each else page))

    most = 0
    for moment in range(60):
        for _ in range(8 if moment % 15 == 0 else 1):
            click()
        on_their_way.append(browser.send(rng.choice(shops), everything))
        await asyncio.sleep(0.2)
        for answer in [each for each in on_their_way if each.done()]:
            on_their_way.remove(answer)
            browser.receive(answer.result())
            most = max(most, weight(browser))
    await asyncio.wait(on_their_way)

    assert most <= 8 * KIB


@pytest.mark.parametrize("most", [512, 1024, 3072])
async def test_longest_cookie(most: int, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """No cookie is longer than the policy allows, and switches always have room."""
    shops = [make_shop(secret_key=SECRET, continuity=ContinuityPolicy(max_bytes=most)) for _ in range(2)]
    browser = Browser(emporix.new_session(exists=False).token)
    await browser.visit(shops[0], choosing(currency="USD", tier="x" * 400, size="y" * 700))
    assert 0 < longest(browser.last) <= most
    await browser.visit(shops[1], choosing(language="fr", colour="z" * 300))
    assert longest(browser.last) <= most

    assert (await browser.visit(shops[1], everything)).text.startswith("USD fr")
    assert longest(browser.last) <= most


async def test_many_notes(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """At most 32 notes are read, none is cleared that was not, and in the end the last choice is there."""
    shops = [make_shop(secret_key=SECRET) for _ in range(20)]  # each knows nothing of what the others have sent
    browser = Browser(emporix.new_session(exists=False).token)
    answers = []
    for number in range(40):
        answers.append(await browser.send(shops[number % 20], choosing(currency=("USD", "GBP")[number % 2])))
        await asyncio.sleep(1)
    for answer in answers:
        browser.receive(answer)
    names = list(browser.cookies)
    assert len(names) == 40

    await browser.visit(shops[1], everything)
    unread = set(names[: 40 - module.MAX_NOTES])
    assert cleared(browser.last)
    assert not cleared(browser.last) & unread
    for _ in range(12):
        assert (await browser.visit(shops[1], everything)).text == "GBP -"
    assert len(browser.cookies) == 1


async def test_many_bytes(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """At most 8 KiB of notes are read, and none is cleared that was not."""
    shops = [make_shop(secret_key=SECRET) for _ in range(2)]
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    answers = []
    for number in range(6):
        blank = Browser(session.token)
        worker = make_shop(secret_key=SECRET)  # which knows nothing of the others
        answers.append(await blank.send(worker, choosing(**{f"k{number}": "x" * 1500})))
        await asyncio.sleep(1)
    for answer in answers:
        browser.receive(answer)
    sizes = {name: len(name) + len(value) for name, value in browser.cookies.items()}
    names = list(sizes)
    assert sum(sizes.values()) > 10 * KIB

    text = (await browser.visit(shops[1], everything)).text
    assert text.count("k") == 3
    assert "k5=" in text, "the latest are read first"
    assert cleared(browser.last) <= set(names[3:])
    assert sum(map(len, browser.last)) <= 3 * KIB


async def test_waiting_value_does_not_come_back(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """An attribute that waited, in a note that arrives late, does not come back where the newer one had no room."""
    shops = [make_shop(secret_key=SECRET) for _ in range(3)]
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.visit(shops[0], choosing(tier="old"))
    late = dict(browser.cookies)
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(20)
    await browser.visit(shops[0], choosing(tier="new" * 200))
    await browser.visit(shops[1], choosing(language="fr"))
    await browser.visit(shops[0], everything)
    assert weight(browser) < KIB, "it had no room"
    browser.cookies |= late
    emporix.fault("context.*", Fault(status=503), times=None)

    assert "old" not in (await browser.visit(shops[2], everything)).text


async def test_crowd_of_pages(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Pages that overlap, and join the same notes, write one and the same cookie; those that choose add their own."""
    shops = [make_shop(secret_key=SECRET) for _ in range(4)]
    browser = Browser(emporix.new_session(exists=False).token)
    await browser.visit(shops[0], choosing(currency="USD"))
    await browser.visit(shops[1], choosing(language="fr"))
    assert len(browser.cookies) == 2
    pages = [browser.send(shop, everything) for shop in shops * 4]
    clicks = [browser.send(shop, choosing(1, currency="GBP")) for shop in shops]
    for answer in await asyncio.gather(*pages, *clicks):
        browser.receive(answer)

    assert len(browser.cookies) == 1 + len(clicks)
    assert {(await browser.visit(shop, everything)).text for shop in shops} == {"GBP fr"}
    assert len(browser.cookies) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_many_choices_at_once(seed: int, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Sixty choices overlap, and none brings what another one has told: few notes are left, and the last choice counts.

    Whichever answers get lost, or come last.
    """
    shops = [make_shop(secret_key=SECRET) for _ in range(3)]
    rng = random.Random(seed)
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    answers = []
    for number in range(60):
        pages = (choosing(currency=f"A{chr(65 + number // 26)}{chr(65 + number % 26)}"), choosing(size=str(number)))
        answers.append(await browser.send(shops[number % 3], pages[number // 3 % 2]))
        await asyncio.sleep(0.05)
    arriving = [answer for answer in answers[:-6] if rng.random() < 0.9] + answers[-6:]
    rng.shuffle(arriving)
    most = 0
    for answer in arriving:
        browser.receive(answer)
        assert sum(map(len, browser.last)) <= 3 * KIB
        most = max(most, weight(browser))

    assert most <= 4 * KIB
    assert len(browser.cookies) <= module.MAX_NOTES
    fresh = make_shop(secret_key=SECRET)
    assert (await browser.visit(fresh, everything)).text == "ACE - size=59"
    assert (await browser.visit(make_shop(secret_key=SECRET), everything)).text == "ACE - size=59"


@pytest.mark.parametrize(("size", "count"), [(40, 8), (5, 16), (40, 16), (60, 16)])
async def test_many_attributes_at_once(size: int, count: int, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """So many other attributes are set at once: what is told once more does not make the cookies larger."""
    shop = make_shop(secret_key=SECRET)
    browser = Browser(emporix.new_session().token)
    pages = [choosing(**{f"wish{number}": "x" * size}) for number in range(count)]
    for answer in await asyncio.gather(*(browser.send(shop, page) for page in pages)):
        browser.receive(answer)
    most = weight(browser)
    for _ in range(4):
        await browser.visit(shop, everything)

    assert most <= 6 * KIB
    assert weight(browser) <= 1400


async def test_own_choice_has_room(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """No choice of a response gives way for the sake of what other responses tell anyway."""
    one, two = (make_shop(secret_key=SECRET, continuity=ContinuityPolicy(max_bytes=512)) for _ in range(2))
    browser = Browser(emporix.new_session(exists=False).token)

    async def slow(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("wish0", "x" * 40)
        await asyncio.sleep(1)

    pages = [slow, *(choosing(**{f"wish{number}": "x" * 40}) for number in range(1, 6))]
    for answer in await asyncio.gather(*(browser.send(one, page) for page in pages)):
        browser.receive(answer)

    assert (await browser.visit(two, everything)).text.count("wish") == 6
    assert one.named("continuity.overflow") == []


async def test_slow_pages_and_clicks(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """While a joined note is on its way to a browser, other answers of the worker write no other one beside it."""
    shop, rng = make_shop(secret_key=SECRET), random.Random(1)
    browser = Browser(emporix.new_session(exists=False).token)
    on_their_way: list[asyncio.Task[httpx2.Response]] = []
    most = 0
    for moment in range(60):
        on_their_way.append(browser.send(shop, slowly(rng.random() * 4)))
        if moment % 3 == 0:
            on_their_way.append(browser.send(shop, choosing(rng.random(), **{f"k{moment % 8}": "x"})))
        await asyncio.sleep(0.2)
        for answer in [each for each in on_their_way if each.done()]:
            on_their_way.remove(answer)
            browser.receive(answer.result())
            most = max(most, weight(browser))
    await asyncio.wait(on_their_way)

    assert most <= KIB


async def test_unreadable_notes_do_not_count(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What cannot be verified takes no room from notes that can be."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    browser = Browser(emporix.new_session(exists=False).token)
    await browser.visit(one, choosing(currency="USD"))
    (name,) = browser.cookies
    garbage = {f"{name[:-16]}{number:016x}": "x." * 200 for number in range(50)}
    browser.cookies = {**browser.cookies, **garbage}

    assert (await browser.visit(two, everything)).text == "USD -"
    for _ in range(6):
        assert (await browser.visit(two, everything)).text == "USD -"
    assert list(browser.cookies) == [name], "garbage is cleared, as far as there is room for it"
