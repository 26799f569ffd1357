"""One GET per token at a time, and what becomes of it."""

from __future__ import annotations

import asyncio
import gc
from typing import cast

import pytest

from session_ctx_middleware import (
    CachePolicy,
    ContextDocument,
    EmporixNotAsked,
    EmporixUnreachable,
)
from session_ctx_middleware.engine.binding import Binding
from session_ctx_middleware.engine.entries import Entries
from session_ctx_middleware.engine.entry import Entry
from session_ctx_middleware.engine.flights import Failed, Flight, Flights, Found, Outcome
from session_ctx_middleware.engine.given_up import GivenUp
from session_ctx_middleware.engine.handover import Handover
from session_ctx_middleware.engine.hearings import Hearings
from session_ctx_middleware.engine.keys import Keys
from session_ctx_middleware.engine.known_sessions import KnownSessions
from session_ctx_middleware.engine.loads import Loads
from session_ctx_middleware.engine.pending import Pending
from session_ctx_middleware.engine.ports import Caller
from session_ctx_middleware.engine.publishing import Publisher
from session_ctx_middleware.engine.sharing import Sharing
from session_ctx_middleware.engine.untold import Untold
from session_ctx_middleware.engine.verdict import Verdict
from session_ctx_middleware.events import Events
from session_ctx_middleware.platform_time import PlatformTime
from session_ctx_middleware.stores import Attachment, MemoryStore
from session_ctx_middleware.tasks import Tasks

from ..support.virtual_time import VirtualClock

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


class Source:
    """Answers a version, after a while that the test decides."""

    probe_patience = None

    def __init__(self) -> None:
        self.calls = 0
        self.refuses: EmporixNotAsked | None = None
        self.gates: list[asyncio.Event] = []

    def refusal(self, _: object) -> EmporixNotAsked | None:
        return self.refuses

    async def get(self, _: str, caller: Caller) -> ContextDocument:
        caller.sent()
        self.calls += 1
        number = self.calls
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        return ContextDocument(version=number, session_id="s")

    async def patch(self, _: str, body: object, __: Caller) -> None:
        raise AssertionError(body)


class Recorder:
    """Publishes nowhere, and notes what it was to publish."""

    def __init__(self) -> None:
        self.published: list[Outcome] = []

    def judge(self, *_: object) -> Verdict:
        return Verdict.SHOW

    def publish(self, flight: Flight, outcome: Outcome) -> None:
        if flight.fence == flight.entry.fence:
            self.published.append(outcome)


class Tower:
    """Loads with everything around them."""

    def __init__(self, *, max_age: float = 15.0) -> None:
        self.clock = VirtualClock()
        self.source = Source()
        self.entries = Entries(10, KEYS, self.clock)
        self.tasks = Tasks(self.clock)
        self.flights = Flights(max_age)
        self.recorder = Recorder()
        sharing = Sharing(MemoryStore(), Attachment(), keys=KEYS, lifetime=60.0, clock=self.clock, events=Events())
        pending = Pending(sharing, self.entries, KnownSessions(self.clock), self.clock, Events())
        publisher = cast("Publisher", self.recorder)
        handover = Handover(
            keys=KEYS,
            binding=Binding(KEYS),
            clock=self.clock,
            untold=Untold(self.clock),
            platform_time=PlatformTime(self.clock),
            given_up=GivenUp(self.clock, Events()),
        )
        self.loads = Loads(
            source=self.source,
            sharing=sharing,
            pending=pending,
            handover=handover,
            publisher=publisher,
            entries=self.entries,
            flights=self.flights,
            tasks=self.tasks,
            cache=CachePolicy(),
            clock=self.clock,
            hearings=Hearings(
                handover=handover,
                pending=pending,
                publisher=publisher,
                sharing=sharing,
                entries=self.entries,
                clock=self.clock,
            ),
        )

    def join(self, entry: Entry) -> Flight:
        return self.loads.join(entry, "t")

    async def wait(self, flight: Flight, timeout: float = 10.0) -> Outcome | None:
        return await flight.landed.wait(timeout, self.clock)


def version(outcome: Outcome | None) -> int | None:
    return outcome.document.version if isinstance(outcome, Found) else None


async def test_waiters_may_leave() -> None:
    """F2: any number of waiters may leave, and the others are served."""
    tower = Tower()
    flight = tower.join(Entry(b"k"))
    waiters = [asyncio.create_task(tower.wait(flight, 10)) for _ in range(6)]
    await asyncio.sleep(0)
    for waiter in waiters[:3]:
        waiter.cancel()
    await asyncio.sleep(0)

    tower.source.gates[0].set()

    assert [version(outcome) for outcome in await asyncio.gather(*waiters[3:])] == [1, 1, 1]
    assert all(waiter.cancelled() for waiter in waiters[:3])
    assert tower.source.calls == 1


