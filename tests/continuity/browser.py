"""A browser that carries its cookies from one worker to the next, and what is in them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2
import jwt
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware import continuity as module
from session_ctx_middleware.sealing import Keyring, tenant_tag

from ..support.shop import Handler, Shop

__all__ = [
    "OTHER_SECRET",
    "PREFIX",
    "SECRET",
    "Browser",
    "again",
    "attribute",
    "named",
    "page",
    "payload",
    "signed",
    "tier",
]

SECRET = "s" * 32
OTHER_SECRET = "o" * 32
PREFIX = f"__Host-session_ctx.{tenant_tag('acme', 'https://api.emporix.io')}"


class Browser:
    """Carries cookies from one worker to the next."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.cookies: dict[str, str] = {}
        self.last: list[str] = []

    async def visit(self, shop: Shop, handler: Handler) -> httpx2.Response:
        shop.browser.cookies.clear()
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = await shop.visit(handler, token=self.token, headers={"Cookie": sent} if sent else None)
        self.last = response.headers.get_list("set-cookie")
        for header in self.last:
            name, _, value = header.partition(";")[0].partition("=")
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return response

    @property
    def note(self) -> str:
        """The one note that the browser has."""
        (value,) = self.cookies.values()
        return value

    def carry(self, *notes: str) -> None:
        """Carry these notes and nothing else."""
        self.cookies = {f"{PREFIX}{number:016x}": note for number, note in enumerate(notes)}

    @property
    def operations(self) -> list[list[Any]]:
        """All changes in all notes; those that Emporix has taken are longer than five."""
        return [each for note in self.cookies.values() for each in payload(note).get("o", ())]

    async def currency(self, shop: Shop) -> str | None:
        return (await self.visit(shop, page)).text or None

    async def switch(self, shop: Shop, **values: str) -> None:
        async def endpoint(ctx: SessionContext, _: Request) -> None:
            ctx.switch(**values)

        await self.visit(shop, endpoint)


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def again(ctx: SessionContext, _: Request) -> None:
    await ctx.refresh()


async def attribute(ctx: SessionContext, _: Request) -> None:
    ctx.set_attribute("tier", "gold")


async def tier(ctx: SessionContext, _: Request) -> str:
    return str((await ctx).attributes.get("tier", ""))


def named(key: str, value: str) -> Handler:
    """Return an endpoint that sets an attribute."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute(key, value)

    return endpoint


def payload(cookie: str) -> dict[str, Any]:
    part = cookie.split(".")[1]
    data: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return data


def signed(data: dict[str, Any], secret: str = SECRET) -> str:
    key = Keyring([secret.encode()], "acme", "https://api.emporix.io").signing_keys(module.PURPOSE)[0]
    return jwt.PyJWS().encode(json.dumps(data).encode(), key, "HS256")
