"""All calls that the shop itself makes to Emporix; the session context is the middleware's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from .models import Cart, Grant, Price, Product, Site
from .settings import Settings

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

__all__ = ["Platform", "PlatformError", "build_client"]

T = TypeVar("T")
PAGE_SIZE: Final = "24"
SEEDS: Final = {
    "site_code": "siteCode",
    "currency": "currency",
    "language": "language",
    "target_location": "targetLocation",
}


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

    async def begin_session(self) -> Grant:
        """Begin an anonymous session with the shop's defaults."""
        defaults = asdict(self._settings.defaults)
        seeds = {wire: defaults[name] for name, wire in SEEDS.items() if defaults[name]}
        return await self._session("login", seeds)

    async def renew_session(self, refresh_token: str) -> Grant:
        """Get a new token of the same anonymous session."""
        return await self._session("refresh", {"refresh_token": refresh_token})

    async def sites(self, token: str) -> Sequence[Site]:
        """Return the sites that are open."""
        data = await self._call("GET", self._path("site", "sites"), token)
        return _read("sites", lambda: [Site.read(each) for each in data if each.get("active", True)])

    async def products(self, token: str) -> Sequence[Product]:
        """Return the first products of the catalogue."""
        data = await self._call("GET", self._path("product", "products"), token, params={"pageSize": PAGE_SIZE})
        return _read("products", lambda: [Product.read(each) for each in data])

    async def prices(self, token: str, quantities: Mapping[str, float]) -> Mapping[str, Price]:
        """Return prices in the currency of the shopper's session; nothing where the session does not say enough."""
        items = [
            {"itemId": {"itemType": "PRODUCT", "id": each}, "quantity": {"quantity": count}}
            for each, count in quantities.items()
        ]
        path = self._path("price", "match-prices-by-context")
        data = await self._call("POST", path, token, json={"items": items})
        return _read("prices", lambda: {str(each["itemId"]["id"]): Price.read(each) for each in data})

    async def cart(self, token: str, cart_id: str) -> Cart:
        """Return a cart of the shopper."""
        data = await self._call("GET", self._path("cart", "carts", cart_id), token)
        return _read("cart", lambda: Cart.read(data))

    async def create_cart(self, token: str, session_id: str, site_code: str, currency: str) -> str:
        """Create a cart and return its id; where the shopper has one on this site already, that one's."""
        path = self._path("cart", "carts")
        headers = {"session-id": session_id} if session_id else {}
        body = {"siteCode": site_code, "currency": currency, "type": "shopping"}
        try:
            data = await self._call("POST", path, token, json=body, headers=headers)
        except PlatformError as error:
            if error.status != 409:
                raise
            data = await self._call("GET", path, token, params={"siteCode": site_code, "type": "shopping"})
        return _read("create_cart", lambda: str(data["cartId"] if "cartId" in data else data["id"]))

    async def add_item(self, token: str, cart_id: str, product_id: str, price: Price) -> None:
        """Put one piece of a product into a cart."""
        body = {
            "itemYrn": f"urn:yaas:saasag:caasproduct:product:{self._settings.tenant};{product_id}",
            "quantity": 1,
            "price": {
                "priceId": price.price_id,
                "originalAmount": price.original,
                "effectiveAmount": price.effective,
                "currency": price.currency,
            },
        }
        await self._call("POST", self._path("cart", "carts", cart_id, "items"), token, json=body)

    async def move_cart(self, token: str, cart_id: str, site_code: str) -> None:
        """Move a cart to another site."""
        path = self._path("cart", "carts", cart_id, "changeSite")
        await self._call("POST", path, token, json={"siteCode": site_code})

    async def convert_cart(self, token: str, cart_id: str, currency: str) -> None:
        """Change the currency of a cart."""
        path = self._path("cart", "carts", cart_id, "changeCurrency")
        await self._call("POST", path, token, json={"currency": currency})

    def _path(self, service: str, *parts: str) -> str:
        return "/".join(["", service, self._settings.tenant, *(quote(part, safe="") for part in parts)])

    async def _session(self, action: str, params: Mapping[str, str]) -> Grant:
        params = {"tenant": self._settings.tenant, "client_id": self._settings.client_id, **params}
        data = await self._call("GET", f"/customerlogin/auth/anonymous/{action}", None, params=params)
        return _read(action, lambda: Grant.read(data))

    async def _call(self, method: str, path: str, token: str | None, **options: Any) -> Any:
        headers = {**options.pop("headers", {}), **({} if token is None else {"authorization": f"Bearer {token}"})}
        try:
            answer = await self._client.request(method, self._settings.base_url + path, headers=headers, **options)
        except httpx.HTTPError:
            # `from None`: the client's error holds the request, and that the shopper's token.
            raise PlatformError(f"{method} {path}") from None
        if not answer.is_success:
            raise PlatformError(f"{method} {path}", answer.status_code)
        return _read(path, answer.json) if answer.content else None


def _read(call: str, read: Callable[[], T]) -> T:
    """Run `read` on what Emporix answered; what cannot be read counts as an outage."""
    try:
        return read()
    except (AttributeError, LookupError, TypeError, ValueError):
        raise PlatformError(f"{call}: an answer that makes no sense") from None
