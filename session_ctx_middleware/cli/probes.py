"""Single questions to a tenant, asked with a session of our own; each leaves as it was what it has not made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..emporix import ShopperTokens, TokenAnswer
from ..emporix.client import PlatformClient

__all__ = ["Patient", "Reply", "Settings"]

ATTRIBUTE: Final = "session_ctx_doctor"
TRIES: Final = 5
PAUSE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """Whom to ask.

    Args:
        tenant: the name of the tenant.
        client_id: of the storefront.
        base_url: where Emporix is.
        seeds: what a session begins with, by field.
    """

    tenant: str
    client_id: str
    base_url: str
    seeds: Mapping[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """What a call was answered.

    Args:
        status: the HTTP status.
        data: the parsed body; empty for what is no JSON object.
    """

    status: int
    data: Mapping[str, Any]

    @property
    def version(self) -> int:
        """The version of a context; -1 where there is none."""
        metadata = self.data.get("metadata")
        version = metadata.get("version") if isinstance(metadata, Mapping) else None
        return version if isinstance(version, int) else -1

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The custom attributes of a context."""
        found = self.data.get("context")
        return found if isinstance(found, Mapping) else {}


class Patient(PlatformClient):
    """A session of a tenant that is asked.

    Args:
        settings: whom to ask.
        granted: the tokens of the session.
    """

    def __init__(self, settings: Settings, granted: TokenAnswer) -> None:
        super().__init__(settings.tenant, base_url=settings.base_url)
        self.granted = granted
        self.seeds = settings.seeds
        self.cart_id = ""
        self._lag = 0.0
        self._context = f"/session-context/{settings.tenant}/me/context"
        self._carts = f"/cart/{settings.tenant}/carts"

    @classmethod
    async def admitted(cls, settings: Settings, tokens: ShopperTokens) -> Patient:
        """Return a new session."""
        return cls(settings, await tokens.begin(**settings.seeds))

    def lags(self, seconds: float) -> None:
        """Note after how many seconds a change shows."""
        self._lag = 2 * seconds

    async def context(self) -> Reply:
        """Read the context."""
        return await self._ask("context.get", "GET", self._context)

    async def patch(self, body: Mapping[str, object], version: int | None) -> int:
        """Change the context, and return the status.

        Args:
            body: fields by Emporix' names.
            version: the one that is named; none where that is `None`.
        """
        metadata = {} if version is None else {"metadata": {"version": version}}
        return (await self._ask("context.patch", "PATCH", self._context, {**body, **metadata})).status

    async def patched(self, body: Mapping[str, object]) -> Reply:
        """Change the context as a shop does, and return what it is once that shows."""
        for _ in range(TRIES):
            if await self.patch(body, (await self.context()).version) < 300:
                break
            await asyncio.sleep(PAUSE)
        await asyncio.sleep(self._lag)
        return await self.context()

    async def create_cart(self) -> int:
        """Create a cart, as contexts of most tenants come with the first one, and return the status."""
        body = {"siteCode": self.seeds.get("site_code", "main"), "currency": self.seeds.get("currency", "EUR")}
        answer = await self._ask("cart.create", "POST", self._carts, body)
        self.cart_id = str(answer.data.get("cartId") or answer.data.get("id") or "")
        return answer.status

    async def delete_cart(self) -> None:
        """Delete the cart that was created."""
        if self.cart_id:
            await self._ask("cart.delete", "DELETE", f"{self._carts}/{self.cart_id}")

    async def _ask(self, operation: str, method: str, path: str, body: object = None) -> Reply:
        session = {"session-id": self.granted.session_id} if self.granted.session_id else {}
        token = self.granted.access_token
        answer = await self._http.call(operation, method, path, token=token, json=body, headers=session)
        try:
            data = json.loads(answer.body or b"null")
        except ValueError:
            data = None
        return Reply(answer.status, data if isinstance(data, dict) else {})
