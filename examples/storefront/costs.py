"""What a page costs: the calls to Emporix, by operation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["OPERATIONS", "Bill", "Ledger"]

_CART: Final = r"/cart/[^/]+/carts"
_OPERATIONS: Final = tuple(
    (name, method, re.compile(path + "$"))
    for name, method, path in (
        ("context.get", "GET", r"/session-context/[^/]+/me/context"),
        ("context.patch", "PATCH", r"/session-context/[^/]+/me/context"),
        ("anonymous.login", "GET", r"/customerlogin/auth/anonymous/login"),
        ("anonymous.refresh", "GET", r"/customerlogin/auth/anonymous/refresh"),
        ("site.list", "GET", r"/site/[^/]+/sites"),
        ("product.list", "GET", r"/product/[^/]+/products"),
        ("price.match", "POST", r"/price/[^/]+/match-prices-by-context"),
        ("cart.create", "POST", _CART),
        ("cart.find", "GET", _CART),
        ("cart.get", "GET", _CART + r"/[^/]+"),
        ("cart.add_item", "POST", _CART + r"/[^/]+/items"),
        ("cart.change_site", "POST", _CART + r"/[^/]+/changeSite"),
        ("cart.change_currency", "POST", _CART + r"/[^/]+/changeCurrency"),
    )
)
OTHER: Final = "other"
OPERATIONS: Final = frozenset(name for name, _, _ in _OPERATIONS) | {OTHER}


class Bill:
    """The calls of one request, in order; `tokens` are the shopper's tokens that it has used."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.tokens: set[str] = set()


_mine: ContextVar[Bill | None] = ContextVar("bill", default=None)


class Ledger:
    """Puts each call on the bill of the request that caused it.

    How: the shop's own calls run in the task of their request, so a context variable says whose they are. The
    middleware's GET and PATCH run in tasks of their own, because a GET may serve many requests at once and a PATCH must
    survive a browser that goes away; a context variable does not reach them. But their token tells the shopper, so
    they go on the bill of every request of that shopper that is open just then.
    """

    def __init__(self) -> None:
        self._open: set[Bill] = set()

    @contextmanager
    def open(self, bill: Bill) -> Iterator[None]:
        """Keep a bill while a request runs."""
        self._open.add(bill)
        reset = _mine.set(bill)
        try:
            yield
        finally:
            _mine.reset(reset)
            self._open.discard(bill)

    async def note(self, request: Any) -> None:
        """Note one call; this is a request hook of httpx."""
        operation = _operation(request.method, request.url.path)
        for bill in self._payers(request.headers.get("authorization", "").removeprefix("Bearer ")):
            bill.calls.append(operation)

    def _payers(self, token: str) -> Iterable[Bill]:
        mine = _mine.get()
        return [mine] if mine is not None else [bill for bill in self._open if token in bill.tokens]


def _operation(method: str, path: str) -> str:
    return next((name for name, verb, shape in _OPERATIONS if verb == method and shape.search(path)), OTHER)
