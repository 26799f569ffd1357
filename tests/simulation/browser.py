"""A browser: a jar of cookies, a token for each shop, and requests whose answers come in any order or not at all."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from .backplane import LATENCY, NOTICE_DELAY
from .fleet import SESSION_TOLD, Fleet, Headers, Place
from .history import ATTRIBUTES, Choice, Person, Seen
from .jar import Jar
from .judge import Judge
from .pages import Page, Plan
from .platform import ServerSession
from .setups import Situation
from .wire import Wire

__all__ = ["HEARSAY", "Browser", "Tab"]

HEARSAY = LATENCY + NOTICE_DELAY
MAX_COOKIES = 8 * 1024
"""Bytes of ``Cookie`` that common servers and proxies take."""
DONE = frozenset({200, 303})


@dataclass(slots=True, eq=False)
class Tab:
    """Who is at the browser, in one of the shops.

    Args:
        person: who.
        session: theirs at Emporix, `None` before there is one.
        token: the newest one, `None` before there is one.
        older: the one before, which some pages still have.
    """

    person: Person
    session: ServerSession | None = None
    token: str | None = None
    older: str | None = None


class Browser:
    """One browser on one host name.

    Args:
        fleet: what serves the host.
        wire: knows which tokens are known to be of one session.
        judge: sees everything.
        situation: how things go.
        rng: decides everything.
        notes: whether the shop can keep a choice for somebody without a token.
    """

    def __init__(
        self, fleet: Fleet, wire: Wire, judge: Judge, situation: Situation, rng: random.Random, *, notes: bool
    ) -> None:
        self.jar = Jar(asyncio.get_running_loop().time)
        self.requests = 0
        self.heard: Counter[str] = Counter()
        self.most_bytes = 0
        self._fleet = fleet
        self._wire = wire
        self._judge = judge
        self._situation = situation
        self._rng = rng
        self._notes = notes
        self._loop = asyncio.get_running_loop()

    async def ask(
        self,
        tab: Tab,
        page: Page,
        plan: Plan,
        *,
        place: Place | None = None,
        lost: bool = False,
        leaves_after: float | None = None,
        sure: bool = False,
    ) -> Seen | None:
        """Send a request, and take its answer.

        Args:
            tab: for whom.
            page: what is asked for.
            plan: what the page is to do.
            place: where it is served, anywhere by default.
            lost: let the answer never arrive.
            leaves_after: seconds after which browser and server give up.
            sure: let nothing happen to the answer.

        Returns:
            What the page showed, `None` where nothing came.
        """
        rng, net = self._rng, 0.05 if sure else self._situation.net
        person, session, token = tab.person, tab.session, self._token(tab)
        sent = self._judge.now = self._loop.time()
        name = "" if session is None else session.name
        late = page.__name__ == plan.streamed.__name__
        choices = [
            Choice(person, name, token or "", path, value, sent, late=late) for path, value in plan.wishes.items()
        ]
        for choice in choices:
            self._judge.wanted(choice)
        headers = self._headers(token, name)
        self.requests += 1
        number, title = self.requests, page.__name__
        self._judge.tell("request {} {} of {} with {} wants {}", number, title, person.number, token, plan.wishes)
        await asyncio.sleep(rng.uniform(0.001, 0.05))
        where = place or self._fleet.somewhere()
        for choice in choices:
            choice.worker = where.key[0]
        request, answer = await self._fleet.serve(person.tenant, where, headers, page, leaves_after=leaves_after)
        if answer.status == 200 and choices:
            await request.ended  # what is changed while the body is on its way is done when that has come
        for choice in choices:
            choice.answered = self._loop.time()
        await asyncio.sleep(rng.uniform(0.001, net))
        self._judge.now = now = self._loop.time()
        self.heard.update(request.heard)
        seen = Seen(person, name, token, where.key, sent, plan.values, *plan.flags) if plan.values else None
        if lost or leaves_after is not None or answer.status == 499:
            self._judge.tell("request {} {}: the answer is lost", number, title)
            return None
        told = (number, title, where.key, plan.values, request.heard, answer)
        self._judge.tell("request {} {} from {}: {} {}, {}", *told)
        self.jar.receive(answer.headers, secure=True)
        if "continuity.overflow" in request.heard:
            self._judge.pardon(person, ATTRIBUTES, now)
        if answer.status in DONE:
            self._settle(choices, now)
        self._show(seen, session)
        return seen

    def _token(self, tab: Tab) -> str | None:
        """Return the newest token, and at times the older one, once everybody can know that both are of one session."""
        if tab.older is not None and {tab.token, tab.older} <= self._wire.proven and self._rng.random() < 0.4:
            return tab.older
        return tab.token

    def _headers(self, token: str | None, session: str) -> Headers:
        headers: Headers = [(b"host", b"shop.test")]
        if token is not None:
            headers.append((b"authorization", b"Bearer " + token.encode()))
            headers.append((SESSION_TOLD, session.encode()))
        cookie = self.jar.header()
        if cookie is not None:
            headers.append((b"cookie", cookie))
            self.most_bytes = max(self.most_bytes, len(cookie))
            if len(cookie) > MAX_COOKIES:
                self._judge.violation("cookies", f"{len(cookie)} bytes of cookies are sent")
        return headers

    def _settle(self, choices: list[Choice], now: float) -> None:
        """Count what was promised as promised."""
        for choice in choices:
            if choice.session or (self._notes and choice.path not in ATTRIBUTES):
                self._judge.acknowledged(choice, now)

    def _show(self, seen: Seen | None, session: ServerSession | None) -> None:
        if seen is None:
            return
        self._judge.shown(seen)
        if session is not None:
            self._judge.past(seen, session)
            self._judge.refusal(seen)
            if seen.shown_session not in {None, session.name}:
                self._judge.violation("leaks", f"{seen.session} is shown {seen.shown_session}")
