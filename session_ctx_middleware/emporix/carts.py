"""Carts that follow their shopper: to another site or currency before the session does, and into a login."""

from __future__ import annotations

from typing import Final

from ..checks import flag
from ..errors import ConfigurationError
from .cart_client import CartClient
from .client import ClientOptions
from .shoppers_carts import Shopper, ShoppersCarts

__all__ = ["CartFollows"]

UNBOUND: Final = "CartFollows(...) has to be the carts=... of a SessionContextMiddleware."


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
        self._serves = False

    def __repr__(self) -> str:
        return "CartFollows()"

    def bind(self, tenant: str, options: ClientOptions) -> None:
        """Be of one middleware from now on.

        Args:
            tenant: its tenant.
            options: how calls are made.

        Raises:
            ConfigurationError: it is of another one, which was not closed.
        """
        if self._serves:
            raise ConfigurationError("One CartFollows(...) serves one middleware: give each its own.")
        self._client = CartClient(tenant, **options)
        self._serves = True

    async def aclose(self) -> None:
        """Close the connections of the running event loop; another middleware may follow."""
        self._serves = False
        if self._client is not None:
            await self._client.aclose()

    def of(self, shopper: Shopper) -> ShoppersCarts:
        """Return the carts of a shopper."""
        if self._client is None:
            raise ConfigurationError(UNBOUND)
        return ShoppersCarts(self._client, shopper, names_unpriced=self._names_unpriced)
