"""Shoppers, other writers and a failing Emporix in any order, against a model of what may then be seen and held.

The simulation plays long histories of many shoppers at once and judges them afterwards. This plays short ones of one
session, whose every step is judged at once, and which shrink to the few steps that matter.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from session_ctx_middleware import (
    ChangeRefused,
    Commit,
    CommitConflict,
    ContextUnavailable,
    SessionContext,
)
from session_ctx_middleware.testing import Fault

from ..support.left_over import left_over
from .beliefs import FIELDS, WIRE, Seen
from .one_session import Boom, OneSession

__all__ = ["Shopping"]

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


class Shopping(OneSession):
    """What may happen to it, in any order."""

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
