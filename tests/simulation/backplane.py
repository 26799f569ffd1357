"""A store that workers share, with everything that can go wrong on the way to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from session_ctx_middleware.model.changes import NO_CHANGES, ContextChanges
from session_ctx_middleware.model.document import ContextDocument
from session_ctx_middleware.stores import Attachment, Listener, MemoryStore, Notice, Parked, Stored

from .loops import SimulatedClock

LATENCY = 0.02
NOTICE_DELAY = 0.05
LONGEST = 120.0
BUDGET = 0.05


class Backplane:
    """What all workers share.

    Args:
        clock: the store's own.
        rng: decides everything.
        faulty: whether it fails, loses notices and is emptied.
    """

    def __init__(self, clock: SimulatedClock, rng: random.Random, *, faulty: bool) -> None:
        self.clock = clock
        self.rng = rng
        self.faulty = faulty
        self.state = "well"
        self.memory = MemoryStore(shared=True, clock=clock)
        self.stores: list[SimulatedStore] = []

    def store(self) -> SimulatedStore:
        """Return the store of another worker."""
        self.stores.append(SimulatedStore(self))
        return self.stores[-1]

    async def weather(self, rng: random.Random) -> None:
        """Break it, restart it empty, cut its notices, let it refuse writes or freeze, and heal it."""
        while self.faulty:
            await asyncio.sleep(rng.uniform(1, 8))
            match rng.choice(("down", "frozen", "refusing", "empty", "cut", "well", "well", "well")):
                case "down" | "frozen" | "refusing" as state:
                    self._connected(False)
                    self.state = state
                case "empty":
                    self.memory = MemoryStore(shared=True, clock=self.clock)
                    for store in self.stores:
                        store.rejoin()
                    self.heal()
                case "cut":
                    self._connected(False)
                case _:
                    self.heal()

    def heal(self) -> None:
        """Let it be well again."""
        self.state = "well"
        self._connected(True)

    def _connected(self, connected: bool) -> None:
        for attachment in (attachment for store in self.stores for attachment in store.attachments):
            if attachment.connected is not connected:
                attachment.connected = connected
                attachment.epoch += 1


@dataclass(frozen=True)
class Owed:
    """What the store could not take away: it is tried again, and not handed out meanwhile."""

    names: tuple[str, ...]
    work: Callable[[MemoryStore], Awaitable[None]]
    left: Callable[[ContextChanges], ContextChanges]


class SimulatedStore:
    """One worker's way to the shared store."""

    shared = True

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane
        self._ears: list[tuple[asyncio.AbstractEventLoop, Listener, Attachment]] = []
        self._owed: list[Owed] = []
        self._unanswered = False
        self._arrival = 0.0
        self._heard = 0
        self.rejoin()

    def rejoin(self) -> None:
        """Find the way to a store that was restarted."""
        self._memory = self._backplane.memory.sibling()
        self._memory.attach(self._hear)

    @property
    def attachments(self) -> list[Attachment]:
        """How well each of those who listen is informed."""
        return [attachment for _, _, attachment in self._ears]

    def attach(self, listener: Listener) -> Attachment:
        attachment = Attachment(connected=self._backplane.state == "well")
        self._ears.append((asyncio.get_running_loop(), listener, attachment))
        return attachment

    async def load(self, name: str) -> Stored | None:
        await self._way()
        if any(name in owed.names for owed in self._owed):
            return None
        found = await self._memory.load(name)
        heard = self._heard
        await self._way()
        if found is not None and self._heard != heard:
            found = replace(found, unparked=())
        return found

    async def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str = ""
    ) -> None:
        await self._way(writing=True)
        await self._memory.save(name, document, identity, age=age, lifetime=lifetime, session=session)

    async def invalidate(
        self,
        names: Sequence[str],
        identity: str,
        floor: int,
        *,
        lifetime: float,
        taken: ContextChanges = NO_CHANGES,
    ) -> None:
        async def now(memory: MemoryStore) -> None:
            await memory.invalidate(names, identity, floor, lifetime=lifetime, taken=taken)

        async def late(memory: MemoryStore) -> None:
            await memory.invalidate(names, identity, floor, lifetime=lifetime)

        await self._owing(names, now, lambda parked: parked, late)
        await self._way()

    async def forget(self, names: Sequence[str]) -> None:
        now = self._backplane.clock.time()

        async def late(memory: MemoryStore) -> None:
            await memory.invalidate(names, "", 0, lifetime=LONGEST)
            parked = await memory.parked(names)
            await memory.unpark(names, parked.minus(parked.since(now)))

        await self._owing(names, lambda memory: memory.forget(names), lambda parked: parked.since(now), late)

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        await self._way()
        found = await self._memory.parked(names)
        for owed in self._owed:
            if set(owed.names) & set(names):
                found = owed.left(found)
        return found

    async def look(self, name: str) -> Parked:
        await self._way()
        found = await self._memory.look(name)
        for owed in self._owed:
            if {name, found.session} & set(owed.names):
                found = replace(found, changes=owed.left(found.changes))
        return found

    async def link(self, names: Sequence[str], session: str) -> None:
        await self._way(writing=True)
        await self._memory.link(names, session)

    async def park(self, name: str, changes: ContextChanges) -> None:
        await self._way(writing=True)
        await self._memory.park(name, changes)

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        await self._owing(names, lambda memory: memory.unpark(names, changes), lambda parked: parked.minus(changes))

    async def aclose(self) -> None:
        """Leave everything as it is."""

    async def _owing(
        self,
        names: Sequence[str],
        work: Callable[[MemoryStore], Awaitable[None]],
        left: Callable[[ContextChanges], ContextChanges],
        late: Callable[[MemoryStore], Awaitable[None]] | None = None,
    ) -> None:
        """Do what must not be forgotten when it fails; `late` instead of `work` once it can be done."""
        try:
            await self._way(writing=True)
        except ConnectionError:
            self._owed.append(Owed(tuple(names), late or work, left))
            raise
        await work(self._memory)

    async def _way(self, *, writing: bool = False) -> None:
        state = self._backplane.state
        if state != "frozen":
            self._unanswered = False
            await asyncio.sleep(self._backplane.rng.uniform(0, LATENCY))
        elif not self._unanswered:
            self._unanswered = True  # nothing else is asked before that has been answered
            await asyncio.sleep(BUDGET)
        if state in {"frozen", "down"} or (writing and state == "refusing"):
            raise ConnectionError(f"the store is {state}")
        while self._owed and state == "well":
            await self._owed.pop(0).work(self._memory)

    def _hear(self, notice: Notice) -> None:
        loop = asyncio.get_running_loop()
        # Redis delivers in the order in which it was told.
        self._arrival = max(self._arrival, loop.time() + self._backplane.rng.uniform(0, NOTICE_DELAY))
        loop.call_at(self._arrival, self._arrive, notice)

    def _arrive(self, notice: Notice) -> None:
        self._heard += 1
        for loop, listener, attachment in self._ears:
            if attachment.connected:
                loop.call_soon(listener, notice)
