"""After ten seconds a document is the truth: what a proxy swallowed is sent again, and a version may fall."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .support.shop import Handler, Shop, held, patches
from .support.slow_store import SlowStore
from .support.virtual_time import VirtualClock

SECRET = "s" * 32
DEFAULTS = ContextDefaults(currency="CHF", language="xx")
LAG = 10
SOON = 0.5
SWALLOWED = [200, 201, 204]


class Tab:
    """One browser, whose cookies go along from worker to worker."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.cookies = httpx2.Cookies()

    async def visit(self, shop: Shop, handler: Handler) -> str:
        shop.browser.cookies = self.cookies
        text = (await shop.visit(handler, token=self.session.token)).text
        self.cookies = shop.browser.cookies
        return text

    async def look(self, shop: Shop) -> str:
        """Return what a page shows: currency, language, and how sure of it the middleware is."""

        async def page(ctx: SessionContext, _: Request) -> str:
            await ctx
            flags = (name for name in ("stale", "degraded", "rejected") if getattr(ctx, f"is_{name}"))
            return " ".join([ctx.currency or "none", ctx.language or "none", *flags])

        return await self.visit(shop, page)

    async def change(self, shop: Shop, **values: str) -> None:
        async def endpoint(ctx: SessionContext, _: Request) -> None:
            ctx.switch(**values)

        await self.visit(shop, endpoint)


Workers = Callable[[], tuple[Shop, Shop]]


@pytest.fixture(params=["one process", "two workers and a cookie"])
def workers(request: pytest.FixtureRequest, make_shop: Callable[..., Shop]) -> tuple[Shop, Shop]:
    """One process, twice; or two workers that share nothing but a secret."""
    if request.param == "one process":
        shop = make_shop(defaults=DEFAULTS)
        return shop, shop
    return make_shop(defaults=DEFAULTS, secret_key=SECRET), make_shop(defaults=DEFAULTS, secret_key=SECRET)


@pytest.fixture
async def tab(emporix: FakeEmporix) -> Tab:
    return Tab(emporix.new_session(currency="EUR", language="en"))


async def refreshed(ctx: SessionContext, _: Request) -> str | None:
    """Return the currency that Emporix has."""
    await ctx.refresh()
    return ctx.currency


def currency(emporix: FakeEmporix, tab: Tab) -> Any:
    """Return what Emporix holds."""
    return held(emporix, tab.session.session_id)["currency"]


# E1: a PATCH that a proxy has swallowed


@pytest.mark.parametrize("status", SWALLOWED)
async def test_swallowed_switch_is_sent_again(
    status: int, workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """A success that Emporix never saw is found out by the first page after ten seconds, on whichever worker."""
    one, two = workers
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=status), times=1)
    await tab.change(one, currency="USD")
    assert (await tab.look(two)).startswith("USD")

    await asyncio.sleep(LAG + 1)
    assert await tab.look(two) == "USD en"

    assert currency(emporix, tab) == "USD"
    assert len(patches(emporix)) == 2
    for shop in (one, two):
        assert await tab.look(shop) == "USD en"