async def test_latecomer_joins() -> None:
    """F3: a latecomer joins a flight that everybody has left."""
    tower = Tower()
    entry = Entry(b"k")
    lonely = asyncio.create_task(tower.wait(tower.join(entry), 10))
    await asyncio.sleep(0)
    lonely.cancel()
    await asyncio.gather(lonely, return_exceptions=True)

    late = asyncio.create_task(tower.wait(tower.join(entry), 10))
    await asyncio.sleep(0)
    tower.source.gates[0].set()

    assert version(await late) == 1
    assert tower.source.calls == 1


async def test_old_flight_ends() -> None:
    """F4: an old flight that ends does not remove the new one."""
    tower = Tower()
    entry = Entry(b"k")
    tower.join(entry)
    newer = tower.loads.start(entry, "t")
    await asyncio.sleep(0)

    tower.source.gates[0].set()
    await asyncio.sleep(0.1)

    assert tower.flights.of(entry, tower.clock.monotonic()) is newer
    assert tower.join(entry) is newer
    tower.source.gates[1].set()
    assert version(await tower.wait(newer, 1)) == 2
    assert [version(outcome) for outcome in tower.recorder.published] == [2]
    assert tower.flights.of(entry, tower.clock.monotonic()) is None


async def test_hanging_flight() -> None:
    """F5: a flight that hangs is given up, and not believed in the end."""
    tower = Tower(max_age=15)
    entry = Entry(b"k")
    old = tower.join(entry)
    await asyncio.sleep(10)
    assert tower.join(entry) is old
    await asyncio.sleep(6)

    new = tower.join(entry)

    assert new is not old
    for gate in (*tower.source.gates, *tower.source.gates):
        gate.set()
    await asyncio.sleep(0.1)
    tower.source.gates[-1].set()
    assert version(await tower.wait(new, 1)) == 2
    assert [version(outcome) for outcome in tower.recorder.published] == [2]


async def test_late_landing() -> None:
    """F5: a flight that lands too late is not believed even if nobody came."""
    tower = Tower(max_age=15)
    flight = tower.join(Entry(b"k"))
    await asyncio.sleep(20)

    tower.source.gates[0].set()

    assert version(await tower.wait(flight, 1)) == 1
    assert tower.recorder.published == []


async def test_unwatched_failure() -> None:
    """F6: a failing flight without waiters says nothing to the loop."""
    tower = Tower()
    unnoticed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))

    async def get(_: str, __: Caller) -> ContextDocument:
        raise EmporixUnreachable("context.get")

    tower.source.get = get  # type: ignore[method-assign, assignment]
    tower.join(Entry(b"k"))
    await asyncio.sleep(1)
    gc.collect()

    assert unnoticed == []
    assert len(tower.recorder.published) == 1


async def test_refused_flight() -> None:
    """While Emporix cannot be asked, a flight lands at once, without a task."""
    tower = Tower()
    tower.source.refuses = EmporixNotAsked("context.get")

    flights = [tower.join(Entry(bytes([number]))) for number in range(10)]

    assert all(isinstance(flight.landed.result, Failed) for flight in flights)
    assert (tower.source.calls, tower.flights.in_air, len(tower.tasks)) == (0, 0, 0)


async def test_waiter_gives_up() -> None:
    """A waiter that gives up leaves nothing behind."""
    tower = Tower()
    flight = tower.join(Entry(b"k"))

    outcomes = await asyncio.gather(*(tower.wait(flight, 0.1) for _ in range(2000)))

    assert set(outcomes) == {None}
    assert not flight.landed.waiting
    tower.source.gates[0].set()
    await asyncio.sleep(0)


async def test_unexpected_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A source that breaks its promise is reported, without its text."""
    tower = Tower()

    async def get(_: str, __: Caller) -> ContextDocument:
        raise KeyError("secret")

    tower.source.get = get  # type: ignore[method-assign, assignment]
    outcome = await tower.wait(tower.join(Entry(b"k")), 1)

    assert isinstance(outcome, Failed)
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text + str(outcome.error)


async def test_shutdown() -> None:
    """F39: shutdown waits, and then cancels."""
    tower = Tower()
    first, second = (tower.join(Entry(key)) for key in (b"a", b"b"))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(2, tower.source.gates[0].set)

    await tower.tasks.drain(5)

    assert version(first.landed.result) == 1
    assert isinstance(second.landed.result, Failed)
    assert len(tower.tasks) == 0
