"""The part of a request whose cart follows where the shopper gets another token.

Private to `moving` and `context`.
"""

from __future__ import annotations

from typing import Final

from .carrying import READING
from .emporix.shoppers_carts import Moved, Place
from .errors import EmporixError
from .following import IN_TIME, Following
from .model.carts import CartMerge, CartOutcome
from .model.changes import NO_CHANGES
from .model.transition import Belongings, company_of

__all__ = ["CartMerging"]

NOT_HIS: Final = "somebody has logged out in this browser, and the cart may be his"


class CartMerging(Following):
    """Merges the cart of a guest who logs in, and has the cart that stays go where its shopper is now."""

    def _is_his_own_session(self) -> bool:
        """Tell whether nobody has logged out of the session before: its cart may be somebody else's then."""
        return self._deps.tokens.begins_sessions or (self._deps.cookies is not None and self._era == 0)

    async def _merge_carts(self, before: Belongings) -> CartMerge | None:
        """Put the cart of before a login into the customer's; `None` where no carts follow."""
        if self._deps.carts is None:
            return None
        if before.cart_id is not None and not self._is_his_own_session():
            return CartMerge("failed", reason=NOT_HIS)
        merge = await self._in_time(before)
        self._emit("cart.merged", "cart.merge", merge.state)
        token = await self._credentials()
        if merge.state == "merged" and token is not None:
            self._learn(await self._asked(token, self._engine.refresh))
        return merge

    async def _follow_to_session(self, before: Belongings) -> None:
        """Have the cart of the session that a shopper has come to follow what he has brought along."""
        if self._deps.carts is not None and self._cart_id() is not None:
            await self._in_time(before, merges=False)

    async def _in_time(self, before: Belongings, *, merges: bool = True) -> CartMerge:
        work = self._merged_and_moved(before, merges=merges)
        merging = self._engine.shared(work, otherwise=CartMerge("failed", reason="cut short"))
        with self._budget(READING) as until:
            merge = await merging.wait(until - self._deps.clock.monotonic(), self._deps.clock)
        return merge or CartMerge("failed", reason=IN_TIME)

    async def _merged_and_moved(self, before: Belongings, *, merges: bool) -> CartMerge:
        """Merge, and have the cart that stays follow what the login has made of site and currency."""
        if before.cart_id is None and self._cart_id() is None:
            return CartMerge("nothing")
        async with self._engine.turns_of_carts.hold(self._turn()):
            await self._ask_for_cart()  # another page may have switched since the login
            place = self._place(NO_CHANGES)
            merge = CartMerge("nothing")
            if merges:
                merge = await self._carts().merge(before.cart_id, place, company_of(self._document))
            cart_id = merge.cart_id or self._cart_id()
            if cart_id is not None and merge.state in {"kept", "nothing"}:
                await self._move_to(cart_id, place, before)
        return merge

    async def _move_to(self, cart_id: str, place: Place, before: Belongings) -> None:
        document = before.document
        was = None if document is None or cart_id != before.cart_id else Place(document.site_code, document.currency)
        if was == place:
            return
        site_moves = was is not None and was.site_code != place.site_code
        try:
            moved = await self._carts().move(cart_id, place, was or place, site_moves=site_moves, any_currency=False)
        except EmporixError as error:
            moved = Moved("half", type(error).__name__)
        if moved.state == "moved":
            self._tell_of_cart(await self._carts().shown(cart_id, place))
        else:
            self._tell_of_cart(CartOutcome("half", reason=moved.reason))
