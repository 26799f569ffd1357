"""The move of a request to another token: what goes along, and what nobody is shown any more.

Private to `context`, and to sources that take care of sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from starlette.requests import HTTPConnection

from .carrying import READING
from .cart_merging import CartMerging
from .clock import STEP
from .engine import Notes
from .errors import ContextSealed
from .model.carts import CartMerge
from .model.changes import NO_CHANGES, ContextChanges
from .model.document import ATTRIBUTE_PREFIX, NO_RECEIPTS, Value
from .model.fields import SWITCHES
from .model.operation import MICROSECONDS
from .model.transition import (
    Belongings,
    Follows,
    Side,
    Transition,
    TransitionKind,
    customer_of,
    fate,
    is_another,
    kind_of,
)
from .model.view import NOTHING_KNOWN, Snapshot, source, switch_value
from .recording import new_operation
from .tokens import Movable, StorefrontToken

__all__ = ["Moving"]

HIS_OWN: Final = frozenset({"change", "parked", "document"})
"""Where values come from that are the shopper's, and not the shop's by default."""


class Moving(CartMerging):
    """The part of a request that goes over to another token."""

    _has_moved = False
    """Whether the shopper is somebody else from now on, or nobody any more."""

    def _may_move(self) -> None:
        """Raise where the browser cannot be told any more.

        Raises:
            ContextSealed: the response has started, or it is a WebSocket.
        """
        if self._sealed or self._cannot_answer:
            raise ContextSealed

    def _movable(self) -> Movable:
        """Return this request as those see it who give its shopper another token."""
        return Movable(
            visitor=self._visiting(),
            check=self._may_move,
            uses=self._touch_more,
            run=lambda work: self._at_home(work) if self._is_abroad() else work,
            credentials=self._credentials,
            another_token=self._another_token,
            belongings=lambda: self._belongings(everything=True),
            choices=lambda: self._belongings(everything=False),
            belongings_of_before=self._belongings_of_before,
            next_era=self._next_era,
            goes_on_with=self._goes_on_with,
            end=self._end,
            move=self._move,
        )

    async def _belongings(self, *, everything: bool) -> Belongings:
        """Return what the shopper has under the token of this request.

        Args:
            everything: load the context for it; else that is done only where something is known that he has chosen.
        """
        token = await self._credentials()
        made = self._made(token)
        if (made.operations or self.carts_follow) and token is not None and not everything:
            # What another worker did a moment ago may be written over next: what was cached before is not enough.
            self._known = await self._asked(token, self._engine.refresh)
            token = self._token
        elif everything or made.operations:
            await self._load_ahead()
        known = self._known or NOTHING_KNOWN
        return self._belonging_to(token, known, made, self._values(known))

    async def _belongings_of_before(self) -> Belongings:
        """Return what the shopper had before the application has made him somebody else.

        Emporix is asked only where nothing is known from before: what it says now may be what a login has made of it.
        """
        token = await self._credentials()
        made = self._made(token)
        known = self._known_before(token)
        if known is not None:
            return self._belonging_to(token, known, made, self._values(known))
        await self._load_ahead()
        known = self._known or NOTHING_KNOWN
        chosen = {name: each.value for name, each in made.operations.items() if isinstance(each.value, str)}
        return self._belonging_to(token, known, made, self._values(known) | chosen)

    def _known_before(self, token: StorefrontToken | None) -> Snapshot | None:
        """Return what was known before a login: as other pages have left it meanwhile, but not the login."""
        known, now = self._known, self._known_already(token)
        if known is None or now is None or known.document is None or now.document is None:
            return known or now
        return now if customer_of(now.document) == customer_of(known.document) else known

    def _known_already(self, token: StorefrontToken | None) -> Snapshot | None:
        """Return what can be known without asking Emporix."""
        shown = None if token is None else self._engine.view(token, self._notes())
        if shown is not None and not (shown.degraded or shown.rejected):
            return shown
        offer = self._offer()
        travelled = None if offer is None else offer()
        return None if travelled is None else Snapshot(document=travelled.document)

    def _belonging_to(
        self, token: StorefrontToken | None, known: Snapshot, made: ContextChanges, values: Mapping[str, Value]
    ) -> Belongings:
        made_by_him = made.newest(known.parked.newest(known.overlay)).operations.items()
        received = NO_RECEIPTS if known.document is None else known.document.receipts
        seen = -1 if known.document is None else known.document.version
        # What is known may be of before another page has chosen.
        later = {
            path: each.value
            for path, each in made_by_him
            if each.is_later_than(seen) and each.at > received.get(path, -1.0)
        }
        values = {**values, **later}
        return Belongings(
            token,
            Side.of(known, None if token is None else self._engine.session_of(token)),
            known.document,
            {name: value for name, value in values.items() if name in SWITCHES and isinstance(value, str)},
            # What shows may be of a later choice that only its receipt at Emporix tells of.
            {path: max(each.at, received.get(path, 0.0)) for path, each in made_by_him if path in SWITCHES},
            {path: each.value for path, each in known.parked.operations.items() if path.startswith(ATTRIBUTE_PREFIX)},
        )

    def _next_era(self) -> int:
        """Return the era of what comes after a logout."""
        return 1 + (self._era if self._visitor is None else max(self._era, self._visitor.session_era))

    async def _end(self, token: StorefrontToken | None, era: int) -> None:
        """Drop everything cached, parked or recorded for a session, wherever it is; what the browser has is void.

        Args:
            token: of the session.
            era: of what comes after it.
        """
        self._change()  # a logout that a cache answers would reach nobody
        self._has_moved = True
        self._changes = self._told = NO_CHANGES
        self._known = NOTHING_KNOWN
        self._ended = Notes(era=era, ended=self._deps.timestamps.next(self._newest_at()))
        await self._deps.tokens.end(HTTPConnection(self._scope))
        if token is not None:
            with self._budget(READING) as until:
                await self._engine.forget(token, until)

    async def _go_over(self, to: StorefrontToken) -> Transition:
        """Go on with a token that the application has; what that means shows when Emporix is asked."""
        before = await self._belongings_of_before()
        self._goes_on_with(to)
        await self._load_ahead()
        after = self._side(to)
        kind, another = kind_of(before.side, after), is_another(before.side, after)
        if another:
            await self._end(before.token, self._next_era())
        return await self._move(before, to, kind, "choices" if another else "everything")

    async def _move(
        self, before: Belongings, to: StorefrontToken | None, kind: TransitionKind, follows: Follows
    ) -> Transition:
        """Go on with another token, under which the shopper gets what he takes along.

        Args:
            before: what he had.
            to: the token, `None` where there is none yet.
            kind: what happens.
            follows: what the shopper takes along.
        """
        self._change()
        self._has_moved = True
        if kind == "company" and before.token is not None:
            await self._engine.leave(before.token)
        self._goes_on_with(to)
        await self._load_ahead()
        after = Side() if to is None else self._side(to)
        same = before.side.session_id is not None and before.side.session_id == after.session_id
        if self._ended is None:
            before = self._with_what_came_between(before)
        taken = _taken_along(before, kind, follows, same=same)
        if not same:
            self._told = self._told.switches()
        if same and kind == "login":
            self._logs_in = self._tells_version = True
        await self._carry({} if same and kind == "refresh" else taken, before.chosen, kind)
        self._emit("session.moved", kind, "same session" if same else "another session")
        brings_cart = kind == "login" and follows == "everything" and before.side.customer_id is None
        cart = await self._merge_carts(before) if brings_cart else None
        if not brings_cart and not same and {"site_code", "currency"} & taken.keys():
            await self._follow_to_session(before)
        return self._transition(before, kind, taken, same=same, cart=cart)

    def _with_what_came_between(self, before: Belongings) -> Belongings:
        """Return the same with what other pages have chosen meanwhile: it may have been written over as well."""
        made = self._made(before.token).operations
        later = {name: made[name] for name, at in before.chosen.items() if name in made and made[name].at > at}
        values = {name: each.value for name, each in later.items() if isinstance(each.value, str)}
        chosen = {name: later[name].at for name in values}
        return replace(before, switches={**before.switches, **values}, chosen={**before.chosen, **chosen})

    def _goes_on_with(self, to: StorefrontToken | None) -> None:
        self._found, self._token_sought, self._renewing = to, True, None
        self._known = NOTHING_KNOWN if to is None else None

    def _persist_resolved(self) -> None:
        if not self._has_moved:  # what the address names was for the session of before
            super()._persist_resolved()

    def _made(self, token: StorefrontToken | None) -> ContextChanges:
        """Return the changes that the shopper has made, as far as is known here or to his browser."""
        notes = self._notes()
        if token is not None:
            made = self._engine.changed(token, notes)
        else:
            made = NO_CHANGES if notes is None else notes.of("", "")
        return self._changes.over(self._told.newest(made))

    def _values(self, known: Snapshot) -> dict[str, Value]:
        """Return the values that the shopper sees, but for the shop's defaults."""
        defaults = self._deps.defaults
        own = (name for name in SWITCHES if source(name, self._changes, known, defaults) in HIS_OWN)
        values = ((name, switch_value(name, self._changes, known, defaults)) for name in own)
        return {name: value for name, value in values if value is not None}

    def _side(self, token: StorefrontToken) -> Side:
        return Side.of(self._known or NOTHING_KNOWN, self._engine.session_of(token))

    async def _carry(self, values: Mapping[str, Value], chosen: Mapping[str, float], kind: TransitionKind) -> None:
        """Have the session get values now: whatever the application does next, they are not lost.

        Args:
            values: by path.
            chosen: when those were chosen: what another page chooses meanwhile is later.
            kind: what happens.
        """
        now = self._deps.timestamps.next(self._newest_at())
        anew = chosen if self._ended is None else {}  # after a logout, what other pages choose is void
        era, clock = self._era, self._deps.clock
        missing = (path for path in values if path not in self._changes)  # what is recorded goes at the end
        carried = ContextChanges(
            {path: new_operation(values[path], _after(anew.get(path), now), era, clock) for path in missing}
        )
        if carried:
            outcome = await self._commit(kind, parks=True, changes=carried, carried=True)
            if outcome.commit is None and not outcome.is_refused:
                self._changes = self._changes.over(carried)  # for the end of the request

    def _transition(
        self,
        before: Belongings,
        kind: TransitionKind,
        taken: Mapping[str, Value],
        *,
        same: bool,
        cart: CartMerge | None,
    ) -> Transition:
        known = self._known or NOTHING_KNOWN
        fates = {path: path in taken and self._has(path, taken[path], known) for path in _had(before, kind)}
        fates |= fate(before, known.document, kind, session_kept=same)
        if cart is not None and cart.state == "merged":
            fates["cart_id"] = True
        kept = tuple(sorted(path for path, stays in fates.items() if stays))
        return Transition(kind, same, kept, tuple(sorted(fates.keys() - {*kept})), cart)

    def _has(self, path: str, value: Value, known: Snapshot) -> bool:
        if path in SWITCHES:
            return switch_value(path, self._changes, known, self._deps.defaults) == value
        waits = path in self._changes or path in known.parked or path in known.overlay
        return waits or (known.document is not None and known.document.value_at(path) == value)


def _after(chosen: float | None, now: float) -> float:
    """Return a timestamp just after that of a choice, and of no later one."""
    return now if chosen is None else round(chosen + STEP, MICROSECONDS)


def _taken_along(before: Belongings, kind: TransitionKind, follows: Follows, *, same: bool) -> dict[str, Value]:
    """Return what the shopper takes along: what he has chosen, and after a logout all that he has seen."""
    if follows == "nothing":
        return {}
    names = before.switches if kind == "logout" else before.chosen
    chosen = {name: value for name, value in before.switches.items() if name in names}
    return {**chosen, **(before.waiting if follows == "everything" and not same else {})}


def _had(before: Belongings, kind: TransitionKind) -> set[str]:
    return {*(before.switches if kind == "logout" else before.chosen), *before.waiting}
