"""The part of a request whose cart follows where the shopper switches.

Private to `cart_merging`, `moving` and `context`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from .carrying import COMMITTING
from .emporix.shoppers_carts import Moved, Place, Shopper, ShoppersCarts
from .engine import Commit, CommitResult
from .errors import CartNotFound, ChangeRefused, ConfigurationError, ContextUnavailable, EmporixError, NoToken
from .model.carts import CartOutcome, CartState
from .model.changes import NO_CHANGES, ContextChanges
from .model.document import ContextDocument
from .model.transition import company_of
from .model.view import NOTHING_KNOWN, Snapshot, switch_value
from .own_calls import OwnCalls
from .recording import new_operation, recording
from .tasks import SharedResult

__all__ = ["Following"]

OF_CARTS: Final = ("site_code", "currency")
"""The switches that a cart has, too."""
OPERATION: Final = "cart.move"
TOLD: Final[dict[CartState, str]] = {
    "moved": "cart.moved",
    "accepted": "cart.accepted",
    "half": "cart.half",
    "failed": "cart.failed",
}
SHARE: Final = 0.6
"""Share of its time that a commit waits for the cart: the session has to be told after it."""
LEAST: Final = 0.1
"""Seconds without which nothing is begun with a cart: it would move, and nobody would tell the session."""
WAITS: Final = "the choice waits, and so does the cart"
LATE: Final = "Emporix did not take the changes in time, and they are kept."
CUT_SHORT: Final = ContextUnavailable("The application is shutting down.")
LATER: Final = "the cart has moved, and the session follows later"
SESSION_REFUSED: Final = "the cart has moved, and Emporix refused the change of the session"
OTHERS: Final = "another page has switched meanwhile"
IN_TIME: Final = "the Cart Service did not answer in time, and may have moved the cart"
STAYS: Final = "site and currency of the session stay as well; try again"


class Following(OwnCalls):
    """Moves the shopper's cart first, and the session only if it has moved."""

    _cart_outcome: CartOutcome | None = None
    _followed: frozenset[str] = frozenset()
    """The operations with which the cart has gone along."""
    _together: SharedResult[CommitResult | Exception] | None = None
    """The commit that is under way with a cart."""
    _nobody_waits = False
    """Whether the request has gone on, or its browser has left: what cannot be sent is parked then."""

    @property
    def carts_follow(self) -> bool:
        """Whether the middleware was built with ``carts=CartFollows()``."""
        return self._deps.carts is not None

    @property
    def cart_outcome(self) -> CartOutcome | None:
        """What became of the cart when this request switched site or currency; `None` where it did not, or has no cart.

        It is known once the changes were sent: after ``await ctx.commit()``.
        """
        return self._cart_outcome

    async def open_cart(self) -> str:
        """Return the id of a cart that things can be put into: the session's, or a new one where that was ordered.

        Needs ``carts=CartFollows()``. A new one gets the site and the currency that the shopper sees.

        Raises:
            ConfigurationError: the middleware was built without ``carts=...``, or nobody knows site and currency.
            NoToken: the request brought no token.
            ContextUnavailable: Emporix could not be asked.
            ChangeRefused: the Cart Service does not want the cart.
        """
        if self._is_abroad():
            return await self._at_home(self.open_cart())
        self._touch_more()
        await self._load_ahead()
        if self._token is None:
            raise NoToken
        site_code, currency = (self._shown_value(name, self._known or NOTHING_KNOWN) for name in OF_CARTS)
        if site_code is None or currency is None:
            raise ConfigurationError("A cart needs a site and a currency: set ContextDefaults(site_code=, currency=).")
        named, begins = self._cart_id(), Place(site_code, currency)
        try:
            cart_id = await self._carts().open_cart(named, begins, self._place(NO_CHANGES), company_of(self._document))
        except ChangeRefused:
            raise
        except EmporixError as error:
            why = type(error).__name__
        else:
            if cart_id is not None:
                if cart_id != named:
                    await self._cart_was_created(self._token, cart_id)
                return cart_id
            why = "no id"
        raise ContextUnavailable(f"The Cart Service could not be asked for a cart ({why}).")

    # Before a switch is sent

    async def _commit(
        self, operation: str, *, parks: bool, changes: ContextChanges | None = None, carried: bool = False
    ) -> CommitResult:
        if self._deps.carts is None or changes is not None:
            return await super()._commit(operation, parks=parks, changes=changes, carried=carried)
        if self._is_abroad():
            return await self._at_home(self._commit(operation, parks=parks))
        await self._credentials()  # a token source that commits is told here, as it would wait for itself
        while (together := self._together) is not None:
            await together.get()
            if self._together is together:
                self._together = None
        mine = self._changes
        if not mine and not self._drains():
            return await super()._commit(operation, parks=parks)
        return await self._together_with_cart(mine, operation, parks=parks)

    async def _together_with_cart(self, mine: ContextChanges, operation: str, *, parks: bool) -> CommitResult:
        """Have cart and session told one after the other, though the browser may leave meanwhile.

        Where that takes too long, or is cut short, whoever waits is told that the changes are kept.
        """
        self._sending |= mine.ids
        together = self._together = self._engine.shared(self._both(mine, operation, parks=parks), otherwise=CUT_SHORT)
        try:
            with self._budget(COMMITTING) as until:
                ended = await together.wait(until - self._deps.clock.monotonic(), self._deps.clock)
        except asyncio.CancelledError:
            self._nobody_waits = True
            raise
        finally:
            self._sending -= mine.ids
        if ended is None or ended is CUT_SHORT:
            self._nobody_waits = ended is None
            return self._kept_meanwhile(mine, operation, parks=parks)
        if isinstance(ended, Exception):
            raise ended
        return ended

    def _kept_meanwhile(self, mine: ContextChanges, operation: str, *, parks: bool) -> CommitResult:
        self._cart_outcome = CartOutcome("half", reason=IN_TIME)
        if not parks:
            return CommitResult(error=ContextUnavailable(LATE))
        self._tell(mine, receipts=True)
        self._minus(mine)
        self._emit("commit.parked", operation, "parked")
        return CommitResult(Commit.PARKED, told=mine, receipts=True)

    async def _both(self, mine: ContextChanges, operation: str, *, parks: bool) -> CommitResult | Exception:
        try:
            ended = await self._in_turn(mine, operation, parks=parks)
            if self._nobody_waits and ended.error is not None and not ended.is_refused and self._token is not None:
                ended = await self._engine.park(self._token, mine)
                self._tell(ended.told, receipts=True)
        except Exception as error:  # noqa: BLE001 - raised where the request still waits for it
            return error
        finally:
            self._together = None
        return ended

    async def _in_turn(self, mine: ContextChanges, operation: str, *, parks: bool) -> CommitResult:
        asked = self._known is None and bool(mine.at(OF_CARTS))
        if asked:
            await self._ask_for_cart()
        wanted = self._of_carts(mine, await self._waiting())
        is_done = wanted.ids <= self._followed and self._cart_outcome is not None and self._cart_outcome.is_well
        if not wanted or is_done or self._token is None:
            return await super()._commit(operation, parks=parks, changes=mine)
        async with self._engine.turns_of_carts.hold(self._turn()):
            if not asked:  # what is cached may be of before the cart
                await self._ask_for_cart()
            return await self._cart_and_session(mine, operation, parks=parks)

    async def _waiting(self) -> ContextChanges:
        """Return what waits for Emporix: it goes along, and a cart with it."""
        known = self._known
        if known is None and self._token is not None:
            known = self._engine.view(self._token, self._notes())
        if known is None:
            await self._load_ahead()
            known = self._known
        return NO_CHANGES if known is None else known.parked

    def _turn(self) -> object:
        token = self._token
        session = None if token is None else self._engine.session_of(token)
        return session or (None if token is None else self._engine.key(token.value))

    async def _cart_and_session(self, mine: ContextChanges, operation: str, *, parks: bool) -> CommitResult:
        """Move the cart, and then the session."""
        known = self._known
        if known is None or known.degraded or known.stale:
            return await self._wait(mine, operation, parks=parks)
        wanted, cart_id = self._of_carts(mine, known.parked), self._cart_id()
        if cart_id is None:
            return await super()._commit(operation, parks=parks, changes=mine)
        to = self._place(mine.newest(wanted))
        moved = await self._moved(cart_id, wanted, to)
        if moved is None:
            return await self._wait(mine, operation, parks=parks)
        if isinstance(moved, CartNotFound):
            self._emit("cart.gone", OPERATION, "404")
            return await super()._commit(operation, parks=parks, changes=mine)
        if moved.state != "moved":
            return await self._without_switch(mine, operation, moved, wanted, parks=parks)
        if moved.currency is not None:
            mine = self._with_currency(mine, moved.currency)
            to = replace(to, currency=moved.currency)
        self._followed |= wanted.ids
        sent = await super()._commit(operation, parks=parks, changes=mine)
        self._tell_of_cart(await self._agreed(cart_id, to, sent))
        return sent

    def _with_currency(self, mine: ContextChanges, currency: str) -> ContextChanges:
        """Return changes with the currency that a site has brought along."""
        at = self._deps.timestamps.next(self._newest_at())
        return mine.over(ContextChanges({"currency": new_operation(currency, at, self._era, self._deps.clock)}))

    async def _ask_for_cart(self) -> None:
        """Ask Emporix for the context: for which cart the shopper has."""
        token = await self._credentials()
        if token is not None:
            self._learn(await self._asked(token, self._engine.refresh))

    async def _moved(self, cart_id: str, wanted: ContextChanges, to: Place) -> Moved | CartNotFound | None:
        """Have the cart moved; `None` where there is no time for it."""

        async def move() -> Moved | CartNotFound:
            any_currency = "currency" not in wanted
            try:
                return await self._carts().move(
                    cart_id,
                    to,
                    self._place(NO_CHANGES),
                    site_moves="site_code" in wanted,
                    any_currency=any_currency,
                )
            except CartNotFound as error:
                return error
            except EmporixError as error:
                return Moved("failed", type(error).__name__)

        with self._budget(COMMITTING) as until:
            left = until - self._deps.clock.monotonic()
            if left < LEAST:
                return None
            moving = self._engine.shared(move(), otherwise=Moved("half", IN_TIME))
            return await moving.wait(left * SHARE, self._deps.clock) or Moved("half", IN_TIME)

    async def _agreed(self, cart_id: str, to: Place, sent: CommitResult) -> CartOutcome:
        """Return how cart and session stand after both were told."""
        if not sent.is_taken:
            return CartOutcome("half", reason=SESSION_REFUSED if sent.is_refused else LATER)
        if self._place(NO_CHANGES) != to:
            return CartOutcome("half", reason=OTHERS)
        showing = self._engine.shared(self._carts().shown(cart_id, to), otherwise=CartOutcome("accepted"))
        with self._budget(COMMITTING) as until:
            shown = await showing.wait(max(until - self._deps.clock.monotonic(), 0.0), self._deps.clock)
        return shown or CartOutcome("accepted", reason=IN_TIME)

    async def _wait(self, mine: ContextChanges, operation: str, *, parks: bool) -> CommitResult:
        """Keep changes until it is known which cart the shopper has: it goes first."""
        self._cart_outcome = CartOutcome("half", reason=WAITS)
        if not mine:
            return CommitResult(Commit.NOTHING)
        if not parks:
            return CommitResult(error=ContextUnavailable("Emporix could not be asked which cart the shopper has."))
        self._unsent |= mine.ids
        return await super()._commit(operation, parks=True, changes=mine)

    async def _without_switch(
        self, mine: ContextChanges, operation: str, moved: Moved, wanted: ContextChanges, *, parks: bool
    ) -> CommitResult:
        """Send the other changes of the request; the session stays on the site and in the currency of its cart."""
        dropped = mine.at(OF_CARTS).ids | (self._brought_by_site() & mine.ids)
        with recording:
            self._changes = self._changes.without(dropped)
        rest, waiting = mine.without(dropped), NO_CHANGES if self._known is None else self._known.parked
        if dropped and waiting.at(OF_CARTS):  # an earlier choice of the same field may have waited
            sent = await self._cart_and_session(rest, operation, parks=parks)
        else:
            sent = await super()._commit(operation, parks=parks, changes=rest)
            # A switch that has waited goes along with whatever is sent.
            state: CartState = "half" if sent.is_taken and not wanted.ids <= dropped else moved.state
            self._tell_of_cart(CartOutcome(state, reason=moved.reason))
        if sent.error is not None or not wanted.ids & dropped:
            return sent
        stays = ChangeRefused(OPERATION, None, f"{moved.reason}: {STAYS}")
        return CommitResult(error=stays, told=sent.told, receipts=sent.receipts)

    def _brought_by_site(self) -> frozenset[str]:
        """Return the operations that nobody has chosen, but that a site has brought along."""
        return frozenset()

    def _of_carts(self, mine: ContextChanges, waiting: ContextChanges) -> ContextChanges:
        """Return the switches that are about to be sent and that a cart has, too."""
        return mine.newest(waiting).at(OF_CARTS)

    def _tell_of_cart(self, outcome: CartOutcome) -> None:
        self._cart_outcome = outcome
        self._emit(TOLD[outcome.state], OPERATION, outcome.state)

    # What both need

    def _carts(self) -> ShoppersCarts:
        carts = self._deps.carts
        if carts is None:
            raise ConfigurationError("Build the middleware with carts=CartFollows().")
        return carts.of(Shopper(self._given, self._another_for))

    @property
    def _document(self) -> ContextDocument | None:
        return None if self._known is None else self._known.document

    def _cart_id(self) -> str | None:
        """Return the cart that the session names, if it is not of another company than the customer acts for."""
        document = self._document
        cart_id = None if document is None else document.cart_id
        session = None if self._visitor is None else self._visitor.session
        return None if session is not None and cart_id is not None and session.hides(cart_id) else cart_id

    def _place(self, changes: ContextChanges) -> Place:
        """Return where the shopper's session is, with some changes; what the address says is no matter of the cart."""
        known = self._known or NOTHING_KNOWN
        site_code, currency = (switch_value(name, changes, known, self._deps.defaults) for name in OF_CARTS)
        return Place(site_code, currency)

    def _shown_value(self, name: str, known: Snapshot) -> str | None:
        """Return the effective value of a switch, for nobody to see yet."""
        return switch_value(name, self._changes, known, self._deps.defaults, self._resolved)
