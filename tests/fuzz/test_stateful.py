"""Shoppers, other writers and a failing Emporix in any order, against a model of what may then be seen and held.

The simulation plays long histories of many shoppers at once and judges them afterwards. This plays short ones of one
session, whose every step is judged at once, and which shrink to the few steps that matter.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import httpx2
import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from session_ctx_middleware import (
    ChangeRefused,
    Commit,
    CommitConflict,
    ContextUnavailable,
    SessionContext,
    UpstreamPolicy,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.left_over import left_over
from ..support.virtual_time import WALL_START, VirtualTimeLoop
from .support import Site, fuzz, page, play, with_both_libraries

T = TypeVar("T")

WIRE = {"site_code": "siteCode", "currency": "currency", "language": "language", "target_location": "targetLocation"}
FIELDS = (*WIRE, "attributes.a", "attributes.b")
LETTERS = "ZYXWVUTSRQPONMLKJIHGFEDCBA"

GET_FAULTS = [
    Fault(status=500),
    Fault(status=502),
    Fault(status=503, retry_after=7),
    Fault(status=429, retry_after=30),
    Fault(drop="before"),
    Fault(drop="after"),
    Fault(body=b"<html>"),
    Fault(delay=4),
]
PATCH_FAULTS = [
    Fault(status=500),
    Fault(status=503, apply=True),
    Fault(status=429, retry_after=5),
    Fault(status=409),
    Fault(status=412),
    Fault(status=422),
    Fault(drop="before"),
    Fault(drop="after"),
    Fault(delay=4),
    Fault(delay_after=4),
]
FAULTS = st.one_of(
    st.tuples(st.just("context.get"), st.sampled_from(GET_FAULTS)),
    st.tuples(st.just("context.patch"), st.sampled_from(PATCH_FAULTS)),
)


class Boom(Exception):
    """What an endpoint of the shop fails with."""


@dataclass
class Seen:
    """What one request saw, and how its commit ended."""

    status: int = 200
    values: dict[str, object] = field(default_factory=dict)
    degraded: bool = False
    patches: int = 0
    commits: list[str] = field(default_factory=list)

    @property
    def commit(self) -> str:
        return self.commits[-1] if self.commits else ""


class Belief:
    """What may be the case with one field, as far as a shopper can tell.

    Args:
        value: what Emporix holds in the beginning.
        tokens: of the session, which may each see something else.
    """

    def __init__(self, value: object, tokens: int) -> None:
        self.shown: list[set[object]] = [{value} for _ in range(tokens)]
        self.held: set[object] = {value}
        """What Emporix may hold once everything has healed."""
        self.landing: set[object] = {value}
        """What Emporix may come to hold on the way there."""
        self.waiting: set[int | None] = set()
        """Tokens with a change that Emporix may not have yet; `None` for one whose session was forgotten."""
        self.old: set[object] = set()
        """What waited for another token when this was sent; see the test at the end of this module."""
        self.never: set[object] = set()
        """What was discarded, so that nobody may ever see it."""

    def settle(self, value: object) -> None:
        """Note that Emporix has this, and that nothing else is on its way."""
        self.held = {value}
        self.landing = {value}
        self.waiting = set()
        self.shown = [{value} for _ in self.shown]

    def wait(self, token: int, value: object) -> None:
        """Note that a change is kept by this process, for one token at least."""
        # Which of two tokens' wishes is the later one is not known while nobody knows that they are of one session.
        self.held = {value} if len(self.shown) == 1 else self.held | {value}
        self.landing.add(value)
        self.waiting.add(token)
        for shown in self.shown:
            shown.add(value)
        self.shown[token] = {value}

    def replace(self, value: object) -> None:
        """Note that somebody else has written this at Emporix."""
        self.held = self.held | {value} if self.waiting else {value}
        self.landing = self.landing | {value} if self.waiting else {value}
        for shown in self.shown:
            shown.add(value)

    def drop(self, now: object) -> None:
        """Note that a change which waited may have been dropped."""
        self.held.add(now)
        for shown in self.shown:
            shown |= {now, *self.held}


class Shopping(RuleBasedStateMachine):
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

    # Rules: shoppers

    some_fields = st.sets(st.sampled_from(FIELDS), min_size=1, max_size=3).map(sorted)
    which = st.integers(0, 2)

    @rule(which=which)
    def read(self, which: int) -> None:
        seen = self.page(which % len(self.tokens))
        assert seen.patches <= 1 + self.overtaken or not self.healthy

    @rule(which=which, names=some_fields, how=st.sampled_from(["blind", "read", "commit", "late"]), gone=st.booleans())
    def change(self, which: int, names: list[str], how: str, *, gone: bool) -> None:
        token, values = which % len(self.tokens), self.wishes(names, gone=gone)

        async def endpoint(ctx: SessionContext, _: Seen) -> None:
            if how == "read":
                await ctx
            if how == "late":
                try:
                    async with ctx.late_changes():
                        record(ctx, values)
                except ChangeRefused:
                    pass
                return
            record(ctx, values)
            if how == "commit":
                await committed(ctx)

        self.promise(values)
        seen = self.visit(token, endpoint)
        if self.fit():
            assert seen.commit in {"applied", "already"}
            assert seen.patches <= 1 + self.overtaken
        self.changed(token, values, seen)

    def wishes(self, names: list[str], *, gone: bool) -> dict[str, str | None]:
        return {name: None if gone and name.startswith("attributes.") else self.fresh(name) for name in names}

    def promise(self, values: Mapping[str, str | None]) -> None:
        """Note that these may turn up at Emporix from now on."""
        for name, value in values.items():
            self.beliefs[name].landing.add(value)

    @rule(which=which, names=some_fields, how=st.sampled_from(["503", "raise", "discard", "late"]))
    def change_in_vain(self, which: int, names: list[str], how: str) -> None:
        token, values = which % len(self.tokens), self.wishes(names, gone=False)

        async def endpoint(ctx: SessionContext, _: Seen) -> int:
            if how == "late":
                async with ctx.late_changes():
                    record(ctx, values)
                    raise Boom
            record(ctx, values)
            if how == "raise":
                raise Boom
            if how == "discard":
                ctx.discard()
            return 503 if how == "503" else 200

        seen = self.visit(token, endpoint)
        assert seen.status == {"503": 503, "discard": 200}.get(how, 500)
        self.refused(values)
        self.drained(token, seen)

    @rule(one=which, other=which, names=st.permutations(FIELDS))
    def change_at_once(self, one: int, other: int, names: list[str]) -> None:
        tokens = [one % len(self.tokens), other % len(self.tokens)]
        wishes = [self.wishes(names[:2], gone=False), self.wishes(names[2:4], gone=False)]
        outcomes = ["", ""]

        async def visited(index: int) -> None:
            async def endpoint(ctx: SessionContext, _: Seen) -> None:
                record(ctx, wishes[index])
                outcomes[index] = await committed(ctx)

            assert (await self._visit(tokens[index], endpoint)).status == 200

        async def both() -> None:
            await asyncio.gather(visited(0), visited(1))

        for values in wishes:
            self.promise(values)
        fit = self.fit()
        self.run(both())
        # What was parked was so after the other one had been sent, or else that one would have taken it along.
        for index in sorted((0, 1), key=lambda index: outcomes[index] == "parked"):
            assert not fit or outcomes[index] == "applied"
            self.changed(tokens[index], wishes[index], Seen(commits=[outcomes[index]]))

    @precondition(lambda self: self.exists)
    @rule(which=which, mine=st.sampled_from(FIELDS), theirs=st.sampled_from(FIELDS))
    def change_while_another_writes(self, which: int, mine: str, theirs: str) -> None:
        token, values, foreign = which % len(self.tokens), self.wishes([mine], gone=False), self.fresh(theirs)

        async def endpoint(ctx: SessionContext, _: Seen) -> None:
            await ctx
            record(ctx, values)
            self.edit(theirs, foreign)

        self.beliefs[theirs].replace(foreign)
        self.promise(values)
        seen = self.visit(token, endpoint)
        if self.fit():
            assert seen.commit == "applied"
            assert seen.patches <= 2
            assert self.server()[theirs] == (values[mine] if mine == theirs else foreign)
        self.changed(token, values, seen)

    @rule(which=which)
    def log_out(self, which: int) -> None:
        async def endpoint(ctx: SessionContext, _: Seen) -> None:
            await ctx.forget()

        assert self.visit(which % len(self.tokens), endpoint).status == 200
        server = self.server()
        for name, belief in self.beliefs.items():
            if self.healthy:
                belief.never |= {value for value in belief.held if belief.waiting} - {None, server[name]}
                belief.settle(server[name])
            else:
                belief.waiting = {None} if belief.waiting else set()
                belief.drop(server[name])

    @rule(which=which)
    def create_cart(self, which: int) -> None:
        token, cart_id = which % len(self.tokens), f"cart-{next(self.numbers)}"

        async def endpoint(ctx: SessionContext, _: Seen) -> None:
            await ctx.cart_created(cart_id)
            assert self.healthy is False or ctx.cart_id == cart_id

        if self.exists:
            self.run(self._edited("cartId", cart_id))
        else:
            self.create(cart_id=cart_id)
        seen = self.visit(token, endpoint)
        assert seen.status == 200
        self.drained(token, seen)
        for name, belief in self.beliefs.items():
            if self.healthy and token in belief.waiting:
                assert self.server()[name] in belief.held

    @precondition(lambda self: 0 < len(self.tokens) < 3)
    @rule()
    def renew_token(self) -> None:
        async def renewed() -> None:
            self.tokens.append(self.emporix.new_token(self.session_id))

        self.run(renewed())
        server = self.server()
        for name, belief in self.beliefs.items():
            belief.shown.append({server[name], *belief.held, *belief.landing})

    # Rules: everybody else

    @precondition(lambda self: self.exists)
    @rule(name=st.sampled_from(FIELDS))
    def write_elsewhere(self, name: str) -> None:
        value = self.fresh(name)

        async def written() -> None:
            self.edit(name, value)

        self.beliefs[name].replace(value)
        self.run(written())

    @rule(fault=FAULTS, times=st.sampled_from([1, 2, None]))
    def break_emporix(self, fault: tuple[str, Fault], times: int | None) -> None:
        self.healthy = False
        self.emporix.fault(*fault, times=times)

    @rule()
    def mend_emporix(self) -> None:
        self.emporix.clear_faults()

    @rule(seconds=st.sampled_from([0.1, 1, 2.5, 6, 30, 70, 150, 700, 5000]))
    def let_time_pass(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        if seconds > 100:
            for belief in self.beliefs.values():
                belief.held |= belief.old
                belief.landing |= belief.old
                belief.shown = [shown | belief.old for shown in belief.shown]

    @rule()
    def recover(self) -> None:
        """Let everything heal, and see that what was acknowledged has arrived."""
        self.emporix.clear_faults()
        self.run(asyncio.sleep(150))
        for token in [*range(len(self.tokens))] * 2:
            self.page(token)
            self.run(asyncio.sleep(12))
        self.healthy = True
        if self.exists:
            self.converged()

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

    # What always holds

    @invariant()
    def nothing_comes_to_emporix_that_nobody_wanted(self) -> None:
        if not self.tokens:
            return
        server = self.server()
        for name, belief in self.beliefs.items():
            if server[name] != self.before[name]:
                assert server[name] in belief.landing, f"{name} became {server[name]!r}, which nobody waited for"
            assert server[name] not in belief.never
        self.before = server

    def teardown(self) -> None:
        try:
            if self.tokens and sys.exc_info()[0] is None:
                self.finish()
        finally:
            self.runner.close()

    def finish(self) -> None:
        self.recover()
        if not self.exists:
            self.create()
            self.recover()
        self.nothing_comes_to_emporix_that_nobody_wanted()
        self.run(asyncio.sleep(100))
        assert left_over(self.site.middleware._engines.of(self.runner.get_loop())) == {}
        self.run(self.client.aclose())
        assert not self.unnoticed


async def look(ctx: SessionContext, seen: Seen) -> None:
    """Read every field."""
    await ctx
    seen.degraded = ctx.is_degraded
    attributes = ctx.attributes
    seen.values = {name: getattr(ctx, name) for name in WIRE}
    seen.values |= {f"attributes.{key}": attributes.get(key) for key in "ab"}


def record(ctx: SessionContext, values: Mapping[str, str | None]) -> None:
    """Record changes; `None` removes an attribute."""
    ctx.switch(**{name: value for name, value in values.items() if name in WIRE and value is not None})
    for name, value in values.items():
        if name not in WIRE:
            key = name.removeprefix("attributes.")
            ctx.remove_attribute(key) if value is None else ctx.set_attribute(key, value)


async def committed(ctx: SessionContext) -> str:
    """Commit now, and say how that ended; what could not be sent is parked when the request ends."""
    try:
        return {Commit.PARKED: "parked"}.get(await ctx.commit(), "applied")
    except (ContextUnavailable, CommitConflict):
        return "parked"
    except ChangeRefused:
        return "refused"


class ShoppingOverHttpx(Shopping):
    """The same, with the other library."""

    library = httpx


SHORT = {"stateful_step_count": 30, "report_multiple_bugs": False, "phases": (Phase.generate, Phase.shrink)}
Shopping.TestCase.settings = fuzz(60, **SHORT)
ShoppingOverHttpx.TestCase.settings = fuzz(30, **SHORT)

TestShopping = Shopping.TestCase
TestShoppingOverHttpx = ShoppingOverHttpx.TestCase


@with_both_libraries
@pytest.mark.parametrize("idle", [30, 700])
def test_what_waited_does_not_undo_a_later_change_by_way_of_another_token(library: Any, idle: float) -> None:
    """Shrunk from the above: the later change was acknowledged, so it has to stay, however long nobody comes."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        emporix = FakeEmporix(now=lambda: WALL_START + loop.time())
        session = emporix.new_session(language="en")
        renewed = emporix.new_token(session.session_id)
        site = Site(emporix.client(library))

        async def to(ctx: SessionContext, language: str) -> None:
            ctx.switch(language=language)

        emporix.fault("context.get", Fault(status=500))
        await site.visit(lambda ctx: to(ctx, "de"), token=renewed)
        await asyncio.sleep(1)
        await site.visit(lambda ctx: to(ctx, "fr"), token=session.token)
        assert [event.name for event in site.events] == ["commit.parked", "commit.applied"]

        await asyncio.sleep(idle)
        await site.visit(page, token=renewed)
        document = emporix.document(session.session_id)
        assert document is not None
        assert document["language"] == "fr"

    play(work)
