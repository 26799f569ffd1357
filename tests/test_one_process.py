"""One process is one: its instances and event loops know of each other what they did, and what they have read."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest
from blockbuster import BlockBuster
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from session_ctx_middleware import (
    CachePolicy,
    SessionContextMiddleware,
    UpstreamPolicy,
    get_session_context,
    on_their_way,
)
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.emporix import TokenAnswer
from session_ctx_middleware.engine.notes import Noted, Notes
from session_ctx_middleware.model.operation import Operation
from session_ctx_middleware.on_their_way import OnTheirWay
from session_ctx_middleware.sessions import once
from session_ctx_middleware.sessions.kept import KeptSession
from session_ctx_middleware.sessions.renewal import Renewals
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import held
from .support.virtual_time import WALL_START, VirtualClock

PATIENCE = 60.0


async def shop(request: Request) -> Response:
    """Switch the currency that is asked for, and show the current one."""
    ctx = get_session_context(request)
    if "to" in request.query_params:
        ctx.switch_currency(request.query_params["to"])
    elif "language" in request.query_params:
        ctx.switch_language(request.query_params["language"])
    elif "both" in request.query_params:
        return PlainTextResponse(f"{(await ctx).currency} {ctx.language}")
    elif "refresh" in request.query_params:
        await ctx.refresh()
    elif "bye" in request.query_params:
        await ctx.forget()
        return PlainTextResponse("")
    return PlainTextResponse((await ctx).currency or "")


def instance(emporix: FakeEmporix, **options: Any) -> SessionContextMiddleware:
    """Return one of several instances of a shop."""
    return SessionContextMiddleware(
        Starlette(routes=[Route("/", shop)]),
        tenant=options.pop("tenant", "acme"),
        http_client=emporix.client(httpx),
        **options,
    )


async def test_first_read_past_all_caches() -> None:
    """An instance whose first read of a session is a refresh does not believe a replica that lags behind another."""
    emporix = FakeEmporix(replica_lag=3.0, now=lambda: WALL_START + asyncio.get_running_loop().time())
    session = emporix.new_session(currency="EUR")
    await asyncio.sleep(10)
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    one, other = instance(emporix, store=store, clock=clock), instance(emporix, store=store, clock=clock)
    assert await get(one, session.token, "to=USD") == "USD"
    assert await get(other, session.token, "refresh=1") == "USD"
    assert await get(other, session.token) == "USD"


async def get(app: SessionContextMiddleware | Starlette, token: str, query: str = "", path: str = "/") -> str:
    """Return what one instance answers."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as browser:
        answer = await browser.get(f"{path}?{query}", headers={"Authorization": f"Bearer {token}"})
    return answer.raise_for_status().text


def gets(emporix: FakeEmporix) -> int:
    """Return how often Emporix was asked for a context."""
    return len([call for call in emporix.calls if call.operation == "context.get"])


async def test_switch_in_one_instance(emporix: FakeEmporix) -> None:
    """C1: What a shopper switches by way of one instance, the others show at once."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)

    assert [await get(one, session.token), await get(other, session.token)] == ["EUR", "EUR"]
    await get(one, session.token, "to=USD")
    assert [await get(other, session.token), await get(one, session.token)] == ["USD", "USD"]
    await get(other, session.token, "to=GBP")
    assert [await get(one, session.token), await get(other, session.token)] == ["GBP", "GBP"]
    # One GET to begin with, and one after each change: the other instance uses what the first one has read.
    assert gets(emporix) == 3


async def test_switch_in_one_of_two_mounts(emporix: FakeEmporix) -> None:
    """C1: Two applications that are mounted beside each other, each with a middleware of its own, are one shop."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    app = Starlette(routes=[Mount(path, app=instance(emporix, clock=clock)) for path in ("/catalog", "/checkout")])

    shown = [await get(app, session.token, path=path) for path in ("/catalog/", "/checkout/")]
    assert await get(app, session.token, "to=USD", path="/checkout/") == "USD"
    shown.append(await get(app, session.token, path="/catalog/"))

    assert shown == ["EUR", "EUR", "USD"]


