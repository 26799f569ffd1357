"""One visit: a seed decides who does what when, and what goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch
from weakref import WeakValueDictionary

from session_ctx_middleware import continuity, recording
from session_ctx_middleware.engine import neighbours

from .browser import HEARSAY, Browser, Tab
from .fleet import Fleet
from .history import ATTRIBUTES, PATHS, SWITCHES, Person
from .judge import Judge
from .loops import Loops
from .pages import Page, Plan
from .platform import ODDITIES, Platform, ServerSession
from .setups import Setup, Situation
from .weather import CLEAR
from .wire import Wire

__all__ = ["Verdict", "play"]

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FEW: Final = {
    "currency": ("EUR", "USD", "CHF"),
    "language": ("de", "en", "fr"),
    "site_code": ("main", "us", "ch"),
    "attributes.a": ("1", "2", "3"),
    "attributes.b": ("1", "2", "3"),
}
SOON: Final = (1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0)
LATER: Final = (25.0, 3.0, 3.0, 3.0)
"""Seconds between the quiet pages at the end: those that may still send something, and those that are judged."""


@dataclass(slots=True)
class Verdict:
    """What became of one seed.

    Args:
        seed: which.
        situation: what happened.
        requests: of the browser.
        faults: how often something went wrong on purpose.
        counts: how often each promise was broken.
        texts: in words, some of them.
        extra: other figures.
    """

    seed: int
    situation: str
    requests: int = 0
    faults: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    texts: dict[str, list[str]] = field(default_factory=dict)
    extra: Counter[str] = field(default_factory=Counter)


class Visit:
    """One seed.

    Args:
        seed: decides everything.
        steps: moments at which the browser sends one request or several.
        setup: what the shop runs on.
        situation: what happens.
        loops: of all workers; the first one is running.
    """

    def __init__(self, seed: int, steps: int, setup: Setup, situation: Situation, loops: Loops) -> None:
        self.rng = rng = random.Random(seed)
        self.situation = situation
        self.setup = setup
        self.loops = loops
        self.steps = steps
        hearsay = HEARSAY if setup.store != "none" and not setup.notes else 0.0
        self.judge = Judge(
            carries=setup.notes,
            unique=not situation.few,
            hearsay=hearsay,
            skewed=setup.skew > 0,
            apart=setup.workers > 1 and setup.store != "healthy",
            by_receipt=setup.workers > 1 and setup.notes,
            informed=setup.workers == 1 or setup.store == "healthy",
        )
        self.platform = Platform(lambda: loops.time.now, self.judge)
        self.wire = Wire(self.platform, rng)
        self.wire.tells_missing = rng.random() >= situation.mute
        self.dated = rng.random() >= situation.undated
        tenants = ["acme", "zenith"][: situation.tenants]
        told = bool(situation.refresh) or rng.random() < 0.3
        self.fleet = Fleet(setup, tenants, self.wire, loops, rng, told=told)
        self.browser = Browser(self.fleet, self.wire, self.judge, situation, rng, notes=setup.notes)
        self.wire.tell = self._tell
        self.unnoticed: list[str] = []
        for loop in loops.all:
            loop.set_exception_handler(lambda _, context: self.unnoticed.append(str(context)))
        self._numbers = itertools.count(1)
        self._persons = itertools.count(1)
        self._busy = False
        self._turn: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Lock() if situation.in_turn else contextlib.nullcontext()
        )
        self.tabs = [Tab(Person(next(self._persons), tenant)) for tenant in tenants]

    async def play(self) -> None:
        rng, situation = self.rng, self.situation
        for tab in self.tabs:
            if rng.random() >= situation.tokenless:
                self._arrive(tab)
        tasks, length = self._clicks()
        others = [asyncio.ensure_future(work) for work in (self._nemesis(), self._others(), self._store())]
        tasks += self._sometimes(length)
        await asyncio.gather(*tasks)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.fleet.drained()
        await self._heal()
        await self._quiet()
        await self._close()

    def _tell(self, text: str, *values: object) -> None:
        if self.judge.story is not None:
            self.judge.now = self.loops.time.now
            self.judge.tell(text, *values)

    # Requests

    def _clicks(self) -> tuple[list[asyncio.Task[None]], float]:
        rng, moment, tasks = self.rng, 0.0, []
        for _ in range(self.steps):
            moment += rng.expovariate(self.situation.pace)
            number = rng.choice((1, 1, 1, self.situation.crowd))
            tasks += [self._at(moment + rng.uniform(0, 0.05), self._click) for _ in range(number)]
        return tasks, moment

    def _at(self, moment: float, what: Callable[[], object]) -> asyncio.Task[None]:
        async def later() -> None:
            await asyncio.sleep(moment)
            done = what()
            if asyncio.iscoroutine(done):
                await done

        return asyncio.ensure_future(later())

    async def _click(self) -> None:
        async with self._turn:
            await self._ask()

    async def _ask(self) -> None:
        rng, situation, tab = self.rng, self.situation, self.rng.choice(self.tabs)
        plan = Plan(slow=rng.choice((0.0, 0.02, 0.2, 1.0)) * rng.random() * situation.slow)
        page = self._page(tab, plan)
        leaves_after = rng.uniform(0, 0.5) if rng.random() < situation.cancelled else None
        again = bool(plan.wishes) and rng.random() < situation.twice
        lost = rng.random() < situation.lost or (again and rng.random() < 0.7)
        first = asyncio.ensure_future(self.browser.ask(tab, page, plan, lost=lost, leaves_after=leaves_after))
        if again:
            await asyncio.sleep(rng.uniform(0.05, 0.3))
            if tab.person.ended is None:
                second = Plan(plan.wishes, plan.slow, plan.appears)
                await self.browser.ask(tab, getattr(second, page.__name__), second)
        await first

    def _page(self, tab: Tab, plan: Plan) -> Page:
        """Choose what is asked for."""
        rng = self.rng
        if rng.random() >= self.situation.switches:
            pages = (plan.page, plan.slow_page, plan.late_page, plan.refresh, plan.untouched)
            return rng.choices(pages, (50, 8, 8, 4, 3))[0]
        plan.wishes = self._wishes(tab)
        session = tab.session
        if session is None:
            return plan.slow_switch
        plan.appears = lambda: self.platform.create(session)
        late = 3 if self.setup.workers == 1 else 0  # a response that has started tells the browser nothing more
        pages_and_weights: dict[Page, int] = {
            plan.switch: 20,
            plan.slow_switch: 12,
            plan.look_and_switch: 20,
            plan.switch_and_look: 8,
            plan.streamed: late,
            plan.cart: 2,
            plan.broken: 2,
        }
        return rng.choices([*pages_and_weights], [*pages_and_weights.values()])[0]

    def _wishes(self, tab: Tab) -> dict[str, str | None]:
        rng = self.rng
        paths = PATHS if self.situation.attributes and tab.token is not None else SWITCHES
        return {path: self._value(path) for path in rng.sample(paths, rng.choice((1, 1, 2, 3)))}

    def _value(self, path: str) -> str | None:
        """Return a value in the form that the field wants; mostly one that no other choice has."""
        rng, number = self.rng, next(self._numbers)
        if path in ATTRIBUTES and rng.random() < 0.1:
            return None
        if self.situation.few:
            return rng.choice(FEW[path])
        if path == "currency":
            return LETTERS[number // 676 % 26] + LETTERS[number // 26 % 26] + LETTERS[number % 26]
        if path == "language":
            return f"la-x{number}"
        return f"x{number}" + "." * (self.situation.big if path in ATTRIBUTES else 0)

    # Sessions

    def _arrive(self, tab: Tab) -> ServerSession:
        """Give a visitor a session and a token."""
        session = self.platform.new_session(tab.person.tenant, dated=self.dated)
        if self.rng.random() < self.situation.created:
            self.platform.create(session)
        self._move(tab, session)
        return session

    def _move(self, tab: Tab, session: ServerSession) -> None:
        store_alone = self.setup.store != "none" and not self.setup.notes
        if tab.token is not None and (tab.token not in self.wire.proven or store_alone):
            # Nobody was ever told that both tokens are of one session; a store finds things by token (docs/workers.md).
            self.judge.orphan(tab.person, tab.token, ATTRIBUTES if self.setup.notes else PATHS)
        session.visitors.add(tab.person.number)
        tab.older = tab.token if session is tab.session and not store_alone else None
        tab.session, tab.token = session, self.platform.new_token(session)

    def _sometimes(self, length: float) -> list[asyncio.Task[None]]:
        situation, rng = self.situation, self.rng
        tasks = []
        happenings: list[tuple[float, Callable[[], object]]] = [
            (situation.login, self._login),
            (situation.logout, self._logout),
            (situation.refresh, self._refresh),
            (situation.recreated, self._recreate),
            (situation.restored, self._restore),
            (situation.wiped, self._wipe),
            (situation.odd, self._distort),
            (situation.revoked, self._revoke),
        ]
        if situation.meddled:
            happenings.append((situation.meddled, self._meddle))
        for number, what in happenings:
            times = int(number) + (rng.random() < number % 1)
            tasks += [self._at(rng.uniform(0, length), what) for _ in range(times)]
        for tab in self.tabs:
            if tab.token is None:
                tasks.append(self._at(rng.uniform(0, length), lambda tab=tab: self._arrive(tab)))  # type: ignore[misc]
            elif tab.session is not None and not tab.session.version:
                appears = rng.uniform(0, length)
                tasks.append(self._at(appears, lambda tab=tab: self.platform.create(tab.session)))  # type: ignore[misc]
        return tasks

    async def _login(self) -> None:
        """Get another token for the same session, or for a new one; nobody does so twice at once."""
        tab = self.rng.choice(self.tabs)
        if self._busy or tab.session is None:
            return
        self._busy = True
        plan = Plan(slow=self.rng.uniform(0, 1))
        await self.browser.ask(tab, plan.untouched, plan, sure=True)
        session = tab.session
        if self.rng.random() < 0.5:
            session = self.platform.new_session(tab.person.tenant, dated=self.dated)
            if self.rng.random() < self.situation.created:
                self.platform.create(session)
            self._appear_later(session)
        self._move(tab, session)
        self._busy = False

    async def _logout(self) -> None:
        """Log out; somebody else sits down at the same browser."""
        tab = self.rng.choice(self.tabs)
        if self._busy or tab.session is None:
            return
        self._busy = True
        tab.person.ended = self.judge.now = self.loops.time.now
        plan = Plan(slow=self.rng.uniform(0, 1))
        old = tab.token
        await self.browser.ask(tab, plan.logout, plan, sure=True)
        if old is not None and self.rng.random() < 0.5:
            self.platform.revoked.add(old)
        tab.person, tab.session, tab.token = Person(next(self._persons), tab.person.tenant), None, None
        self._appear_later(self._arrive(tab))
        self._busy = False

    def _appear_later(self, session: ServerSession) -> None:
        if not session.version:
            asyncio.get_running_loop().call_later(5, lambda: self.platform.create(session))

    def _refresh(self) -> None:
        tab = self.rng.choice(self.tabs)
        if tab.session is not None:
            self._move(tab, tab.session)

    def _revoke(self) -> None:
        tab = self.rng.choice(self.tabs)
        if tab.token is not None:
            self.platform.revoked.add(tab.token)
            self.judge.pardon(tab.person, PATHS, float("inf"))

    def _meddle(self) -> None:
        """Put another document cookie into the browser."""
        jar, rng = self.browser.jar, self.rng
        if not jar.documents:
            return
        name, value = rng.choice(jar.documents)
        match rng.choice(("older", "older", "damaged", "under another key")):
            case "damaged":
                place = rng.randrange(len(value))
                value = value[:place] + (b"A" if value[place : place + 1] != b"A" else b"B") + value[place + 1 :]
            case "under another key":
                value = bytes(rng.choices(value, k=len(value)))
        jar.put(name, value, 600)

    # What others do

    async def _nemesis(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0.5, 6))
            self.wire.weather = self.rng.choice(self.situation.weather)
            self._tell("{}", self.wire.weather)

    async def _store(self) -> None:
        await self.fleet.backplane.weather(self.rng)

    async def _others(self) -> None:
        """Let somebody else write now and then."""
        while self.situation.foreign:
            await asyncio.sleep(self.rng.expovariate(1 / self.situation.foreign))
            session = self.rng.choice(self.tabs).session
            if session is not None and session.version:
                path = self.rng.choice(PATHS)
                value = self._value(path)
                self.judge.now = self.loops.time.now
                if value is not None:
                    self.platform.edit(session, path, value)

    def _recreate(self) -> None:
        tab = self.rng.choice(self.tabs)
        if tab.session is not None and tab.session.version:
            empty = self.rng.random() < 0.5
            self._at_emporix(tab)
            self.platform.recreate(tab.session, empty=empty)

    def _restore(self) -> None:
        tab = self.rng.choice(self.tabs)
        states = [] if tab.session is None else [state for _, state in tab.session.states if state is not None]
        if states and tab.session is not None:
            self._at_emporix(tab)
            self.platform.restore(tab.session, self.rng.choice(states))

    def _at_emporix(self, tab: Tab) -> None:
        """Expect no more of choices that Emporix itself undoes."""
        self.judge.now = self.loops.time.now
        self.judge.pardon(tab.person, PATHS, self.judge.now)

    def _wipe(self) -> None:
        session = self.rng.choice(self.tabs).session
        if session is not None and session.version:
            self.platform.wipe(session)

    def _distort(self) -> None:
        session = self.rng.choice(self.tabs).session
        if session is not None and session.version:
            self.platform.distort(session, self.rng.choice([*ODDITIES.values()]))

    # The end

    async def _heal(self) -> None:
        self.wire.weather = CLEAR
        self.fleet.backplane.heal()
        self.judge.now = self.loops.time.now
        for session in self.platform.sessions.values():
            self.platform.create(session)
            self.platform.distort(session, None)
        for tab in self.tabs:
            if tab.token is None:
                self.platform.create(self._arrive(tab))

    async def _quiet(self) -> None:
        """Look again and again until everything has had its time, then judge."""
        places = itertools.cycle(self.fleet.places)
        for pause in SOON:
            await asyncio.sleep(pause)
            for tab in self.tabs:
                plan = Plan()
                await self.browser.ask(tab, plan.page, plan, place=next(places), sure=True)
        for pause in LATER:
            await asyncio.sleep(pause)
            for tab in self.tabs:
                plan = Plan()
                seen = await self.browser.ask(tab, plan.page, plan, place=next(places), sure=True)
                if seen is not None and tab.session is not None and seen.token not in self.platform.revoked:
                    self.judge.converged(seen, tab.session)
        for tab in self.tabs:
            if tab.session is not None and tab.token not in self.platform.revoked:
                self.judge.ended(tab.person, tab.session)

    async def _close(self) -> None:
        await asyncio.sleep(30)
        gc.collect(0)  # who failed with nobody listening says so now
        left_over = self.fleet.left_over()
        for promise, texts in {
            "left over": left_over,
            "errors": self.fleet.errors + self.unnoticed,
            "late": self.fleet.late,
            "cookies": self.browser.jar.refused,
            "at once": self.wire.patches_at_once,
            "leaks": self.wire.misdirected,
        }.items():
            for text in texts:
                self.judge.violation(promise, text)
        if not left_over:  # for what never ends a shutdown would wait
            await self.fleet.close()

    def verdict(self, seed: int, name: str) -> Verdict:
        """Return what became of it."""
        extra = Counter(self.wire.calls)
        extra["reads"] = self.judge.reads
        extra["degraded"] = self.judge.degraded
        extra.update({event: number for event, number in self.browser.heard.items() if "." in event})
        return Verdict(
            seed=seed,
            situation=name,
            requests=self.browser.requests,
            faults=self.wire.faults,
            counts=self.judge.counts,
            texts=dict(self.judge.found),
            extra=extra,
        )


class Names:
    """Names of notes and of changes as a seed has them: of two that say the same, the name decides which one stays."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def token_hex(self, size: int) -> str:
        """Return a name."""
        return self._rng.randbytes(size).hex()

    def token_urlsafe(self, size: int) -> str:
        """Return a name."""
        return base64.urlsafe_b64encode(self._rng.randbytes(size)).rstrip(b"=").decode()


def play(
    seed: int, steps: int, setup: Setup, situation: Situation, *, name: str = "", story: list[str] | None = None
) -> Verdict:
    """Play one seed in virtual time.

    Args:
        seed: decides everything.
        steps: moments at which the browser sends one request or several.
        setup: what the shop runs on.
        situation: what happens.
        name: of the situation.
        story: gets everything that happens, in words.
    """
    loops = Loops(setup.workers * setup.loops if setup.loops > 1 else 1)
    names = Names(seed)

    async def visit() -> Verdict:
        one = Visit(seed, steps, setup, situation, loops)
        one.judge.story = story
        await one.play()
        return one.verdict(seed, name)

    nobody = WeakValueDictionary[object, object]()  # no visit finds instances of another one
    with (
        patch.object(neighbours, "_known", nobody),
        patch.object(continuity, "secrets", names),
        patch.object(recording, "secrets", names),
    ):
        return loops.run(visit())
