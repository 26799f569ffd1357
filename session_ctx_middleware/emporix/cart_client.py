"""The Cart Service, as far as a cart has to follow its shopper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ..errors import CartNotFound, EmporixError, EmporixFailed, MalformedAnswer, TokenRejected
from ..model.carts import Cart, unpriced_items
from .answers import FOREIGN, WRITING, Answer, error_of
from .client import PlatformClient
from .shop_calls import Given, ShopCall
from .token_answer import json_object

__all__ = ["CartClient"]

KINDS: Final[Mapping[int, type[EmporixError]]] = {**WRITING, 401: TokenRejected, 404: CartNotFound}
DONE: Final = frozenset({200, 201, 204})


class CartClient(PlatformClient):
    """Reads and moves the carts of shoppers, with what their own calls go out with; built as every `PlatformClient`.

    Every call raises `CartNotFound` for a cart that is not there, `ChangeRefused` where Emporix does not want it,
    `TokenRejected` for a token that it refuses, and else an `EmporixError` as `OwnContextClient.get` does.
    """

    def call_of(self, method: str, path: str = "") -> ShopCall:
        """Return a call, as those see it who know what goes out with it.

        Args:
            method: the HTTP method.
            path: what follows the path of all carts.
        """
        return ShopCall(method, f"/cart/{self.tenant}/carts{path}")

    async def get(self, given: Given, cart_id: str) -> Cart:
        """Return a cart."""
        return Cart.parse(_object("cart.get", await self._call("cart.get", "GET", f"/{_segment(cart_id)}", given)))

    async def find(self, given: Given, site_code: str, company: str | None = None) -> Cart:
        """Return the open cart that the shopper has on a site.

        Args:
            given: what the call goes out with.
            site_code: the site.
            company: the legal entity that a customer acts for.
        """
        params = {"siteCode": site_code} | ({"legalEntityId": company} if company else {})
        return Cart.parse(_object("cart.find", await self._call("cart.find", "GET", "", given, params=params)))

    async def create(self, given: Given, site_code: str, currency: str, company: str | None = None) -> str | None:
        """Create a cart and return its id, `None` where the answer does not tell it.

        Raises:
            VersionConflict: the shopper has an open one on this site.
        """
        body = {"siteCode": site_code, "currency": currency} | ({"legalEntityId": company} if company else {})
        data = _object("cart.create", await self._call("cart.create", "POST", "", given, json=body))
        cart_id = data.get("cartId")
        return cart_id if isinstance(cart_id, str) and cart_id else None

    async def unpriced(self, given: Given, cart_id: str) -> tuple[str, ...]:
        """Return the ids of the items of a cart that have no price."""
        path = f"/{_segment(cart_id)}/validate"
        return unpriced_items(_object("cart.validate", await self._call("cart.validate", "GET", path, given)))

    async def change_site(self, given: Given, cart_id: str, site_code: str) -> None:
        """Move a cart to another site; it gets that site's currency."""
        path, body = f"/{_segment(cart_id)}/changeSite", {"siteCode": site_code}
        await self._call("cart.change_site", "POST", path, given, json=body)

    async def change_currency(self, given: Given, cart_id: str, currency: str) -> None:
        """Have a cart priced in another currency; that may take a moment to show."""
        path, body = f"/{_segment(cart_id)}/changeCurrency", {"currency": currency}
        await self._call("cart.change_currency", "POST", path, given, json=body)

    async def merge(self, given: Given, cart_id: str, others: tuple[str, ...]) -> None:
        """Put the items of guests' carts into a customer's."""
        path, body = f"/{_segment(cart_id)}/merge", {"carts": list(others)}
        await self._call("cart.merge", "POST", path, given, json=body)

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        given: Given,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        full = f"/cart/{self.tenant}/carts{path}"
        answer = await self._http.call(
            operation, method, full, token=given.token, json=json, params=params, headers=given.more
        )
        if answer.status not in DONE:
            raise error_of(operation, answer, KINDS)
        if answer.body and answer.body.lstrip().startswith(b"<"):
            raise EmporixFailed(operation, answer.status, FOREIGN)
        return answer


def _object(operation: str, answer: Answer) -> Mapping[str, object]:
    data = json_object(answer.body)
    if not data:
        raise MalformedAnswer(operation, answer.status, "no JSON object")
    return data


def _segment(cart_id: str) -> str:
    return quote(cart_id, safe="")