@pytest.mark.parametrize("reads", [True, False], ids=["who had read", "who had not"])
@pytest.mark.parametrize(
    ("lag", "status"), [(5.0, None), (0.0, 503), (5.0, 503)], ids=["lagging", "down", "lagging and down"]
)
async def test_switch_before_emporix_shows_it(reads: bool, lag: float, status: int | None) -> None:
    """C1: What a shopper switched in one instance shows in the others though Emporix lags behind, or is down by now."""
    emporix = FakeEmporix(replica_lag=lag, now=lambda: WALL_START + asyncio.get_running_loop().time())
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one, other, third = (instance(emporix, clock=clock) for _ in range(3))
    await get(one, session.token)
    if reads:
        await get(other, session.token)
    await asyncio.sleep(70)

    await get(one, session.token, "to=USD")
    if status is not None:
        emporix.fault("context.get", Fault(status=status), times=None)
    shown = [await get(each, session.token) for each in (other, one, third, other)]

    assert shown == ["USD"] * 4


async def test_swallowed_change_and_a_later_version() -> None:
    """What shows that a proxy swallowed a change counts, though each instance knows Emporix' time by half a second."""
    emporix = FakeEmporix(now=lambda: WALL_START + asyncio.get_running_loop().time())
    clock, session = VirtualClock(), emporix.new_session(currency="EUR", language="en")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    await get(one, session.token)  # at the beginning of a second: for all it knows, this may be the end of it
    await asyncio.sleep(0.99)
    await get(other, session.token, "refresh=1")

    emporix.fault("context.patch", Fault(status=204), times=1)
    await get(one, session.token, "to=USD")
    emporix.edit(session.session_id, language="fr")  # makes the version that the switch was to have made
    await asyncio.sleep(0.1)
    await get(other, session.token, "language=it")

    assert [await get(each, session.token, "both=1") for each in (other, one)] == ["USD it"] * 2
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_read_beside_a_swallowed_change() -> None:
    """What shows that a proxy swallowed a change may have been asked for before the change was answered."""
    emporix = FakeEmporix(now=lambda: WALL_START + asyncio.get_running_loop().time())
    clock, session = VirtualClock(), emporix.new_session(currency="EUR", language="en")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    renewed = emporix.new_token(session.session_id)
    await get(one, session.token)
    await asyncio.sleep(0.1)

    emporix.fault("context.patch", Fault(status=204, delay=0.3), times=1)
    changing = asyncio.create_task(get(one, session.token, "to=USD"))
    await asyncio.sleep(0.1)
    emporix.edit(session.session_id, language="fr")
    emporix.fault("context.get", Fault(delay_after=0.4), times=1)
    await asyncio.gather(changing, get(other, renewed))

    assert await get(other, renewed, "both=1") == "USD fr"
    assert await get(one, session.token, "both=1") == "USD fr"


async def test_writes_that_overlap(emporix: FakeEmporix) -> None:
    """C1: Where two instances write at the same time, both show what either of them has written."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR", language="en")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    for each in (one, other):
        await get(each, session.token)
    emporix.fault("context.patch", Fault(delay_after=1.0), times=1)

    slow = asyncio.create_task(get(one, session.token, "language=fr"))
    await asyncio.sleep(0.2)
    await get(other, session.token, "to=USD")
    await slow
    emporix.fault("context.get", Fault(status=503), times=None)
    shown = [await get(each, session.token, "both") for each in (one, other)]

    assert shown == ["USD fr", "USD fr"]


async def test_switch_whose_answer_was_lost(emporix: FakeEmporix) -> None:
    """C1: A switch that a GET has shown to be there shows in the others, too, under another token and in an outage."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    other_token = emporix.new_token(session.session_id)
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    for each in (one, other):
        for token in (session.token, other_token):
            await get(each, token)
    emporix.fault("context.patch", Fault(drop="after"), times=1)
    await get(one, session.token, "to=USD")
    assert held(emporix, session.session_id)["currency"] == "USD"
    emporix.fault("context.*", Fault(status=503), times=None)

    assert [await get(each, token) for each in (one, other) for token in (session.token, other_token)] == ["USD"] * 4


