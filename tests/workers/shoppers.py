"""Shoppers who switch and look, each with a cookie jar of their own, on a worker that chance chooses.

They may do several things at once: then the judge of the simulation tells which answers can be right.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from ..simulation.history import Choice, Person, Seen
from ..simulation.judge import Judge
from .platform import Visit

__all__ = ["Page", "Shopper", "Tally", "wander"]

Page = dict[str, Any]
PATIENCE: Final = 60.0
CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "currency": ("EUR", "USD", "CHF", "GBP", "SEK"),
    "language": ("en", "de", "fr", "it"),
}
AT_ONCE: Final = 8
NOWHERE: Final = (0, 0, 0)
HURRY: Final = 0.02
"""Seconds within which clicks that belong together are made."""


@dataclass
class Tally:
    """What happened to all shoppers together."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    pids: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many answers were errors of the server."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def __str__(self) -> str:
        return f"{self.requests} requests, {len(self.violations)} violations, {self.failures} failures"


class Shopper:
    """One browser.

    Args:
        visit: the session at Emporix.
        transport: connections; all shoppers may share them, cookies they do not.
        seed: of what the shopper chooses.
        tally: counts along.
        fresh: use a connection for one request only, as workers that share a socket need it.
    """

    def __init__(
        self, visit: Visit, transport: httpx.AsyncBaseTransport, seed: str, tally: Tally, *, fresh: bool = False
    ) -> None:
        self.visit = visit
        self.rng = random.Random(seed)
        self.chosen: dict[str, str] = {}
        self._tally = tally
        self._person = Person(0, "acme")
        self._judge = Judge(carries=True, unique=False, hearsay=0.0)
        headers = {"Authorization": f"Bearer {visit.token}", **({"Connection": "close"} if fresh else {})}
        self._browser = httpx.AsyncClient(transport=transport, headers=headers, timeout=PATIENCE, trust_env=False)

    @property
    def cookies(self) -> httpx.Cookies:
        """What the browser carries."""
        return self._browser.cookies

    async def page(self, address: str) -> Page:
        """Look at the page of one worker."""
        sent = time.monotonic()
        shown = await self._send("GET", f"{address}/page", {})
        if shown:
            self._compare(shown, address, sent)
        return shown

    async def switch(self, address: str, **values: str) -> None:
        """Make a choice on one worker; it counts once the worker has said that it is done."""
        sent = time.monotonic()
        choices = [Choice(self._person, "", "", name, value, sent) for name, value in values.items()]
        for choice in choices:
            self._judge.wanted(choice)
        if await self._send("POST", f"{address}/switch", values):
            self.chosen.update(values)
            for choice in choices:
                self._judge.acknowledged(choice, time.monotonic())

    async def hurry(self, addresses: Sequence[str], clicks: int) -> None:
        """Make several clicks within one moment, each on any worker; the answers come in any order.

        Args:
            addresses: of the workers.
            clicks: how many.
        """

        async def click() -> None:
            await asyncio.sleep(self.rng.uniform(0, HURRY))
            if self.rng.random() < 0.5:
                await self.switch(self.rng.choice(addresses), **self.something_else())
            else:
                await self.page(self.rng.choice(addresses))

        await asyncio.gather(*(click() for _ in range(clicks)))

    def something_else(self) -> dict[str, str]:
        """Return other values than those that were chosen last, for one field or for both."""
        fields = self.rng.sample(sorted(CHOICES), self.rng.choice((1, 1, 2)))
        return {
            name: self.rng.choice([each for each in CHOICES[name] if each != self.chosen.get(name)]) for name in fields
        }

    async def _send(self, method: str, url: str, values: Mapping[str, str]) -> Page:
        response = await self._browser.request(method, url, params=values)
        self._tally.requests += 1
        self._tally.statuses[response.status_code] += 1
        if response.status_code != 200:
            return {}
        answer: Page = response.json()
        self._tally.pids.add(answer["pid"])
        return answer

    def _compare(self, shown: Page, address: str, sent: float) -> None:
        judge, values = self._judge, {name: shown[name] for name in CHOICES}
        before = judge.counts.total()
        judge.shown(Seen(self._person, "", None, NOWHERE, sent, values))
        if judge.counts.total() > before:
            self._tally.violations.append(f"{address} shows {values} of version {shown['version']}, not {self.chosen}")


async def wander(
    shoppers: Sequence[Shopper],
    addresses: Sequence[str],
    *,
    steps: int,
    clicks: int = 1,
    going_on: Callable[[], bool] = lambda: False,
) -> None:
    """Let every shopper switch and look in turns, in order, each time on any worker; all shoppers at the same time.

    Args:
        shoppers: who takes part.
        addresses: of the workers.
        steps: requests of each shopper.
        clicks: how many of them a shopper sends within one moment.
        going_on: tells, after the last step, whether to take yet another turn.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def walk(shopper: Shopper) -> None:
        turn = 0
        while turn < steps // (2 * clicks) or going_on():
            turn += 1
            if clicks > 1:
                async with gate:
                    await shopper.hurry(addresses, 2 * clicks)
                continue
            async with gate:
                await shopper.switch(shopper.rng.choice(addresses), **shopper.something_else())
            async with gate:
                await shopper.page(shopper.rng.choice(addresses))

    await asyncio.gather(*(walk(shopper) for shopper in shoppers))
