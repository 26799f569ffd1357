"""The part of a request whose cart follows: before a switch is sent, and after a login.

Private to `moving` and `context`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .carrying import COMMITTING, READING
from .emporix.carts import Shopper, ShoppersCarts
from .engine import CommitResult
from .errors import CartNotFound, ChangeRefused, ConfigurationError, ContextUnavailable, EmporixError, NoToken
from .model.carts import CartMerge, CartOutcome, CartState
from .model.changes import NO_CHANGES, ContextChanges
from .model.document import ContextDocument
from .model.fields import SWITCHES
from .model.transition import company_of
from .model.view import NOTHING_KNOWN, switch_value
from .own_calls import OwnCalls
from .recording import recording

__all__ = ["Following"]

OF_CARTS: Final = ("site_code", "currency")
"""The switches that a cart has, too."""
OPERATION: Final = "cart.move"
WAITS: Final = "the cart has moved, and the session follows later"
IN_TIME: Final = "the Cart Service did not answer in time, and may have moved the cart"
STAYS: Final = "site and currency of the session stay as well; try again"
TOLD: Final[dict[CartState, str]] = {
    "moved": "cart.moved",
    "accepted": "cart.accepted",
    "half": "cart.half",
    "failed": "cart.failed",
}
SHARE: Final = 0.6
"""Share of its time that a commit waits for the cart: the session has to be told after it."""


class Following(OwnCalls):
    """Moves the shopper's cart first, and the session only if it has moved."""

    _cart_outcome: CartOutcome | None = None
    _followed: frozenset[str] = frozenset()
    """The operations with which the cart has gone along."""

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
        self._touch()
        await self._load_ahead()
        if self._token is None:
            raise NoToken
        site_code, currency = (self._seen_value(name, self._changes) for name in OF_CARTS)
        if site_code is None or currency is None:
            raise ConfigurationError("A cart needs a site and a currency: set ContextDefaults(site_code=, currency=).")
        named = self._cart_id()
        try:
            cart_id = await self._carts().open_cart(named, site_code, currency, company_of(self._document))
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

    async def _commit(self, operation: str, *, parks: bool, changes: ContextChanges | None = None) -> CommitResult:
        if self._deps.carts is None or changes is not None:
            return await super()._commit(operation, parks=parks, changes=changes)
        if self._is_abroad():
            return await self._at_home(self._commit(operation, parks=parks))
        wanted = self._of_carts()
        if not wanted or wanted.ids <= self._followed:
            return await super()._commit(operation, parks=parks)
        outcome = await self._cart_first(wanted)
        if outcome is None:
            return await super()._commit(operation, parks=parks)
        self._cart_outcome = outcome
        if outcome.state in {"moved", "accepted"} or not wanted.ids <= self._changes.ids:
            self._followed |= wanted.ids
            sent = await super()._commit(operation, parks=parks)
            if not sent.is_taken:
                self._cart_outcome = replace(outcome, state="half", reason=WAITS)
            return sent
        return await self._without_switch(operation, outcome, parks=parks)

    def _of_carts(self) -> ContextChanges:
        """Return the switches that are about to be sent and that a cart has, too."""
        known = self._known
        parked = known.parked if known is not None and self._drains() else NO_CHANGES
        return self._changes.newest(parked).at(OF_CARTS)

    async def _cart_first(self, wanted: ContextChanges) -> CartOutcome | None:
        """Move the cart; return what became of it, `None` where there is none."""
        await self._load_ahead()
        cart_id = self._cart_id()
        if cart_id is None:
            return None
        changes = self._changes.newest(wanted)
        site_code, currency = (self._seen_value(name, changes) for name in OF_CARTS)

        async def move() -> CartOutcome | Exception:
            try:
                return await self._carts().move(cart_id, site_code, currency, site_moves="site_code" in wanted)
            except CartNotFound as error:
                return error
            except EmporixError as error:
                return CartOutcome("failed", reason=type(error).__name__)

        moving = self._engine.shared(move(), otherwise=CartOutcome("half", reason=IN_TIME))
        with self._budget(COMMITTING) as until:
            patience = (until - self._deps.clock.monotonic()) * SHARE
            outcome = await moving.wait(patience, self._deps.clock)
        if isinstance(outcome, Exception):
            self._emit("cart.gone", OPERATION, "404")
            return None
        outcome = outcome or CartOutcome("half", reason=IN_TIME)
        self._emit(TOLD[outcome.state], OPERATION, outcome.state)
        return outcome

    async def _without_switch(self, operation: str, outcome: CartOutcome, *, parks: bool) -> CommitResult:
        """Send the other changes of the request; the session stays on the site and in the currency of its cart."""
        dropped = self._changes.at(SWITCHES if "site_code" in self._changes else OF_CARTS)
        with recording:
            self._changes = self._changes.without(dropped.ids)
        sent = await super()._commit(operation, parks=parks)
        if sent.error is not None:
            return sent
        stays = ChangeRefused(OPERATION, None, f"{outcome.reason}: {STAYS}")
        return CommitResult(error=stays, told=sent.told, receipts=sent.receipts)

    # After a login

    async def _merge_carts(self, guests: str | None) -> CartMerge | None:
        """Put the cart of before a login into the customer's; `None` where no carts follow."""
        if self._deps.carts is None:
            return None
        site_code, currency = (self._seen_value(name, self._changes) for name in OF_CARTS)
        merging = self._engine.shared(
            self._carts().merge(guests, site_code, currency), otherwise=CartMerge("failed", reason="cut short")
        )
        with self._budget(READING) as until:
            merge = await merging.wait(until - self._deps.clock.monotonic(), self._deps.clock)
        merge = merge or CartMerge("failed", reason="the Cart Service did not answer in time")
        self._emit("cart.merged", "cart.merge", merge.state)
        if merge.state == "merged":
            token = await self._credentials()
            if token is not None:
                self._known = await self._asked(token, self._engine.refresh)
        return merge

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
        document = self._document
        return None if document is None else document.cart_id

    def _seen_value(self, name: str, changes: ContextChanges) -> str | None:
        return switch_value(name, changes, self._known or NOTHING_KNOWN, self._deps.defaults, self._resolved)