async def test_switch_that_emporix_never_saw(emporix: FakeEmporix) -> None:
    """C1: What an answer said that Emporix had taken, and what it has not, waits for all instances to send it."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    for each in (one, other):
        await get(each, session.token)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await get(one, session.token, "to=USD")
    assert held(emporix, session.session_id)["currency"] == "EUR"

    await asyncio.sleep(11)
    emporix.fault("context.patch", Fault(status=503), times=1)
    shown = [await get(each, session.token) for each in (other, one)]
    await asyncio.sleep(11)
    shown += [await get(each, session.token) for each in (one, other)]

    assert shown == ["USD"] * 4
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_no_context_a_moment_ago(emporix: FakeEmporix) -> None:
    """C1: Late news that there is no context hides nothing that another instance has sent to it meanwhile."""
    clock, session = VirtualClock(), emporix.new_session(exists=False)
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    await get(one, session.token, "to=USD")
    assert await get(other, session.token) == "USD"
    await asyncio.sleep(10)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)

    late = asyncio.create_task(get(other, session.token))
    await asyncio.sleep(0.2)
    emporix.create_context(session.session_id, currency="EUR")
    await get(one, session.token, "refresh=1")

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert await late == "USD"


async def test_writes_of_one_version(emporix: FakeEmporix) -> None:
    """C1: Of two instances that say to have made one version, the one whose change Emporix never saw sends it again."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR", language="en")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    for each in (one, other):
        await get(each, session.token)
    emporix.fault("context.patch", Fault(delay=0.3), times=1)
    emporix.fault("context.patch", Fault(status=204), times=1)

    slow = asyncio.create_task(get(one, session.token, "language=fr"))
    await asyncio.sleep(0.1)
    await get(other, session.token, "to=USD")
    await slow
    emporix.edit(session.session_id, site_code="us")  # no document of that very version comes any more

    assert [await get(each, session.token, "both") for each in (one, other)] == ["USD fr", "USD fr"]
    await asyncio.sleep(1)
    assert [await get(each, session.token, "both") for each in (one, other)] == ["USD fr", "USD fr"]
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_new_token_in_another_instance(emporix: FakeEmporix) -> None:
    """C1: What Emporix never saw waits under a new token, too, in an instance that has not met the session before."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    await get(one, session.token)
    emporix.fault("context.patch", Fault(status=204), times=1)
    await get(one, session.token, "to=USD")

    await asyncio.sleep(15)
    other_token = emporix.new_token(session.session_id)
    assert await get(other, other_token) == "USD"
    await asyncio.sleep(11)
    assert await get(other, other_token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_instances_ask_once(emporix: FakeEmporix) -> None:
    """C1: Twenty-four instances that are asked for one session at the same moment make one GET."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(delay=0.5))
    instances = [instance(emporix, clock=clock) for _ in range(24)]

    shown = await asyncio.gather(*(get(each, session.token) for each in instances * 3))

    assert shown == ["EUR"] * 72
    assert gets(emporix) == 1


def test_loop_per_request() -> None:
    """B5: Where every request has an event loop of its own, Emporix is asked once, and changes show."""
    emporix = FakeEmporix()
    session, app = emporix.new_session(currency="EUR"), instance(emporix)
    queries = [""] * 20 + ["to=USD"] + [""] * 20

    shown = [asyncio.run(get(app, session.token, query)) for query in queries]

    assert shown == ["EUR"] * 20 + ["USD"] * 21
    assert gets(emporix) == 2


def test_outage_and_a_loop_per_request() -> None:
    """B5: Where every request has an event loop of its own, the next one knows that Emporix is silent for everybody."""
    emporix = FakeEmporix()
    app = instance(emporix, upstream=UpstreamPolicy(deadline=0.1))
    emporix.fault("context.get", Fault(hang=True), times=None)
    took = []
    for _ in range(30):
        began = time.monotonic()
        assert asyncio.run(get(app, emporix.new_session(currency="EUR").token)) == ""
        took.append(time.monotonic() - began)
    emporix.clear_faults()

    assert app.stats()["upstream.unavailable"] == 1
    assert app.stats()["upstream_gets"] <= 5 + 5
    waited = time.monotonic() + PATIENCE
    while asyncio.run(get(app, emporix.new_session(currency="EUR").token)) != "EUR":
        assert time.monotonic() < waited


