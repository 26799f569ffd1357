"""What is done to the carts of one shopper: moved to where he goes, opened, and merged when he logs in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, TypeVar

from ..errors import (
    CartNotFound,
    ChangeRefused,
    EmporixError,
    EmporixNotAsked,
    TokenRejected,
    TooManyRequests,
    VersionConflict,
)
from ..model.carts import Cart, CartMerge, CartOutcome
from .cart_client import CartClient
from .shop_calls import Given, ShopCall

__all__ = ["Moved", "Place", "Shopper", "ShoppersCarts"]

T = TypeVar("T")

IN_DOUBT: Final = "the Cart Service did not answer, and may have moved the cart"
NOT_ASKED: Final = "the Cart Service could not be asked"
REFUSED: Final = "the Cart Service refused"
NOT_SHOWN: Final = "the Cart Service does not show it yet"
ONLY_SITE: Final = "the cart has moved to the site, and not to the currency"
STAYED: Final = (ChangeRefused, TokenRejected, EmporixNotAsked, TooManyRequests, VersionConflict, CartNotFound)
"""Errors after which it is sure that nothing has happened."""


@dataclass(frozen=True, slots=True, repr=False)
class Shopper:
    """Whose cart it is.

    Args:
        given: returns what a call goes out with.
        another: returns what it goes out with once more, `None` where there is no other token.
    """

    given: Callable[[ShopCall], Awaitable[Given]]
    another: Callable[[ShopCall, Given], Awaitable[Given | None]]


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """Where a shopper is: what his session and his cart are to agree on; `None` where nobody knows."""

    site_code: str | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a call to move a cart.

    Args:
        state: ``moved``: the Cart Service has taken it. ``failed``: the cart has stayed. ``half``: nobody can say.
        reason: why it is not ``moved``.
        currency: the site's own, which the session has to take along.
    """

    state: Literal["moved", "failed", "half"]
    reason: str = ""
    currency: str | None = None


