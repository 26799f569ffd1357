"""One session in one process, and what is believed of it after each of its requests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import httpx2
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from session_ctx_middleware import (
    SessionContext,
    UpstreamPolicy,
)
from session_ctx_middleware.testing import FakeEmporix

from ..support.virtual_time import WALL_START, VirtualTimeLoop
from .beliefs import FIELDS, WIRE, Belief, Seen
from .support import Site

__all__ = ["Boom", "OneSession"]

T = TypeVar("T")

LETTERS = "ZYXWVUTSRQPONMLKJIHGFEDCBA"


class Boom(Exception):
    """What an endpoint of the shop fails with."""


class OneSession(RuleBasedStateMachine):
    """One session with up to three tokens, in one process."""

    library: Any = httpx2
    emporix: FakeEmporix
    client: Any
    site: Site
    session_id: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.numbers = itertools.count(1)
        self.unnoticed: list[dict[str, Any]] = []
        self.tokens: list[str] = []

    def run(self, work: Awaitable[T]) -> T:
        async def working() -> T:
            return await work

        return self.runner.run(working())

    @initialize(exists=st.booleans())
    def open(self, *, exists: bool) -> None:
        async def opened() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.unnoticed.append(context))
            self.emporix = FakeEmporix(latency=0.01, now=lambda: WALL_START + loop.time())
            session = self.emporix.new_session(exists=exists)
            self.session_id, self.tokens = session.session_id, [session.token]
            self.client = self.emporix.client(self.library)
            self.site = Site(self.client, upstream=UpstreamPolicy(max_attempts=3))

        self.run(opened())
        self.healthy = True
        self.overtaken = False  # somebody else has written since everything was read last
        self.created_at = -100.0
        self.before = self.server()
        self.beliefs = {name: Belief(self.before[name], 1) for name in FIELDS}

    # What there is

    def server(self) -> dict[str, object]:
        async def values() -> dict[str, object]:
            document = self.emporix.document(self.session_id) or {}
            attributes = document.get("context", {})
            return {name: document.get(wire) for name, wire in WIRE.items()} | {
                f"attributes.{key}": attributes.get(key) for key in "ab"
            }

        return self.run(values())

    @property
    def exists(self) -> bool:
        return self.before["currency"] is not None

    def now(self) -> float:
        return self.runner.get_loop().time()

    def fresh(self, name: str) -> str:
        """Return a value that was never used before, so that it tells where it comes from."""
        number = next(self.numbers)
        high, low = LETTERS[number // 26 % 26], LETTERS[number % 26]
        forms = {"currency": f"X{high}{low}", "target_location": f"{high}{low}", "language": f"en-{number}"}
        return forms.get(name, f"v{number}")

    # Requests

    def visit(self, token: int, endpoint: Any) -> Seen:
        return self.run(self._visit(token, endpoint))

    async def _visit(self, token: int, endpoint: Any) -> Seen:
        await asyncio.sleep(0.01)  # no two requests at the very same moment: nobody could say which came later
        seen, heard, patched = Seen(), len(self.site.events), self.emporix.count("context.patch")

        async def handler(ctx: SessionContext) -> Any:
            return await endpoint(ctx, seen)

        try:
            seen.status = (await self.site.visit(handler, token=self.tokens[token])).status
        except Boom:
            seen.status = 500
        seen.patches = self.emporix.count("context.patch") - patched
        events = self.site.events[heard:]
        seen.commits = [event.name.removeprefix("commit.") for event in events if event.name.startswith("commit.")]
        return seen

    def page(self, token: int) -> Seen:
        seen = self.visit(token, look)
        assert seen.status == 200
        assert not (self.healthy and seen.degraded)
        for name, belief in self.beliefs.items():
            value = seen.values[name]
            assert value not in belief.never
            if seen.degraded and len(self.tokens) > 1:
                continue  # what the other tokens of the session did is not known to this one yet
            unknown = {None} if seen.degraded and token not in belief.waiting else set()
            assert value in belief.shown[token] | unknown, f"{name} was {value!r}, not of {belief.shown[token]!r}"
        self.drained(token, seen)
        return seen

    def drained(self, token: int, seen: Seen) -> None:
        """Note what became of the changes that waited for a token, when one of its requests has sent them."""
        if seen.commit not in {"applied", "already", "refused"}:
            return
        server = self.server()
        for name, belief in self.beliefs.items():
            if token in belief.waiting:
                belief.waiting.discard(token)
                if seen.commit == "refused":
                    belief.drop(server[name])
                elif not belief.waiting:
                    belief.held = belief.landing = {server[name]}

    def changed(self, token: int, values: Mapping[str, str | None], seen: Seen) -> None:
        """Note how the changes of one request ended."""
        assert seen.status == 200
        if seen.commit in {"applied", "already"}:
            for name, value in values.items():
                belief = self.beliefs[name]
                if belief.waiting - {token}:
                    belief.old |= belief.landing
                belief.settle(value)
            self.drained(token, seen)
        elif seen.commit == "parked":
            for name, value in values.items():
                self.beliefs[name].wait(token, value)
        else:
            assert seen.commit == "refused"
            self.refused(values)
            server = self.server()
            for name in values:
                # It had replaced what waited for this field before.
                self.beliefs[name].drop(server[name])

    def refused(self, values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self.beliefs[name].never.add(value)

    def fit(self) -> bool:
        """Tell whether a change made now has to arrive with its request."""
        return self.healthy and self.exists and self.now() - self.created_at > 3

    def wishes(self, names: list[str], *, gone: bool) -> dict[str, str | None]:
        return {name: None if gone and name.startswith("attributes.") else self.fresh(name) for name in names}

    def promise(self, values: Mapping[str, str | None]) -> None:
        """Note that these may turn up at Emporix from now on."""
        for name, value in values.items():
            self.beliefs[name].landing.add(value)

    # Emporix, and everybody else who writes there

    def converged(self) -> None:
        server, self.overtaken = self.server(), False
        for name, belief in self.beliefs.items():
            assert server[name] in belief.held, f"{name} ended as {server[name]!r}, not as one of {belief.held!r}"
        self.run(asyncio.sleep(150))
        for token in range(len(self.tokens)):
            assert self.page(token).values == server
        for name, belief in self.beliefs.items():
            belief.settle(server[name])
            belief.old = set()

    def create(self, **fields: Any) -> None:
        async def created() -> None:
            self.emporix.create_context(self.session_id, **fields)

        self.run(created())
        self.created_at, self.before = self.now(), self.server()
        for name, belief in self.beliefs.items():
            belief.landing.add(self.before[name])
            for shown in belief.shown:
                shown.add(self.before[name])
            if not belief.waiting:
                belief.held = {self.before[name]}
            elif None in belief.held:
                belief.held.add(self.before[name])

    def edit(self, name: str, value: object) -> None:
        """Write a field as somebody else would; runs on the loop."""
        self.overtaken = True
        document = self.emporix.document(self.session_id) or {}
        key = name.removeprefix("attributes.")
        change = {"context": {**document.get("context", {}), key: value}} if key != name else {WIRE[name]: value}
        self.emporix.edit(self.session_id, **change)

    async def _edited(self, wire: str, value: object) -> None:
        self.overtaken = True
        self.emporix.edit(self.session_id, **{wire: value})


async def look(ctx: SessionContext, seen: Seen) -> None:
    """Read every field."""
    await ctx
    seen.degraded = ctx.is_degraded
    attributes = ctx.attributes
    seen.values = {name: getattr(ctx, name) for name in WIRE}
    seen.values |= {f"attributes.{key}": attributes.get(key) for key in "ab"}
