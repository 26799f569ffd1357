"""What is the same for all shoppers: the products, remembered for a while."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from .models import Product
from .platform import Platform, PlatformError

if TYPE_CHECKING:
    from session_ctx_middleware.sessions.auth import ShopAuth

__all__ = ["Catalog", "Remembered"]

T = TypeVar("T")
FRESH_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 5.0


class Remembered(Generic[T]):
    """One public answer of Emporix, kept for ten minutes, and for longer while Emporix is away.

    Args:
        fetch: asks Emporix, for a shopper.
        now: a monotonic clock.
    """

    def __init__(
        self, fetch: Callable[[ShopAuth], Awaitable[Sequence[T]]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._value: Sequence[T] = ()
        self._ask_at = 0.0

    async def get(self, auth: ShopAuth | None) -> Sequence[T]:
        """Return the answer, an older one where Emporix is away, an empty one where there was none yet."""
        now = self._now()
        if auth is None or now < self._ask_at:
            return self._value
        # Set before asking: while one shopper's page asks, the others use what there is.
        self._ask_at = now + (FRESH_SECONDS if self._value else 0.0)
        try:
            self._value = await self._fetch(auth)
            self._ask_at = now + FRESH_SECONDS
        except PlatformError:
            self._ask_at = now + PAUSE_SECONDS
        return self._value


class Catalog:
    """Products. Nothing in here depends on the shopper, so all shoppers share it.

    Args:
        platform: Emporix.
    """

    def __init__(self, platform: Platform) -> None:
        self._products: Remembered[Product] = Remembered(platform.products)

    async def products(self, auth: ShopAuth | None) -> Sequence[Product]:
        """Return the products; empty where nobody knows."""
        return await self._products.get(auth)