def test_pause_and_a_loop_per_request() -> None:
    """B5: A pause that Emporix asked for holds for the event loops of later requests, too."""
    emporix = FakeEmporix()
    app = instance(emporix)
    emporix.fault("context.get", Fault(status=429, retry_after=60))
    for _ in range(20):
        asyncio.run(get(app, emporix.new_session(currency="EUR").token))

    assert gets(emporix) == 1


async def test_pause_of_another_instance(emporix: FakeEmporix) -> None:
    """C1: A pause that Emporix asked one instance for holds for all of them, and so does the breaker."""
    clock = VirtualClock()
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    emporix.fault("context.get", Fault(status=429, retry_after=10))
    for app in (one, other):
        await get(app, emporix.new_session().token)
    assert gets(emporix) == 1
    await asyncio.sleep(10)
    emporix.fault("context.get", Fault(status=500), times=None)
    for app in (one, other) * 10:
        await get(app, emporix.new_session().token)

    assert gets(emporix) == 6


async def test_outage_of_another_tenant(emporix: FakeEmporix) -> None:
    """Where one store serves two tenants, an outage of one of them is not one of the other."""
    other_emporix, store = FakeEmporix("other", now=emporix.now), MemoryStore()
    clock, session = VirtualClock(), other_emporix.new_session(currency="EUR")
    one = instance(emporix, clock=clock, store=store)
    other = instance(other_emporix, clock=clock, store=store, tenant="other")
    emporix.fault("context.get", Fault(status=429, retry_after=30), times=None)
    for _ in range(10):
        await get(one, emporix.new_session().token)

    assert await get(other, session.token) == "EUR"


@pytest.mark.parametrize("known", ["no context", "refused", "unavailable"])
def test_loop_per_request_that_finds_nothing(known: str) -> None:
    """B5: An event loop for each request is no reason to ask again what Emporix has just said, or could not say."""
    emporix = FakeEmporix()
    session = emporix.new_session(exists=known != "no context")
    long = CachePolicy(missing_ttl=3600.0, rejected_ttl=3600.0, failure_throttle=3600.0)
    app = instance(emporix, cache=long, upstream=UpstreamPolicy(get_retry=False))
    if known == "refused":
        emporix.revoke(session.token)
    elif known == "unavailable":
        emporix.fault("context.get", Fault(status=503), times=None)

    for _ in range(20):
        assert asyncio.run(get(app, session.token)) == ""

    assert gets(emporix) == 1


def test_two_threads() -> None:
    """C2: What a shopper switches on one event loop, another one in another thread shows at once."""
    emporix = FakeEmporix()
    session, app = emporix.new_session(currency="EUR"), instance(emporix)
    with thread_loop() as here, thread_loop() as there:
        for currency in ("USD", "GBP", "CHF", "SEK") * 5:
            here(get(app, session.token, f"to={currency}"))
            assert there(get(app, session.token)) == currency
            assert here(get(app, session.token)) == currency

    assert gets(emporix) <= 21


@contextmanager
def thread_loop() -> Iterator[Callable[[Coroutine[Any, Any, str]], str]]:
    """Run an event loop in a thread of its own; give what runs work there, and returns its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class FastClock(SystemClock):
    """Lets what is kept for a while be over at once."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() * 1_000


def tell_notes() -> Callable[[random.Random], Any]:
    notes = Notes((Noted("attributes.k", Operation("v" * 1_000, "id", at=1.0, recorded=1.0), "token", "session"),))
    sent = OnTheirWay(FastClock())

    async def work(chance: random.Random) -> None:
        token = str(chance.randrange(100))
        sent.sends(token, b"name", notes, 1_000)
        sent.size(token, ())

    return work


def refresh_sessions() -> Callable[[random.Random], Any]:
    async def refresh(kept: KeptSession) -> KeptSession:
        return kept

    renewals = Renewals(refresh, FastClock())

    async def work(chance: random.Random) -> None:
        token = TokenAnswer("access", 3600.0, str(chance.randrange(100)), 86_400.0, "session")
        await renewals.of(KeptSession.granted(token, WALL_START), 60_000.0)

    return work


