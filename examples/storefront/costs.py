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
        ("customer.login", "POST", r"/customer/[^/]+/login"),
        ("customer.logout", "GET", r"/customer/[^/]+/logout"),
        ("customer.refresh", "GET", r"/customer/[^/]+/refreshauthtoken"),
        ("customer.profile", "GET", r"/customer/[^/]+/me"),
        ("site.list", "GET", r"/site/[^/]+/sites"),
        ("product.list", "GET", r"/product/[^/]+/products"),
        ("price.match", "POST", r"/price/[^/]+/match-prices-by-context"),
        ("cart.create", "POST", _CART),
        ("cart.find", "GET", _CART),
        ("cart.get", "GET", _CART + r"/[^/]+"),
        ("cart.validate", "GET", _CART + r"/[^/]+/validate"),
        ("cart.add_item", "POST", _CART + r"/[^/]+/items"),
        ("cart.change_site", "POST", _CART + r"/[^/]+/changeSite"),
        ("cart.change_currency", "POST", _CART + r"/[^/]+/changeCurrency"),
    )
)
OTHER: Final = "other"
OPERATIONS: Final = frozenset(name for name, _, _ in _OPERATIONS) | {OTHER}


class Bill:
    """The calls of one request, in order; `tokens` are the shopper's tokens, as far as they are known."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.tokens: set[str] = set()


_mine: ContextVar[Bill | None] = ContextVar("bill", default=None)


class Ledger:
    """Puts each call on the bill of the request that caused it.

    How: the shop's own calls run in the task of their request, so a context variable says whose they are. The
    middleware's GET and PATCH run in tasks of their own, because a GET may serve many requests at once and a PATCH must
    survive a browser that goes away; a context variable does not reach them. But their token tells the shopper, so
    they go on the bill of every request of that shopper that is open just then, or becomes known as his a moment later.
    What has no token begins a session, of a request whose shopper is not known yet.
    """

    def __init__(self) -> None:
        self._open: set[Bill] = set()
        self._unpaid: dict[str, list[str]] = {}

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
            if not self._open:
                self._unpaid.clear()

    def knows(self, bill: Bill, authorization: str) -> None:
        """Note whose request it is, and what was called for him before that was known."""
        bill.tokens.add(authorization)
        bill.calls += self._unpaid.pop(authorization, [])

    async def note(self, request: Any) -> None:
        """Note one call; this is a request hook of httpx."""
        operation, token = _operation(request.method, request.url.path), request.headers.get("authorization", "")
        payers = list(self._payers(token))
        for bill in payers:
            bill.calls.append(operation)
        if not payers and token:
            self._unpaid.setdefault(token, []).append(operation)

    def _payers(self, token: str) -> Iterable[Bill]:
        mine = _mine.get()
        if mine is not None:
            return [mine]
        return [bill for bill in self._open if (token in bill.tokens if token else not bill.tokens)]


def _operation(method: str, path: str) -> str:
    return next((name for name, verb, shape in _OPERATIONS if verb == method and shape.search(path)), OTHER)
