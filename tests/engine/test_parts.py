"""The small parts of the engine, where the public interface cannot reach their corners."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import hmac

import pytest

from session_ctx_middleware import (
    CachePolicy,
    ContextDocument,
    EmporixNotAsked,
    EmporixUnreachable,
    TooManyRequests,
    UpstreamPolicy,
)
from session_ctx_middleware.engine.cache import ClockCache
from session_ctx_middleware.engine.entries import MAX_TOKENS, Entries
from session_ctx_middleware.engine.entry import Entry
from session_ctx_middleware.engine.flights import Failed, Flight, Flights, Found, Outcome
from session_ctx_middleware.engine.keys import Keys
from session_ctx_middleware.engine.resilience import Bulkhead, Gate
from session_ctx_middleware.engine.sharing import Sharing
from session_ctx_middleware.model.changes import NO_CHANGES, ContextChanges, Operation
from session_ctx_middleware.model.view import Snapshot
from session_ctx_middleware.stores import Attachment, MemoryStore
from session_ctx_middleware.tasks import KeyedLock, Tasks

from ..support.virtual_time import VirtualClock

NAMING = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


class Source:
    """Answers a version, after a while that the test decides."""

    def __init__(self) -> None:
        self.calls = 0
        self.gates: list[asyncio.Event] = []

    async def get(self, _: str) -> ContextDocument:
        self.calls += 1
        number = self.calls
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        return ContextDocument(version=number, session_id="s")

    async def patch(self, _: str, body: object) -> None:
        raise AssertionError(body)


class Landing:
    """A flight control tower with everything around it."""

    def __init__(self, *, max_flights: int = 10, max_age: float = 15.0) -> None:
        self.clock = VirtualClock()
        self.source = Source()
        self.table = Entries(10, NAMING, self.clock)
        self.tasks = Tasks(self.clock)
        self.landed: list[Outcome] = []
        self.flights = Flights(
            source=self.source,
            shelf=Sharing(MemoryStore(), Attachment(), CachePolicy(), NAMING),
            table=self.table,
            tasks=self.tasks,
            clock=self.clock,
            arrive=self._arrive,
            glanced=lambda *_: False,
            publish=self._publish,
            usable=lambda *_: True,
            max_flights=max_flights,
            max_age=max_age,
        )

    async def _arrive(self, _slot: Entry, _outcome: Outcome) -> bool:
        """Have nothing to look up."""
        return False

    def _publish(self, flight: Flight, outcome: Outcome) -> None:
        if flight.generation == flight.entry.generation:
            self.landed.append(outcome)


def version(outcome: Outcome | None) -> int | None:
    return outcome.document.version if isinstance(outcome, Found) else None


async def test_f2_any_number_of_waiters_may_leave_and_the_others_are_served() -> None:
    tower = Landing()
    flight = tower.flights.join(Entry(b"k"), "t")
    waiters = [asyncio.create_task(flight.wait(10, tower.clock)) for _ in range(6)]
    await asyncio.sleep(0)
    for waiter in waiters[:3]:
        waiter.cancel()
    await asyncio.sleep(0)

    tower.source.gates[0].set()

    assert [version(outcome) for outcome in await asyncio.gather(*waiters[3:])] == [1, 1, 1]
    assert all(waiter.cancelled() for waiter in waiters[:3])
    assert tower.source.calls == 1


async def test_f3_a_latecomer_joins_a_flight_that_everybody_has_left() -> None:
    tower = Landing()
    entry = Entry(b"k")
    lonely = asyncio.create_task(tower.flights.join(entry, "t").wait(10, tower.clock))
    await asyncio.sleep(0)
    lonely.cancel()
    await asyncio.gather(lonely, return_exceptions=True)

    late = asyncio.create_task(tower.flights.join(entry, "t").wait(10, tower.clock))
    await asyncio.sleep(0)
    tower.source.gates[0].set()

    assert version(await late) == 1
    assert tower.source.calls == 1


async def test_f4_an_old_flight_that_ends_does_not_remove_the_new_one() -> None:
    tower = Landing()
    entry = Entry(b"k")
    tower.flights.join(entry, "t")
    newer = tower.flights.start(entry, "t")
    await asyncio.sleep(0)

    tower.source.gates[0].set()
    await asyncio.sleep(0.1)

    assert entry.flight is newer
    assert tower.flights.join(entry, "t") is newer
    tower.source.gates[1].set()
    assert version(await newer.wait(1, tower.clock)) == 2
    assert [version(outcome) for outcome in tower.landed] == [2]
    assert entry.flight is None


async def test_f5_a_flight_that_hangs_is_given_up_and_not_believed_in_the_end() -> None:
    tower = Landing(max_age=15)
    entry = Entry(b"k")
    old = tower.flights.join(entry, "t")
    await asyncio.sleep(10)
    assert tower.flights.join(entry, "t") is old
    await asyncio.sleep(6)

    new = tower.flights.join(entry, "t")

    assert new is not old
    for gate in (*tower.source.gates, *tower.source.gates):
        gate.set()
    await asyncio.sleep(0.1)
    tower.source.gates[-1].set()
    assert version(await new.wait(1, tower.clock)) == 2
    assert [version(outcome) for outcome in tower.landed] == [2]


async def test_f5_a_flight_that_lands_too_late_is_not_believed_even_if_nobody_came() -> None:
    tower = Landing(max_age=15)
    flight = tower.flights.join(Entry(b"k"), "t")
    await asyncio.sleep(20)

    tower.source.gates[0].set()

    assert version(await flight.wait(1, tower.clock)) == 1
    assert tower.landed == []


async def test_f6_a_failing_flight_without_waiters_says_nothing_to_the_loop() -> None:
    tower = Landing()
    unnoticed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))

    async def get(_: str) -> ContextDocument:
        raise EmporixUnreachable("context.get")

    tower.source.get = get  # type: ignore[method-assign]
    tower.flights.join(Entry(b"k"), "t")
    await asyncio.sleep(1)
    gc.collect()

    assert unnoticed == []
    assert len(tower.landed) == 1


async def test_f7_more_flights_than_allowed_fail_at_once() -> None:
    tower = Landing(max_flights=3)
    flights = [tower.flights.join(Entry(bytes([number])), "t") for number in range(10)]
    await asyncio.sleep(0)

    outcomes = [await flight.wait(0, tower.clock) for flight in flights]

    assert [isinstance(outcome, Failed) for outcome in outcomes] == [False] * 3 + [True] * 7
    assert (tower.source.calls, tower.flights.in_air, len(tower.tasks)) == (3, 3, 3)
    for gate in tower.source.gates:
        gate.set()
    await asyncio.sleep(0.1)
    assert (tower.flights.in_air, len(tower.tasks)) == (0, 0)


async def test_a_waiter_that_gives_up_leaves_nothing_behind() -> None:
    tower = Landing()
    flight = tower.flights.join(Entry(b"k"), "t")

    outcomes = await asyncio.gather(*(flight.wait(0.1, tower.clock) for _ in range(2000)))

    assert set(outcomes) == {None}
    assert not flight.waiters
    tower.source.gates[0].set()
    await asyncio.sleep(0)


async def test_a_source_that_breaks_its_promise_is_reported_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tower = Landing()

    async def get(_: str) -> ContextDocument:
        raise KeyError("secret")

    tower.source.get = get  # type: ignore[method-assign]
    outcome = await tower.flights.join(Entry(b"k"), "t").wait(1, tower.clock)

    assert isinstance(outcome, Failed)
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text + str(outcome.error)


async def test_f39_shutdown_waits_and_then_cancels() -> None:
    tower = Landing()
    first, second = (tower.flights.join(Entry(key), "t") for key in (b"a", b"b"))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(2, tower.source.gates[0].set)

    await tower.tasks.drain(5)

    assert version(first.outcome) == 1
    assert isinstance(second.outcome, Failed)
    assert len(tower.tasks) == 0


async def test_detached_work_does_not_inherit_a_requests_context(caplog: pytest.LogCaptureFixture) -> None:
    variable = contextvars.ContextVar("user", default="nobody")
    variable.set("somebody")
    seen: list[str] = []
    tasks = Tasks(VirtualClock())

    async def work() -> None:
        seen.append(variable.get())
        raise ValueError("secret")

    tasks.spawn(work())
    await asyncio.sleep(0.1)

    assert seen == ["nobody"]
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_an_eager_task_factory_may_run_work_to_its_end_at_once() -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is not None:
        asyncio.get_running_loop().set_task_factory(factory)
    tasks = Tasks(VirtualClock())
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    tasks.spawn(work())
    await asyncio.sleep(0.01)

    assert (done, len(tasks)) == ([1], 0)


async def test_turns_serve_in_order_and_forget_unused_names() -> None:
    lanes = KeyedLock()
    order: list[str] = []

    async def user(name: str, lane: str) -> None:
        async with lanes.hold(lane):
            order.append(f"{name} in")
            await asyncio.sleep(1)
            order.append(f"{name} out")

    await asyncio.gather(user("a", "x"), user("b", "x"), user("c", "x"), user("d", "y"))

    assert [entry for entry in order if "d" not in entry] == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert order.index("d in") < order.index("a out")
    assert len(lanes) == 0


async def test_permits_hold_back_queue_and_shed() -> None:
    permits = Bulkhead(2)
    running = peak = 0

    async def call() -> str:
        nonlocal running, peak
        try:
            await permits.take("context.get")
        except EmporixNotAsked:
            return "shed"
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        running -= 1
        permits.give()
        return "served"

    outcomes = await asyncio.gather(*(call() for _ in range(10)))

    assert (peak, outcomes.count("served"), outcomes.count("shed")) == (2, 6, 4)
    assert await call() == "served"


async def test_a_permit_given_to_somebody_who_left_is_not_lost() -> None:
    permits = Bulkhead(1)

    async def call(seconds: float) -> None:
        await permits.take("context.get")
        try:
            await asyncio.sleep(seconds)
        finally:
            permits.give()

    first = asyncio.create_task(call(1))
    second, third = asyncio.create_task(call(1)), asyncio.create_task(call(1))
    await asyncio.sleep(0.5)
    third.cancel()
    await first
    second.cancel()
    await asyncio.gather(second, third, return_exceptions=True)

    async with asyncio.timeout(1):
        await call(0)


@pytest.mark.parametrize(("seconds", "closed"), [(5.0, 5.0), (None, 1.0), (0.0, 0.0), (1e9, 60.0), (-3.0, 0.0)])
async def test_f36_the_gate_closes_for_retry_after_at_most_a_minute(seconds: float | None, closed: float) -> None:
    clock = VirtualClock()
    gate = Gate(clock)

    gate.note(TooManyRequests("context.get", 429, retry_after=seconds))

    if closed:
        await asyncio.sleep(closed - 0.01)
        with pytest.raises(EmporixNotAsked):
            gate.check("context.get")
        await asyncio.sleep(0.02)
    gate.check("context.get")


async def test_a_server_error_without_a_time_leaves_the_gate_open() -> None:
    gate = Gate(VirtualClock())

    gate.note(EmporixUnreachable("context.get"))

    gate.check("context.get")


def test_names_give_nothing_away_and_keep_tenants_and_tokens_apart() -> None:
    naming = Keys("acme", "https://a", b"s" * 32)
    others = [
        Keys("acme", "https://a", b"t" * 32),
        Keys("acmf", "https://a", b"s" * 32),
        Keys("acme", "https://b", b"s" * 32),
    ]

    assert naming.key("token") == Keys("acme", "https://a", b"s" * 32).key("token")
    assert len({naming.key("token"), naming.key("token2"), *(other.key("token") for other in others)}) == 5
    assert b"token" not in naming.key("token")
    assert naming.session("token") != naming.key("token").hex()
    assert Keys("acme", "https://a").key("t") != Keys("acme", "https://a").key("t")


@pytest.mark.parametrize("length", [1, 32, 64, 65, 300])
def test_names_are_hmac_sha256_whatever_the_length_of_the_key(length: int) -> None:
    secret = bytes(range(1, 256)) * 2
    naming = Keys("acme", "https://emporix.example", secret[:length])
    text = b"\x1fhttps://emporix.example\x1facme\x1f"
    for value in ("t", "token" * 200):
        key, name = (hmac.digest(secret[:length], kind + text + value.encode(), "sha256")[:16] for kind in KINDS)
        assert naming.key(value) == key
        assert naming.session(value) == f"session-{name.hex()}"


def filed(table: Entries, clock: VirtualClock, key: bytes, session_id: str | None = None) -> Entry:
    entry = table.obtain(key, session_id)
    entry.snapshot = Snapshot(document=ContextDocument(version=1))
    entry.error_until = clock.monotonic() + 10
    table.keep(entry)
    return entry


async def test_a_slot_in_use_stays_one_object_though_its_cache_drops_it() -> None:
    clock = VirtualClock()
    table = Entries(1, NAMING, clock)
    entry = filed(table, clock, b"a", "s")
    table.pin(entry)

    filed(table, clock, b"b")

    assert table.get(b"a") is entry
    assert [*table.siblings(table.obtain(b"c", "s"))] == [entry]
    table.unpin(entry)
    assert table.get(b"a") is None
    assert [*table.siblings(table.obtain(b"c", "s"))] == []


def keys(*numbers: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in numbers]


def bounded(size: int) -> tuple[ClockCache, VirtualClock, list[bytes]]:
    clock = VirtualClock()
    gone: list[bytes] = []
    return ClockCache(size, clock, lambda entry: gone.append(entry.key)), clock, gone


async def test_a_slot_that_somebody_came_back_to_stays_longer_than_one_that_was_read_once() -> None:
    entries, clock, gone = bounded(3)
    first, second, third, *others = keys(*range(20))
    for key in (first, second, third):
        entries.put(Entry(key), clock.monotonic() + 10)
    for key in others:
        assert entries.get(second) is not None
        entries.put(Entry(key), clock.monotonic() + 10)
        assert len(entries) == 3
    assert second in entries
    assert second not in gone
    assert {first, third} < set(gone)


async def test_room_is_made_though_all_slots_are_in_use() -> None:
    entries, clock, gone = bounded(100)
    for key in keys(*range(500)):
        entries.put(Entry(key), clock.monotonic() + 10)
        for other in keys(*range(500)):
            entries.get(other)
        assert len(entries) <= 100
    assert len(gone) == len(set(gone)) == 400


async def test_slots_that_are_too_old_are_not_found_and_go_a_few_at_a_time() -> None:
    entries, clock, gone = bounded(1000)
    for key in keys(*range(100)):
        entries.put(Entry(key), clock.monotonic() + 10)
    kept = keys(7)[0]
    entries.put(Entry(kept), clock.monotonic() + 100)
    assert gone == [kept]  # the one in whose place it is
    gone.clear()
    await asyncio.sleep(11)
    assert [key for key in keys(*range(100)) if entries.get(key)] == [kept]
    assert keys(8)[0] not in entries
    entries.put(Entry(b"new"), clock.monotonic() + 10)
    assert 0 < len(gone) < 50  # no page waits for all of them
    for key in keys(*range(200, 240)):
        entries.put(Entry(key), clock.monotonic() + 10)
    assert sorted(gone) == [key for key in keys(*range(100)) if key != kept]
    entries.discard(kept)
    entries.discard(kept)
    assert entries.get(kept) is None
    assert gone.count(kept) == 1


@pytest.mark.parametrize("size", [1, 2, 8, 15, 100])
async def test_what_was_just_put_is_there_however_many_are_in_use(size: int) -> None:
    entries, clock, _ = bounded(size)
    for key in keys(*range(3 * size)):
        for other in keys(*range(3 * size)):
            entries.get(other)
        entries.put(Entry(key), clock.monotonic() + 10)
        assert entries.get(key) is not None
        assert len(entries) <= size


async def test_a_token_that_has_moved_to_another_session_is_not_found_under_the_first() -> None:
    clock = VirtualClock()
    table = Entries(100, NAMING, clock)
    for number in range(50):
        filed(table, clock, b"others" + bytes([number]), f"other-{number}").error_until = clock.monotonic() + 1000
    filed(table, clock, b"a", "first")
    await asyncio.sleep(11)

    filed(table, clock, b"a", "second")

    assert table.named([NAMING.session("first")]) == []
    assert [*table.siblings(table.obtain(b"b", "first"))] == []
    assert NAMING.session("first") not in table._by_session


def taken(op_id: str, value: str) -> ContextChanges:
    return ContextChanges({"currency": Operation(value, op_id, at=1.0, recorded=1.0)})


@pytest.mark.parametrize("heard_first", [True, False])
async def test_an_own_change_does_not_vouch_for_a_later_one_that_others_have_told_of(heard_first: bool) -> None:
    document = ContextDocument(version=3, session_id="s", created_at="2026")
    entry = Entry(b"entry")
    entry.believe(document)
    if heard_first:
        entry.hear(document.identity, 6)
    entry.settle(taken("a", "USD"), 4)  # its answer was late
    assert entry.lacks(document) is heard_first

    entry.hear(document.identity, 6)
    assert entry.lacks(document)


async def test_a_token_that_has_heard_less_does_not_vouch_for_what_another_one_lacks() -> None:
    document = ContextDocument(version=3, session_id="s", created_at="2026")
    entry, other = Entry(b"entry"), Entry(b"other")
    for each in (entry, other):
        each.believe(document)
        each.settle(taken("a", "USD"), 4)
    entry.hear(document.identity, 6)
    entry.learn(other)

    assert entry.lacks(document)


async def test_tokens_that_have_ended_do_not_count_for_how_many_a_session_may_have() -> None:
    clock = VirtualClock()
    table = Entries(1000, NAMING, clock)
    for number in range(MAX_TOKENS):
        filed(table, clock, b"old" + bytes([number]), "s")
    await asyncio.sleep(11)

    fresh = [filed(table, clock, b"new" + bytes([number]), "s") for number in range(5)]

    assert [table.get(entry.key) for entry in fresh] == fresh


async def test_the_index_of_sessions_shrinks_with_the_cache() -> None:
    clock = VirtualClock()
    table = Entries(5, NAMING, clock)
    for number in range(50):
        filed(table, clock, bytes([number]), f"session-{number}")
    assert len(table._by_session) == 5

    await asyncio.sleep(11)
    filed(table, clock, b"new", "new")
    table.learn(table.obtain(b"new", None), "newer")

    assert list(table._by_session) == [NAMING.session("newer")]
    assert len(table) == 1


async def test_a_memory_store_keeps_the_later_change_and_is_bounded() -> None:
    clock = VirtualClock()
    store = MemoryStore(max_entries=3, clock=clock)
    early = ContextChanges({"currency": Operation("USD", "1", at=clock.time(), recorded=0)})
    late = ContextChanges({"currency": Operation("CHF", "2", at=clock.time() + 1, recorded=1)})

    await store.park("a", late)
    await store.park("a", early)
    await store.unpark(["a"], early)
    assert await store.parked(["a", "b"]) == late
    await store.unpark(["a", "b"], late)
    assert await store.parked(["a"]) == NO_CHANGES
    for number in range(10):
        await store.park(str(number), late)
    assert sum([bool(await store.parked([str(number)])) for number in range(10)]) == 3
    assert repr(store) == "<MemoryStore>"


def test_policies_are_plain_values() -> None:
    assert CachePolicy() == CachePolicy(ttl=60, missing_ttl=2)
    assert UpstreamPolicy().deadline == 2.0
