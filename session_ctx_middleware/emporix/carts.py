"""Carts that follow their shopper: to another site or currency before the session does, and into a login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from ..checks import flag
from ..errors import (
    CartNotFound,
    ChangeRefused,
    ConfigurationError,
    EmporixError,
    EmporixNotAsked,
    TokenRejected,
    TooManyRequests,
    VersionConflict,
)
from ..model.carts import Cart, CartMerge, CartOutcome
from .cart_client import CartClient
from .client import ClientOptions
from .shop_calls import Given, ShopCall

__all__ = ["CartFollows", "Shopper"]

T = TypeVar("T")

UNBOUND: Final = "CartFollows(...) has to be the carts=... of a SessionContextMiddleware."
IN_DOUBT: Final = "the Cart Service did not answer, and may have moved the cart"
NOT_ASKED: Final = "the Cart Service could not be asked"
REFUSED: Final = "the Cart Service refused"
NOT_SHOWN: Final = "the Cart Service does not show it yet"
ONLY_SITE: Final = "the cart has moved to the site, but not to the currency"
STAYED: Final = (ChangeRefused, TokenRejected, EmporixNotAsked, TooManyRequests, VersionConflict)
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


class CartFollows:
    """Has a shopper's cart follow him: Emporix leaves it where it is when the session's site or currency changes.

    Where a request switches either, the cart moves first, and the session only if it has; `SessionContext.cart_outcome`
    tells how that went. A login merges the guest's cart into the customer's, see `Transition.cart`; it never fails over
    that.

    Args:
        names_unpriced: have the Cart Service name the items that have no price now: one more call for each switch.

    Raises:
        ConfigurationError: that is no flag.
    """

    def __init__(self, *, names_unpriced: bool = True) -> None:
        self._names_unpriced = flag(names_unpriced, "CartFollows(names_unpriced=...)")
        self._client: CartClient | None = None

    def __repr__(self) -> str:
        return "CartFollows()"

    def bind(self, tenant: str, options: ClientOptions) -> None:
        """Be of one middleware from now on.

        Args:
            tenant: its tenant.
            options: how calls are made.

        Raises:
            ConfigurationError: it is of another one already.
        """
        if self._client is not None:
            raise ConfigurationError("One CartFollows(...) serves one middleware: give each its own.")
        self._client = CartClient(tenant, **options)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        if self._client is not None:
            await self._client.aclose()

    def of(self, shopper: Shopper) -> ShoppersCarts:
        """Return the carts of a shopper."""
        if self._client is None:
            raise ConfigurationError(UNBOUND)
        return ShoppersCarts(self._client, shopper, names_unpriced=self._names_unpriced)


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

    async def move(self, cart_id: str, site_code: str | None, currency: str | None, *, site_moves: bool) -> CartOutcome:
        """Move a cart to a site and a currency, as far as it is not there yet; doing so again changes nothing.

        Args:
            cart_id: the cart.
            site_code: the site that the shopper is to be on, `None` where nobody knows.
            currency: the currency that he is to see, `None` where nobody knows.
            site_moves: whether he switches the site, so that the currency follows from it and has to be looked up.

        Raises:
            CartNotFound: there is no such cart any more, also on a second look.
        """
        if site_moves and site_code is not None:
            failed = await self._ask(cart_id, lambda cart: cart.is_on(site_code), self._to_site(cart_id, site_code))
            if failed is not None:
                return failed
            if (await self._seen(cart_id)).is_in(currency):
                return await self._moved(cart_id, site_code, currency)
        if currency is None:
            return CartOutcome("moved")
        failed = await self._ask(cart_id, lambda cart: cart.is_in(currency), self._to_currency(cart_id, currency))
        if failed is None:
            return await self._moved(cart_id, site_code if site_moves else None, currency)
        return CartOutcome("half", reason=ONLY_SITE) if site_moves else failed

    async def _ask(
        self, cart_id: str, is_there: Callable[[Cart], bool], call: Callable[[], Awaitable[None]]
    ) -> CartOutcome | None:
        """Have a cart moved; return what has become of it where it did not, or nobody can say.

        Args:
            cart_id: the cart.
            is_there: tells whether it has moved.
            call: has it moved.
        """
        for _ in range(2):  # moving a cart to where it is changes nothing
            try:
                await call()
            except CartNotFound:
                await self._get(cart_id)  # Emporix answers a missing item with 404, too
                return CartOutcome("failed", reason=REFUSED)
            except (ChangeRefused, TokenRejected):
                return CartOutcome("failed", reason=REFUSED)
            except (EmporixNotAsked, TooManyRequests):
                return CartOutcome("failed", reason=NOT_ASKED)
            except EmporixError:
                continue
            return None
        cart = await self._seen(cart_id)
        if cart.cart_id is None:
            return CartOutcome("half", reason=IN_DOUBT)
        return None if is_there(cart) else CartOutcome("failed", reason=NOT_ASKED)

    async def _moved(self, cart_id: str, site_code: str | None, currency: str | None) -> CartOutcome:
        """Return what a cart shows that was moved."""
        cart = await self._seen(cart_id)
        unpriced = await self._unpriced(cart_id) if cart.has_items and self._names_unpriced else ()
        if cart.is_on(site_code) and cart.is_in(currency):
            return CartOutcome("moved", unpriced)
        return CartOutcome("accepted", unpriced, NOT_SHOWN)

    async def _seen(self, cart_id: str) -> Cart:
        """Return a cart as it shows, one without an id where it cannot be read."""
        try:
            return await self._get(cart_id)
        except EmporixError:
            return Cart(None, None, None)

    async def _unpriced(self, cart_id: str) -> tuple[str, ...]:
        path = f"/{cart_id}/validate"
        try:
            return await self._with("GET", path, lambda given: self._client.unpriced(given, cart_id))
        except EmporixError:
            return ()

    # One cart

    async def open_cart(self, cart_id: str | None, site_code: str, currency: str, company: str | None) -> str | None:
        """Return a cart that things can be put into: this one, or else the one of the site, or a new one.

        Args:
            cart_id: that the session names; `None` for none.
            site_code: the site.
            currency: of a new one.
            company: the legal entity that a customer acts for.

        Raises:
            EmporixError: the Cart Service could not be asked, or did not want it.
        """
        if cart_id is not None and await self._is_open(cart_id):
            return cart_id
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
        return found.cart_id

    async def _is_open(self, cart_id: str) -> bool:
        try:
            return (await self._get(cart_id)).is_open
        except CartNotFound:
            return False

    async def _get(self, cart_id: str) -> Cart:
        return await self._with("GET", f"/{cart_id}", lambda given: self._client.get(given, cart_id))

    async def _found(self, site_code: str, company: str | None) -> Cart | None:
        """Return the open cart of a site, `None` for none."""
        try:
            return await self._with("GET", "", lambda given: self._client.find(given, site_code, company))
        except CartNotFound:
            return None

    # Logging in

    async def merge(self, guests: str | None, site_code: str | None, currency: str | None) -> CartMerge:
        """Put a guest's cart into that of the customer whom he has logged in as, if there is one; nothing is raised.

        Args:
            guests: his cart; `None` for none.
            site_code: the site that he is on.
            currency: the currency that he sees: carts of two currencies do not merge.
        """
        if guests is None or site_code is None:
            return CartMerge("nothing", guests)
        try:
            own = await self._found(site_code, None)
            if own is None or own.cart_id in {None, guests}:
                return CartMerge("kept", guests)
            return await self._merged(own, guests, currency)
        except STAYED:
            return CartMerge("failed", reason=REFUSED)
        except EmporixError:
            return CartMerge("failed", reason=NOT_ASKED)

    async def _merged(self, own: Cart, guests: str, currency: str | None) -> CartMerge:
        cart_id = own.cart_id or ""
        if currency is not None and not own.is_in(currency):
            await self._to_currency(cart_id, currency)()
        merge = partial(self._client.merge, cart_id=cart_id, others=(guests,))
        try:
            await self._with("POST", f"/{cart_id}/merge", merge)
        except ChangeRefused:
            if currency is None:
                raise
            # The guest's may still be in the currency of before: a login may bring another one along.
            await self._to_currency(guests, currency)()
            await self._with("POST", f"/{cart_id}/merge", merge)
        return CartMerge("merged", cart_id)

    # Calls

    def _to_site(self, cart_id: str, site_code: str) -> Callable[[], Awaitable[None]]:
        path = f"/{cart_id}/changeSite"
        return lambda: self._with("POST", path, lambda given: self._client.change_site(given, cart_id, site_code))

    def _to_currency(self, cart_id: str, currency: str) -> Callable[[], Awaitable[None]]:
        path = f"/{cart_id}/changeCurrency"
        return lambda: self._with("POST", path, lambda given: self._client.change_currency(given, cart_id, currency))

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
