"""A caller of FakeEmporix who sends what a storefront or a backend sends, and checks nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

ME = "/session-context/acme/me/context"
JANE = {"email": "jane@example.com", "password": "correct-horse"}
JOE = {"email": "joe@example.com", "password": "battery-staple"}
KIM = {"email": "kim@example.com", "password": "paper-clips"}


class Platform:
    """Emporix as its callers see it."""

    def __init__(self, emporix: FakeEmporix, client: Any) -> None:
        self.emporix = emporix
        self.client = client

    async def call(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        """Send one call."""
        headers: dict[str, str] = options.pop("headers", {})
        if token is not None:
            headers = {"Authorization": f"Bearer {token}", **headers}
        return await self.client.request(method, path, headers=headers, **options)

    async def context(self, token: str) -> Any:
        """Return the own context, which is there."""
        answer = await self.call("GET", ME, token)
        assert answer.status_code == 200
        return answer.json()

    async def patch(self, token: str, version: object, **fields: Any) -> Any:
        """Change the own context."""
        return await self.call("PATCH", ME, token, json={**fields, "metadata": {"version": version}})

    async def anonymous(self, **seeds: str) -> Any:
        """Log in anonymously, and return what that hands out."""
        query = {"tenant": "acme", "client_id": FakeEmporix.storefront_client_id, **seeds}
        answer = await self.call("GET", "/customerlogin/auth/anonymous/login", params=query)
        assert answer.status_code == 200
        return answer.json()

    async def refresh(self, refresh_token: str) -> Any:
        """Ask for another anonymous token."""
        query = {"tenant": "acme", "client_id": FakeEmporix.storefront_client_id, "refresh_token": refresh_token}
        return await self.call("GET", "/customerlogin/auth/anonymous/refresh", params=query)

    async def login(self, credentials: dict[str, str], token: str | None = None) -> Any:
        """Log a customer in."""
        return await self.call("POST", "/customer/acme/login", token, json=credentials)

    async def refresh_customer(self, refresh_token: str, bearer: str | None = None, **query: str) -> Any:
        """Ask for another token of a customer."""
        query = {"refreshToken": refresh_token, **query}
        return await self.call("GET", "/customer/acme/refreshauthtoken", bearer, params=query)

    async def validated(self, token: str) -> Any:
        """Return what a customer's token is good for."""
        answer = await self.call("GET", "/customer/acme/validateauthtoken", token)
        assert answer.status_code == 200
        return answer.json()

    async def find_cart(self, token: str, headers: dict[str, str] | None = None, **query: str) -> Any:
        """Look for a cart of the main site, unless the query names another one."""
        query = {"siteCode": "main", **query}
        return await self.call("GET", "/cart/acme/carts", token, params=query, headers=headers or {})

    async def service(self, scope: str | None = None, **fields: str) -> Any:
        """Ask for a service token."""
        form = {
            "grant_type": "client_credentials",
            "client_id": FakeEmporix.client_id,
            "client_secret": FakeEmporix.client_secret,
            **({} if scope is None else {"scope": scope}),
            **fields,
        }
        return await self.call("POST", "/oauth/token", data=form)

    async def service_token(self) -> str:
        """Return a service token with all scopes."""
        return str((await self.service()).json()["access_token"])

    async def cart(self, token: str, **fields: str) -> Any:
        """Create a cart."""
        return await self.call("POST", "/cart/acme/carts", token, json={"currency": "EUR", **fields})

    async def prices(self, token: str, *codes: str) -> Any:
        """Match the prices of products."""
        items = [
            {"itemId": {"itemType": "PRODUCT", "id": code}, "quantity": {"quantity": 2, "unitCode": "piece"}}
            for code in codes
        ]
        answer = await self.call("POST", "/price/acme/match-prices-by-context", token, json={"items": items})
        assert answer.status_code == 200
        return answer.json()


@asynccontextmanager
async def open_platform(emporix: FakeEmporix, library: Any) -> AsyncIterator[Platform]:
    """Open a platform for one test."""
    async with emporix.client(library, base_url="http://emporix.test") as client:
        yield Platform(emporix, client)


@pytest.fixture
async def platform(emporix: FakeEmporix, http_library: Any) -> AsyncIterator[Platform]:
    """FakeEmporix with its defaults, called with httpx and with httpx2."""
    async with open_platform(emporix, http_library) as opened:
        yield opened


def expect_fault(answer: Any, status: int, code: str) -> None:
    """Check an answer of the gateway."""
    assert answer.status_code == status
    assert set(answer.json()) == {"fault"}
    fault = answer.json()["fault"]
    assert isinstance(fault["faultstring"], str)
    assert fault["detail"] == {"errorcode": code}