@pytest.mark.parametrize("pause", [LAG + 1, 300])
async def test_swallowed_switch_and_a_pause(
    pause: float, workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """However long the shopper waits, the choice is shown and reaches Emporix."""
    one, two = workers
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")

    await asyncio.sleep(pause)
    assert await tab.look(two) == "USD en"
    assert currency(emporix, tab) == "USD"


async def test_swallowed_switch_and_a_long_pause(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """The browser remembers it for as long as its notes last."""
    one, two = (make_shop(defaults=DEFAULTS, secret_key=SECRET) for _ in range(2))
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")

    await asyncio.sleep(20 * 3600)
    assert await tab.look(two) == "USD en"
    assert currency(emporix, tab) == "USD"


async def test_swallowed_attribute_is_sent_again(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """The same for attributes, those that are set and those that are removed; the others stay what they are."""
    one, two = workers
    emporix.edit(tab.session.session_id, context={"gone": "1", "kept": "2"})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("new", "3")
        ctx.remove_attribute("gone")

    async def shown(ctx: SessionContext, _: Request) -> str:
        return str(sorted((await ctx).attributes.items()))

    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.visit(one, endpoint)
    await asyncio.sleep(LAG + 1)

    assert await tab.visit(two, shown) == "[('kept', '2'), ('new', '3')]"
    attributes = held(emporix, tab.session.session_id)["context"]
    assert {key: value for key, value in attributes.items() if not key.startswith("_")} == {"kept": "2", "new": "3"}


async def test_swallowed_twice(
    workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that swallows everything gets a change twice, and not for ever; then the truth is shown, and told."""
    one, two = workers
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=204), times=None)
    await tab.change(one, currency="USD")
    for shop in (one, two) * 60:
        await asyncio.sleep(5)
        await tab.look(shop)

    assert len(patches(emporix)) == 2
    assert await tab.look(two) == "EUR en"
    emporix.clear_calls()
    for _ in range(20):
        assert await tab.look(two) == "EUR en"
    assert emporix.count("context.get") <= 1
    for shop in {id(each): each for each in workers}.values():
        (told,) = shop.named("changes.lost")
        assert (told.operation, told.outcome) == ("commit", "swallowed")
    lines = [record for record in caplog.records if "changes.lost" in record.getMessage()]
    assert all("Look for a proxy" in record.getMessage() for record in lines)
    assert len(lines) == len(set(map(id, workers)))


@pytest.mark.parametrize("first", [0, 1])
async def test_swallowed_beside_another_token(
    first: int, make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """A switch that a proxy swallowed is sent again also where another token of the session believes it taken."""
    shop = make_shop(defaults=DEFAULTS)
    other = Tab(replace(tab.session, token=emporix.new_token(tab.session.session_id)))
    tabs = (tab, other)
    for each in tabs:
        await each.look(shop)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(shop, currency="USD")
    await asyncio.sleep(200)

    for each in (tabs[first], tabs[1 - first], *tabs):
        assert await each.look(shop) == "USD en"
        await asyncio.sleep(3)
    assert currency(emporix, tab) == "USD"
    assert len(patches(emporix)) == 2


async def test_refresh_while_a_swallowed_switch_is_sent_again(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """What was read before the switch was sent once more is not the truth, though its version was claimed long ago."""
    shop = make_shop(defaults=DEFAULTS)

    await tab.look(shop)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(shop, currency="USD")
    await asyncio.sleep(LAG + 1)
    emporix.fault("context.get", Fault(delay_after=0.2), times=1)
    changing = asyncio.create_task(tab.change(shop, language="fr"))
    await asyncio.sleep(0.1)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)  # it is asked before that, and answered afterwards

    assert await tab.visit(shop, refreshed) == "USD"
    await changing
    assert await tab.look(shop) == "USD fr"
    assert currency(emporix, tab) == "USD"


async def test_swallowed_under_somebody_elses_write(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A version that somebody else made has what was replaced still: then Emporix never saw the change."""
    one, two = workers
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")
    emporix.edit(tab.session.session_id, language="fr")  # the very version that the swallowed change counts as taken in

    await asyncio.sleep(LAG + 1)
    assert await tab.look(two) == "USD fr"
    assert currency(emporix, tab) == "USD"


async def test_taken_and_overwritten(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A change that Emporix took, and somebody else changed again, is not sent once more."""
    one, two = workers
    await tab.look(one)
    await tab.change(one, currency="USD")
    emporix.edit(tab.session.session_id, currency="GBP")

    await asyncio.sleep(LAG + 60)
    assert await tab.look(two) == "GBP en"
    assert len(patches(emporix)) == 1


async def test_later_choice_replaces_a_swallowed_one(
    workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """What was swallowed never comes after a later choice of the same field."""
    one, two = workers
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")
    await asyncio.sleep(5)
    await tab.change(two, currency="GBP")
    assert (await tab.look(one)).startswith("GBP")
    for _ in range(4):
        await asyncio.sleep(LAG)
        assert await tab.look(two) == "GBP en"

    assert currency(emporix, tab) == "GBP"
    assert [body["currency"] for body in patches(emporix)].count("USD") == 1


async def test_swallowed_and_logged_out(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """Nothing of a shopper who has left is sent again."""
    one, two = workers
    await tab.look(one)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")

    async def leave(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await tab.visit(one, leave)
    await asyncio.sleep(LAG + 1)

    assert await tab.look(two) == "EUR en"
    await asyncio.sleep(60)
    await tab.look(one)
    assert len(patches(emporix)) == 1


# Before ten seconds are over, a document may be an old one


@pytest.mark.parametrize("replica_lag", [0.5, 5, 9.5])
async def test_lagging_replica_proves_nothing(replica_lag: float, make_shop: Callable[..., Shop]) -> None:
    """A replica that is behind by less than ten seconds neither hides a change nor has it sent twice."""
    emporix = FakeEmporix(replica_lag=replica_lag, now=lambda: asyncio.get_running_loop().time() + 1.79e9)
    shops = [make_shop(emporix=emporix, secret_key=SECRET) for _ in range(2)]
    tab = Tab(emporix.new_session(currency="EUR", language="en"))
    await asyncio.sleep(30)
    await tab.look(shops[0])
    await tab.change(shops[0], currency="USD")
    for shop in shops * 10:
        assert (await tab.look(shop)).startswith("USD")
        await asyncio.sleep(1)

    assert len(patches(emporix)) == 1


async def test_moment_of_asking_counts(make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A document that was asked for earlier proves nothing, however late it comes."""
    shop = make_shop()
    await tab.look(shop)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(shop, currency="USD")
    await asyncio.sleep(LAG - 1.5)
    emporix.fault("context.get", Fault(delay=3), times=1)
    assert (await tab.look(shop)).startswith("USD")  # gives up before the answer comes
    await asyncio.sleep(2)
    assert len(patches(emporix)) == 1

    await asyncio.sleep(60)
    assert await tab.look(shop) == "USD en"
    assert len(patches(emporix)) == 2


# E2: a version that falls


def rewind(emporix: FakeEmporix, tab: Tab, version: int, **fields: Any) -> None:
    """Restore a backup."""
    document = held(emporix, tab.session.session_id)
    document["metadata"]["version"] = version
    emporix.rewrite_context(tab.session.session_id, {**document, **fields})


async def visits(tab: Tab, emporix: FakeEmporix, *shops: Shop, times: int) -> tuple[set[str], int]:
    """Look at pages within a few seconds; return what they show, and how many GETs they took."""
    emporix.clear_calls()
    seen = {await tab.look(shop) for _ in range(times) for shop in shops}
    return seen, emporix.count("context.get")


@pytest.mark.parametrize("pause", [70, 3600, 20 * 3600])
async def test_restored_backup(pause: float, workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A version that falls is believed after ten seconds: no defaults, no logout, and no GET for every page."""
    one, two = workers
    for value in ("USD", "GBP", "USD", "GBP"):
        emporix.edit(tab.session.session_id, currency=value)  # somebody else: nothing of it is this shopper's choice
        await asyncio.sleep(150)
        assert {await tab.look(shop) for shop in (one, two)} == {f"{value} en"}
    await tab.change(one, target_location="US")
    await tab.look(two)
    await asyncio.sleep(60)
    rewind(emporix, tab, 2, currency="SEK", language="sv")

    await asyncio.sleep(pause)
    seen, gets = await visits(tab, emporix, one, two, times=5)
    assert seen == {"SEK sv"}
    assert gets <= 2 * len({one, two})


@pytest.mark.parametrize("pause", [70, 3600, 20 * 3600])
async def test_choices_outlive_a_restored_backup(
    pause: float, make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """What the shopper chose after the backup was made is sent again, once; everything else is as it was restored."""
    one, two = (make_shop(defaults=DEFAULTS, secret_key=SECRET) for _ in range(2))
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
        assert await tab.look(one) == f"{value} en"
    await asyncio.sleep(60)
    rewind(emporix, tab, 2, currency="SEK", language="sv")
    await asyncio.sleep(pause)
    emporix.clear_calls()

    for shop in (two, one) * 3:
        assert await tab.look(shop) == "GBP sv"
    assert currency(emporix, tab) == "GBP"
    assert len(patches(emporix)) == 1


async def test_switch_after_a_restored_backup(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """After that the shop goes on from the lower version: a switch is taken, and read on the other worker."""
    one, two = workers
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
        await tab.look(one)
    await asyncio.sleep(60)
    rewind(emporix, tab, 2, currency="SEK")
    await asyncio.sleep(70)
    await tab.look(one)

    await tab.change(one, currency="USD")
    for _ in range(3):
        assert (await tab.look(two)).startswith("USD en")
        assert currency(emporix, tab) == "USD"
        await asyncio.sleep(LAG + 1)
    assert await tab.look(two) == "USD en"
    assert held(emporix, tab.session.session_id)["metadata"]["version"] <= 4


async def test_switch_beside_an_older_higher_version(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """A switch that was taken just after the version fell shows over a document of before, whose version is higher."""
    one, two, three = (make_shop(defaults=DEFAULTS, secret_key=SECRET) for _ in range(3))
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
    tab.cookies.clear()
    assert await tab.look(two) == "GBP en"
    await asyncio.sleep(1)
    rewind(emporix, tab, 2, currency="SEK")
    await tab.change(three, currency="CHF")

    for _ in range(3):
        assert await tab.look(two) == "CHF en"
    assert currency(emporix, tab) == "CHF"
    await asyncio.sleep(70)
    emporix.edit(tab.session.session_id, currency="NOK")
    await asyncio.sleep(70)
    await tab.look(two)
    await asyncio.sleep(1)
    assert await tab.look(two) == "NOK en"


async def test_blind_switch_after_a_restored_backup(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A switch that comes before any page is taken, too, and not parked for ever behind a floor of the past."""
    one, two = workers
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
        await tab.look(one)
    await asyncio.sleep(60)
    rewind(emporix, tab, 2, currency="SEK")
    await asyncio.sleep(700)

    await tab.change(two, language="fr")
    assert held(emporix, tab.session.session_id)["language"] == "fr"
    assert (await tab.look(one)).endswith(" fr")


async def test_created_anew_without_a_date(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A context that names no time of creation, and is created anew, is the same with a lower version."""
    one, two = workers
    session_id = tab.session.session_id
    emporix.rewrite_context(session_id, {**held(emporix, session_id), "metadata": {"version": 1}})
    for value in ("USD", "GBP", "USD", "GBP"):
        emporix.edit(session_id, currency=value)
        await asyncio.sleep(150)
        assert {await tab.look(shop) for shop in (one, two)} == {f"{value} en"}
    await tab.change(one, target_location="US")
    await tab.look(two)
    await asyncio.sleep(60)
    rewind(emporix, tab, 1, currency="EUR", language="sv")

    await asyncio.sleep(70)
    seen, gets = await visits(tab, emporix, one, two, times=5)
    assert seen == {"EUR sv"}
    assert gets <= 2 * len({one, two})


@pytest.mark.parametrize("first", [True, False])
async def test_date_of_creation_comes_or_goes(
    first: bool, workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """The same where only one of the two contexts names the time."""
    one, two = workers
    session_id = tab.session.session_id
    dated = held(emporix, session_id)["metadata"]
    bare = {"version": dated["version"]}
    emporix.rewrite_context(session_id, {**held(emporix, session_id), "metadata": dated if first else bare})
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
        await tab.look(one)
    await asyncio.sleep(60)
    anew = {"sessionId": session_id, "currency": "EUR", "language": "en", "metadata": bare if first else dated}
    emporix.rewrite_context(session_id, anew)

    await asyncio.sleep(150)
    seen, gets = await visits(tab, emporix, one, two, times=5)
    assert seen == {f"{currency(emporix, tab)} en"}
    assert gets <= 2 * len({one, two})


async def test_other_token_after_a_restored_backup(workers: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """The other tokens of the session, a refreshed one for example, go on from the lower version as well."""
    one, _ = workers
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
        await tab.look(one)
    other = Tab(FakeSession(emporix.new_token(tab.session.session_id), tab.session.session_id, ""))
    other.cookies = tab.cookies
    await other.look(one)
    await asyncio.sleep(60)
    rewind(emporix, tab, 2, language="sv")

    await asyncio.sleep(150)
    assert await tab.look(one) == "GBP sv"
    assert await other.look(one) == "GBP sv"


# Workers with one store: whoever comes to know something late lets the others know


@pytest.fixture
def sharing(make_shop: Callable[..., Shop]) -> tuple[Shop, Shop]:
    """Two workers that share a store, and no cookie."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    return make_shop(store=store, defaults=DEFAULTS), make_shop(store=store.sibling(), defaults=DEFAULTS)


async def test_swallowed_switch_is_asked_for(sharing: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A switch that a proxy swallowed is sent by whichever worker finds that Emporix does not have it."""
    one, two = sharing
    for shop in sharing:
        assert await tab.look(shop) == "EUR en"
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")
    await asyncio.sleep(LAG + 1)

    shown = [await tab.look(two), await tab.look(two), await tab.look(one)]

    assert shown == ["USD en"] * 3
    assert currency(emporix, tab) == "USD"
    assert len(patches(emporix)) == 2


async def test_refresh_while_a_switch_is_parked_again(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """Whoever has waited for others to be asked answers once what is parked again shows."""
    store = SlowStore(clock=VirtualClock(), shared=True)
    store.delay = 0.03
    one, two = make_shop(store=store.sibling(), defaults=DEFAULTS), make_shop(store=store, defaults=DEFAULTS)
    for shop in (one, two):
        await tab.look(shop)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")
    emporix.edit(tab.session.session_id, language="fr")  # the very version that the swallowed change counts as taken in
    await asyncio.sleep(LAG + 1)

    page = asyncio.create_task(Tab(tab.session).look(two))
    await asyncio.sleep(0.15)
    assert await Tab(tab.session).visit(two, refreshed) == "USD"
    assert await page == "USD fr"


async def test_sent_while_it_is_asked_for(make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """What another worker has sent again while this one asked around shows here, too."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two, three = (make_shop(store=each, defaults=DEFAULTS) for each in (store, store.sibling(), store.sibling()))
    for shop in (one, two, three):
        await tab.look(shop)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await tab.change(one, currency="USD")
    await asyncio.sleep(LAG + 1)
    emporix.fault("context.get", Fault(delay_after=0.01), times=1)
    emporix.fault("context.patch", Fault(delay=0.03), times=1)

    shown = await asyncio.gather(Tab(tab.session).look(three), tab.look(two))
    assert set(shown) == {"USD en"}


async def test_backup_that_another_worker_knows_of(sharing: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """What was there before a backup shows nowhere any more, once a worker has written to what was put back."""
    one, two = sharing
    backup = held(emporix, tab.session.session_id)
    for value in ("USD", "GBP", "SEK"):
        emporix.edit(tab.session.session_id, currency=value)
    assert await tab.look(one) == "SEK en"
    await asyncio.sleep(8)
    assert await tab.look(two) == "SEK en"
    emporix.rewrite_context(tab.session.session_id, backup)
    await asyncio.sleep(3)
    await tab.change(one, language="fr")

    assert await tab.look(two) == "EUR fr"


class Unreachable(MemoryStore):
    """A store that cannot be told what to take away."""

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock(), shared=True)
        self.is_down = False

    async def invalidate(self, names: Any, identity: str, floor: int, *, lifetime: float, **more: Any) -> None:
        if self.is_down:
            raise ConnectionError("store is down")
        await super().invalidate(names, identity, floor, lifetime=lifetime, **more)


async def test_backup_of_which_the_store_was_not_told(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab
) -> None:
    """A version that is there no more is taken out of the store later; a new worker does not wait for it."""
    store = Unreachable()
    one, two = make_shop(store=store, defaults=DEFAULTS), make_shop(store=store.sibling(), defaults=DEFAULTS)
    for value in ("USD", "GBP", "USD", "GBP"):
        await tab.change(one, currency=value)
        await tab.look(one)
    await asyncio.sleep(LAG + 1)
    rewind(emporix, tab, 2, language="sv")
    store.is_down = True
    await tab.visit(one, refreshed)
    store.is_down = False
    assert await tab.look(one) == "GBP sv"
    for _ in range(2):
        await asyncio.sleep(60)
        await tab.look(one)
    await asyncio.sleep(SOON)

    assert await tab.look(two) == "GBP sv"


class Overheard(MemoryStore):
    """A store that repeats what it was told first."""

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock(), shared=True)
        self.told: list[tuple[Any, ...]] = []

    async def invalidate(self, names: Any, identity: str, floor: int, *, lifetime: float, **more: Any) -> None:
        self.told.append((names, identity, floor))
        await super().invalidate(names, identity, floor, lifetime=lifetime, **more)


async def test_late_notice_is_no_denial(make_shop: Callable[..., Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """An announcement that arrives late says nothing against later versions, and costs no call."""
    store = Overheard()
    one, two = make_shop(store=store, defaults=DEFAULTS), make_shop(store=store.sibling(), defaults=DEFAULTS)
    for value in ("USD", "GBP"):
        await tab.change(one, currency=value)
    assert await tab.look(two) == "GBP en"
    await asyncio.sleep(5)
    calls = emporix.count("context.get")

    (names, identity, floor), *_ = store.told
    await store.invalidate(names, identity, floor, lifetime=60)

    assert await tab.look(two) == "GBP en"
    assert emporix.count("context.get") == calls


async def test_later_choice_in_a_new_context(sharing: tuple[Shop, Shop], emporix: FakeEmporix, tab: Tab) -> None:
    """A choice that outlives its context does not show over a later one that another worker has sent in the next."""
    one, two = sharing
    for shop in sharing:
        assert await tab.look(shop) == "EUR en"
    await tab.change(one, currency="USD")
    anew = {"version": 1, "createdAt": "2026-10-01T00:00:00.000Z"}
    emporix.rewrite_context(tab.session.session_id, {**held(emporix, tab.session.session_id), "metadata": anew})
    emporix.edit(tab.session.session_id, currency="EUR")
    await asyncio.sleep(LAG + 5)
    await tab.change(two, currency="GBP")
    await asyncio.sleep(3)

    pages = [one.visit(refreshed, token=tab.session.token) for _ in range(3)]
    assert [page.text for page in await asyncio.gather(*pages)] == ["GBP"] * 3  # nor to whoever asks meanwhile
    assert await tab.look(one) == "GBP en"
    assert currency(emporix, tab) == "GBP"


async def test_late_notice_and_a_refused_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A lower version whose notice came late is no reason to send anything again when a token is refused later."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two, three = (make_shop(store=each) for each in (store, store.sibling(), store.sibling()))
    session = emporix.new_session(currency="EUR", language="en")
    for shop in (one, two, three):
        await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay_after=1.0), times=1)
    late = asyncio.create_task(two.switch(session.token, language="fr"))
    await asyncio.sleep(0.1)
    await one.switch(session.token, currency="USD")
    await late
    await asyncio.sleep(3)
    assert await one.currency(session.token) == "USD"
    emporix.fault("context.get", Fault(status=401), times=1)
    emporix.edit(session.session_id, currency="GBP")

    async def again(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()

    await three.visit(again, token=session.token)
    await asyncio.sleep(0.1)
    await one.currency(session.token)
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["currency"] == "GBP"