@pytest.mark.parametrize("task", [tell_notes, refresh_sessions])
def test_threads_do_not_break_what_they_share(
    task: Callable[[], Callable[[random.Random], Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    blockbuster: BlockBuster,
) -> None:
    """C2: What the event loops of several threads keep for a while in one place stays in order."""
    blockbuster.deactivate()  # they wait for each other for some microseconds
    monkeypatch.setattr(on_their_way, "TOKENS", 20)
    monkeypatch.setattr(once, "MOST", 20)
    work, failed = task(), list[Exception]()
    interval, until = sys.getswitchinterval(), time.monotonic() + 0.5

    async def loop(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < until:
                await work(chance)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(loop(seed))) for seed in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)

    assert failed == []
    assert caplog.messages == []


@pytest.mark.parametrize("gives_up", [False, True])
def test_loop_of_a_worker_thread(*, gives_up: bool) -> None:
    """A sync endpoint may run a loop of its own: when that ends, nothing ends that others wait for, and no change."""
    emporix = FakeEmporix()
    session = emporix.new_session(currency="EUR")

    async def work(request: Request) -> str:
        ctx = get_session_context(request)
        async with asyncio.timeout(0.05 if gives_up else None):
            await ctx.refresh()
        ctx.switch_currency("USD")
        return (await ctx.commit()).value

    async def choose(request: Request) -> None:
        ctx = get_session_context(request)
        ctx.set_attribute("seen", "yes")
        async with asyncio.timeout(0.05 if gives_up else None):
            await ctx.commit()

    def sync(request: Request) -> Response:
        told = []
        for job in (work, choose):
            try:
                told.append(asyncio.run(job(request)))
            except TimeoutError:
                told.append("gave up")
        return PlainTextResponse(str(told[0]))

    app = instance(emporix)
    app.app = Starlette(routes=[Route("/", shop), Route("/sync", sync)])

    async def visits() -> tuple[str, str]:
        emporix.fault("*", Fault(delay=0.2), times=None)
        visiting = asyncio.create_task(get(app, session.token, path="/sync"))
        while not emporix.calls:
            await asyncio.sleep(0.01)
        page = await get(app, session.token)
        answer = await visiting
        await asyncio.sleep(0.5 if gives_up else 0)
        return page, answer

    assert asyncio.run(visits()) == ("EUR", "gave up" if gives_up else "applied")
    document = held(emporix, session.session_id)
    assert document["context"] == {"seen": "yes"}
    assert document["currency"] == ("EUR" if gives_up else "USD")


async def test_parked_and_forgotten(emporix: FakeEmporix) -> None:
    """C1: What one instance has parked the other one shows and sends, and a logout reaches both."""
    clock, session = VirtualClock(), emporix.new_session(exists=False)
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)

    await get(one, session.token, "to=USD")
    assert await get(other, session.token) == "USD"
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)  # that there was none is believed for 2 s
    assert await get(other, session.token) == "USD"
    assert await get(one, session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"
    await get(other, session.token, "bye")
    emporix.edit(session.session_id, currency="CHF")
    assert await get(one, session.token) == "CHF"


async def test_one_store_object(emporix: FakeEmporix) -> None:
    """C2: Two middlewares with one store object hear of each other, whatever kind of store that is."""
    session = emporix.new_session(currency="EUR")
    for store in (MemoryStore(clock=VirtualClock()), MemoryStore(shared=True, clock=VirtualClock())):
        one, other = (instance(emporix, clock=VirtualClock(), store=store, secret_key="s" * 32) for _ in range(2))
        for app, next_app, currency in ((one, other, "USD"), (other, one, "GBP")):
            await get(next_app, session.token)
            await get(app, session.token, f"to={currency}")
            assert await get(next_app, session.token) == currency


async def test_tenants_do_not_mix() -> None:
    """C2: Two tenants on one store object never see each other's sessions, though their tokens are called alike."""
    store = MemoryStore(clock=VirtualClock())
    tenants = [FakeEmporix(tenant, seed=1, now=time.time) for tenant in ("acme", "acme2")]
    apps = [instance(each, clock=VirtualClock(), store=store, tenant=each.tenant) for each in tenants]
    mine, theirs = (each.new_session(currency=currency) for each, currency in zip(tenants, ("EUR", "JPY"), strict=True))
    assert mine == theirs

    await get(apps[0], mine.token, "to=USD")
    assert [await get(each, mine.token) for each in apps] == ["USD", "JPY"]
    await get(apps[1], mine.token, "to=KRW")
    assert [await get(each, mine.token) for each in apps] == ["USD", "KRW"]
    await get(apps[1], mine.token, "bye")
    assert [await get(each, mine.token) for each in apps] == ["USD", "KRW"]
    assert gets(tenants[0]) == 2


@pytest.mark.parametrize(
    "apart",
    [{"store": MemoryStore()}, {"secret_key": "s" * 32}, {"base_url": "https://other.test"}],
    ids=["store", "secret_key", "base_url"],
)
async def test_kept_apart(apart: dict[str, Any], emporix: FakeEmporix) -> None:
    """An instance with a store of its own, another secret or another address shares nothing."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock, **apart)

    await get(one, session.token)
    await get(other, session.token)

    assert gets(emporix) == 2


async def test_addresses_alike(emporix: FakeEmporix) -> None:
    """A slash at the end of the address makes no other neighbourhood."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    for url in ("https://api.emporix.io", "https://api.emporix.io/"):
        for _ in range(2):
            assert await get(instance(emporix, clock=clock, base_url=url), session.token) == "EUR"


async def test_gone_with_the_last(emporix: FakeEmporix) -> None:
    """What is shared lives as long as one of the instances, or until the last one is closed."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one, other = instance(emporix, clock=clock), instance(emporix, clock=clock)
    await get(one, session.token)
    await one.aclose()

    third = instance(emporix, clock=clock)
    await get(third, session.token)
    assert gets(emporix) == 1  # the other one has lived on

    await third.aclose()
    await other.aclose()
    await get(instance(emporix, clock=clock), session.token)
    assert gets(emporix) == 2  # nobody was left

    gc.collect()
    await get(instance(emporix, clock=clock), session.token)
    assert gets(emporix) == 3  # nor is that one


async def test_closed_instance_comes_back(emporix: FakeEmporix) -> None:
    """An instance that is used again after it was closed is one of those that live now."""
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    one = instance(emporix, clock=clock)
    await get(one, session.token)
    await one.aclose()
    await get(one, session.token)
    assert gets(emporix) == 1  # nobody could have changed anything meanwhile
    await one.aclose()

    other = instance(emporix, clock=clock)
    await get(other, session.token, "to=USD")
    assert await get(one, session.token) == "USD"
    await get(one, session.token, "to=GBP")
    assert await get(other, session.token) == "GBP"


async def test_many_notices_for_a_closed_one(emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices for an instance that nobody uses are kept up to a number; then it begins with nothing."""
    monkeypatch.setattr("session_ctx_middleware.engine.neighbours.MAX_LETTERS", 3)
    clock, session = VirtualClock(), emporix.new_session(currency="EUR")
    idle, busy = instance(emporix, clock=clock), instance(emporix, clock=clock)
    await get(idle, session.token)
    await idle.aclose()

    for currency in ("USD", "GBP", "CHF", "SEK", "NOK"):
        await get(busy, session.token, f"to={currency}")

    (neighbour,) = idle._engines._neighbours
    assert neighbour.entries is None or neighbour.is_up_to_date
    assert await get(idle, session.token) == "NOK"


async def test_sync_endpoint_comes_first(emporix: FakeEmporix) -> None:
    """A synchronous endpoint may be the first to touch a context, whatever the store is."""
    session = emporix.new_session(currency="EUR")

    def page(request: Request) -> Response:
        return PlainTextResponse(get_session_context(request).currency)

    for store in (None, MemoryStore(shared=True)):
        app = SessionContextMiddleware(
            Starlette(routes=[Route("/", page)]), tenant="acme", http_client=emporix.client(httpx), store=store
        )
        assert await get(app, session.token) == "EUR"