class ShoppersCarts:
    """What is done to the carts of one shopper, in one request.

    Args:
        client: makes the calls.
        shopper: whose they are.
        names_unpriced: whether to ask which items have no price.
    """

    def __init__(self, client: CartClient, shopper: Shopper, *, names_unpriced: bool) -> None:
        self._client = client
        self._shopper = shopper
        self._names_unpriced = names_unpriced

    # Switching

    async def move(self, cart_id: str, to: Place, back_to: Place, *, site_moves: bool, any_currency: bool) -> Moved:
        """Have a cart moved; doing so again changes nothing.

        Args:
            cart_id: the cart.
            to: where the shopper is going.
            back_to: where he is: the cart goes back there where it can go half of the way only.
            site_moves: whether he switches the site, so that the cart gets that site's currency.
            any_currency: whether he has chosen no currency along with it.

        Raises:
            CartNotFound: there is no such cart any more, also on a second look.
        """
        if not site_moves or to.site_code is None:
            return await self._to_currency(cart_id, to.currency)
        moved = await self._to_site(cart_id, to.site_code)
        if moved.state != "moved":
            return moved
        cart = await self._seen(cart_id)
        if cart.is_in(to.currency):
            return moved
        moved = await self._to_currency(cart_id, to.currency)
        if moved.state != "failed":
            return moved
        if any_currency and cart.currency is not None:
            return Moved("moved", currency=cart.currency)
        return await self._back(cart_id, back_to, moved)

    async def shown(self, cart_id: str, where: Place) -> CartOutcome:
        """Return what a cart shows that was moved, and which of its items have no price."""
        cart = await self._seen(cart_id)
        unpriced = await self._unpriced(cart_id) if cart.has_items and self._names_unpriced else ()
        if cart.is_on(where.site_code) and cart.is_in(where.currency):
            return CartOutcome("moved", unpriced)
        return CartOutcome("accepted", unpriced, NOT_SHOWN)

    async def _to_site(self, cart_id: str, site_code: str) -> Moved:
        work = partial(self._client.change_site, cart_id=cart_id, site_code=site_code)
        return await self._moved(cart_id, "changeSite", work, lambda cart: cart.is_on(site_code))

    async def _to_currency(self, cart_id: str, currency: str | None) -> Moved:
        if currency is None:
            return Moved("moved")
        work = partial(self._client.change_currency, cart_id=cart_id, currency=currency)
        return await self._moved(cart_id, "changeCurrency", work, lambda cart: cart.is_in(currency))

    async def _back(self, cart_id: str, where: Place, why: Moved) -> Moved:
        """Have a cart moved back; return what has become of it all."""
        site = await self._to_site(cart_id, where.site_code) if where.site_code else Moved("half")
        if site.state == "moved" and (await self._to_currency(cart_id, where.currency)).state == "moved":
            return why
        return Moved("half", ONLY_SITE)

    async def _moved(
        self, cart_id: str, name: str, work: Callable[[Given], Awaitable[None]], is_there: Callable[[Cart], bool]
    ) -> Moved:
        """Make a call that moves a cart; moving it to where it is changes nothing, so that it may be made twice."""
        in_doubt, why = False, IN_DOUBT
        for _ in range(2):
            try:
                await self._with("POST", f"/{cart_id}/{name}", work)
            except CartNotFound:
                await self._get(cart_id)  # Emporix answers a missing item with 404, too
                why = REFUSED
            except (ChangeRefused, TokenRejected):
                why = REFUSED
            except (EmporixNotAsked, TooManyRequests):
                why = NOT_ASKED
            except EmporixError:
                in_doubt = True
                continue
            else:
                return Moved("moved")
            break
        if not in_doubt:
            return Moved("failed", why)
        return Moved("moved") if is_there(await self._seen(cart_id)) else Moved("half", IN_DOUBT)

    async def _seen(self, cart_id: str) -> Cart:
        """Return a cart as it shows, one without an id where it cannot be read."""
        try:
            return await self._get(cart_id)
        except EmporixError:
            return Cart(None, None, None)

    async def _unpriced(self, cart_id: str) -> tuple[str, ...]:
        try:
            return await self._with("GET", f"/{cart_id}/validate", partial(self._client.unpriced, cart_id=cart_id))
        except EmporixError:
            return ()

    # One cart

    async def open_cart(self, cart_id: str | None, begins: Place, holds: Place, company: str | None) -> str | None:
        """Return a cart that things can be put into: this one, or else the one of the site, or a new one.

        Args:
            cart_id: that the session names; `None` for none.
            begins: where a new one begins.
            holds: where the session is: a cart that is there already goes nowhere else.
            company: the legal entity that a customer acts for.

        Raises:
            EmporixError: the Cart Service could not be asked, or did not want it.
        """
        named = None if cart_id is None else await self._open(cart_id)
        if named is not None:
            return await self._in_currency(named, holds.currency)
        site_code, currency = begins.site_code or "", begins.currency or ""
        try:
            created = await self._with(
                "POST", "", lambda given: self._client.create(given, site_code, currency, company)
            )
        except (VersionConflict, ChangeRefused) as error:
            refused = error
        else:
            return created
        found = await self._found(site_code, company)
        if found is None:
            raise refused.again()
        return await self._in_currency(found, holds.currency)

    async def _open(self, cart_id: str) -> Cart | None:
        """Return a cart if anything can be put into it."""
        try:
            cart = await self._get(cart_id)
        except CartNotFound:
            return None
        return replace(cart, cart_id=cart_id) if cart.is_open else None

    async def _in_currency(self, cart: Cart, currency: str | None) -> str | None:
        """Return the id of a cart, which is to agree with the session."""
        if cart.cart_id is not None and cart.currency is not None and not cart.is_in(currency):
            await self._to_currency(cart.cart_id, currency)
        return cart.cart_id

    async def _get(self, cart_id: str) -> Cart:
        return await self._with("GET", f"/{cart_id}", lambda given: self._client.get(given, cart_id))

    async def _found(self, site_code: str, company: str | None) -> Cart | None:
        """Return the open cart of a site, `None` for none."""
        try:
            return await self._with("GET", "", lambda given: self._client.find(given, site_code, company))
        except CartNotFound:
            return None

    # Logging in

    async def merge(self, guests: str | None, where: Place, company: str | None) -> CartMerge:
        """Put a guest's cart into that of the customer whom he has logged in as, if there is one; nothing is raised.

        Args:
            guests: his cart; `None` for none.
            where: the site that he is on, and the currency that he sees: carts of two currencies do not merge.
            company: the legal entity that the customer acts for.
        """
        if guests is None or where.site_code is None:
            return CartMerge("nothing", guests)
        try:
            own = await self._found(where.site_code, company)
            if own is None or own.cart_id in {None, guests}:
                return CartMerge("kept", guests)
            return await self._merged(own, guests, where.currency)
        except (ChangeRefused, TokenRejected):
            return CartMerge("failed", reason=REFUSED)
        except EmporixError:
            return CartMerge("failed", reason=NOT_ASKED)

    async def _merged(self, own: Cart, guests: str, currency: str | None) -> CartMerge:
        cart_id = own.cart_id or ""
        if not own.is_in(currency):
            await self._to_currency(cart_id, currency)
        try:
            await self._merge(cart_id, guests)
        except ChangeRefused:
            # The guest's may still be in the currency of before: a login may bring another one along.
            await self._to_currency(guests, currency)
            await self._merge(cart_id, guests)
        return CartMerge("merged", cart_id)

    async def _merge(self, cart_id: str, guests: str) -> None:
        merge = partial(self._client.merge, cart_id=cart_id, others=(guests,))
        try:
            await self._with("POST", f"/{cart_id}/merge", merge)
        except STAYED:
            raise
        except EmporixError as error:
            doubt = error
        else:
            return
        try:
            await self._get(guests)
        except CartNotFound:
            return  # it was merged, and its answer was lost
        raise doubt.again()

    # Calls

    async def _with(self, method: str, path: str, work: Callable[[Given], Awaitable[T]]) -> T:
        """Do a call; where its token is refused, once more with another one."""
        call = self._client.call_of(method, path)
        given = await self._shopper.given(call)
        try:
            return await work(given)
        except TokenRejected as error:
            refused = error
        another = await self._shopper.another(call, given)
        if another is None:
            raise refused.again()
        return await work(another)
