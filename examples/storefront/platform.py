"""All calls that the shop itself makes to Emporix, with `ctx.auth`; tokens are the middleware's business."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from session_ctx_middleware import SessionContextError

from .models import Cart, Price, Product, named
from .settings import Settings

if TYPE_CHECKING:
    import httpx

    from session_ctx_middleware.sessions.auth import ShopAuth
else:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

__all__ = ["Platform", "PlatformError", "build_client"]

T = TypeVar("T")
PAGE_SIZE: Final = "24"
NO_SENSE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer may raise that is not what it should be."""


class PlatformError(Exception):
    """Emporix did not do what was asked; `status` is what it answered, `None` where it did not answer."""

    def __init__(self, call: str, status: int | None = None) -> None:
        super().__init__(f"{call}: {'no answer' if status is None else status}")
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether Emporix said no; asking again would not help."""
        return self.status is not None and 400 <= self.status < 500 and self.status != 429


def build_client() -> httpx.AsyncClient:
    """Return the one HTTP client of the shop, which the middleware uses as well."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(2.0, connect=1.0),
        # All shoppers share this client: a cookie set for one of them must not go out with the call of another.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # No proxy of the environment knows the way to a platform on this machine.
        mounts={f"all://{host}": httpx.AsyncHTTPTransport() for host in ("127.0.0.1", "localhost")},
    )


class Platform:
    """Emporix, as far as this shop needs it. Each method is one call, and raises `PlatformError`.

    Args:
        settings: tenant and address.
        client: makes the calls; its timeouts end them.
    """

    def __init__(self, settings: Settings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client

    async def products(self, auth: ShopAuth) -> Sequence[Product]:
        """Return the first products of the catalogue."""
        data = await self._call("GET", self._path("product", "products"), auth, params={"pageSize": PAGE_SIZE})
        return _read_each("products", Product.read, data)

    async def prices(
        self, auth: ShopAuth, criteria: Mapping[str, str], quantities: Mapping[str, float]
    ) -> Mapping[str, Price]:
        """Return prices by product.

        Args:
            auth: the shopper's.
            criteria: for whom, as `SessionContext.price_criteria` returns them: also a currency that the session at
                Emporix has not got yet.
            quantities: how much of which product.
        """
        body: dict[str, Any] = {name: criteria[name] for name in ("siteCode", "targetCurrency") if name in criteria}
        if "targetLocation" in criteria:
            body["targetLocation"] = {"countryCode": criteria["targetLocation"]}
        if "customerId" in criteria:
            body["principal"] = {"id": criteria["customerId"], "type": "CUSTOMER"}
        body["items"] = [
            {"itemId": {"itemType": "PRODUCT", "id": each}, "quantity": {"quantity": count}}
            for each, count in quantities.items()
        ]
        data = await self._call("POST", self._path("price", "match-prices"), auth, json=body)
        return dict(_read_each("prices", lambda each: (named(each["itemId"]["id"]), Price.read(each)), data))

    async def cart(self, auth: ShopAuth, cart_id: str) -> Cart:
        """Return a cart of the shopper."""
        data = await self._call("GET", self._path("cart", "carts", cart_id), auth)
        return _read("cart", lambda: Cart.read(data))

    async def add_item(self, auth: ShopAuth, cart_id: str, product_id: str, price: Price, quantity: int) -> None:
        """Put a product into a cart."""
        body = {
            "itemYrn": f"urn:yaas:saasag:caasproduct:product:{self._settings.tenant};{product_id}",
            "quantity": quantity,
            "price": {
                "priceId": price.price_id,
                "originalAmount": price.original,
                "effectiveAmount": price.effective,
                "currency": price.currency,
            },
        }
        await self._call("POST", self._path("cart", "carts", cart_id, "items"), auth, json=body)

    async def change_quantity(self, auth: ShopAuth, cart_id: str, item_id: str, quantity: int) -> None:
        """Have another quantity of what is in a cart."""
        path = self._path("cart", "carts", cart_id, "items", item_id)
        await self._call("PUT", path, auth, params={"partial": "true"}, json={"quantity": quantity})

    async def remove_item(self, auth: ShopAuth, cart_id: str, item_id: str) -> None:
        """Take something out of a cart."""
        await self._call("DELETE", self._path("cart", "carts", cart_id, "items", item_id), auth)

    async def place_order(self, auth: ShopAuth, order: Mapping[str, Any]) -> str:
        """Order what is in a cart, which that closes; return the number of the order."""
        data = await self._call("POST", self._path("checkout", "checkouts", "order"), auth, json=order)
        return _read("order", lambda: named(data["orderId"]))

    def _path(self, service: str, *parts: str) -> str:
        return "/".join(["", service, self._settings.tenant, *(quote(part, safe="") for part in parts)])

    async def _call(self, method: str, path: str, auth: ShopAuth, **options: Any) -> Any:
        try:
            answer = await self._client.request(method, self._settings.base_url + path, auth=auth, **options)
        except (httpx.HTTPError, SessionContextError):
            # `from None`: the client's error holds the request, and that the shopper's token.
            raise PlatformError(f"{method} {path}") from None
        if not answer.is_success:
            raise PlatformError(f"{method} {path}", answer.status_code)
        return _read(path, lambda: _json(answer)) if answer.content else None


def _json(answer: httpx.Response) -> Any:
    """Return what an answer says.

    Raises:
        ValueError: it is no JSON, or holds what no page can say: a number that is none, or half a character.
    """
    data = answer.json()
    json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    return data


def _read(call: str, read: Callable[[], T]) -> T:
    """Run `read` on what Emporix answered; what cannot be read counts as an outage."""
    try:
        return read()
    except NO_SENSE:
        raise PlatformError(f"{call}: an answer that makes no sense") from None


def _read_each(call: str, read: Callable[[Any], T], answer: Any) -> list[T]:
    """Run `read` on each of several; one that makes no sense is left out, as long as there are others."""
    several = answer if isinstance(answer, list) else [answer]
    found = []
    for each in several:
        with suppress(*NO_SENSE):
            found.append(read(each))
    return found if found or not several else _read(call, lambda: [read(each) for each in several])
