"""A browser that carries its cookies from one worker to the next, and what is in them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx2
import jwt
from starlette.requests import Request

from session_ctx_middleware import SessionContext, cbor
from session_ctx_middleware import continuity as module
from session_ctx_middleware.model.fields import SWITCHES
from session_ctx_middleware.sealing import Keyring, tenant_tag

from ..support.shop import Handler, Shop

__all__ = [
    "OTHER_SECRET",
    "PREFIX",
    "SECRET",
    "Browser",
    "again",
    "attribute",
    "choosing",
    "everything",
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

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.cookies: dict[str, str] = {}
        self.last: list[str] = []

    async def visit(self, shop: Shop, handler: Handler) -> httpx2.Response:
        return self.receive(await self.send(shop, handler))

    def send(self, shop: Shop, handler: Handler) -> asyncio.Task[httpx2.Response]:
        """Send a request with the cookies of this moment; the answer counts for nothing until it is received."""
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": sent} if sent else None
        return asyncio.create_task(self._answer(shop, handler, self.token, headers))

    async def _answer(
        self, shop: Shop, handler: Handler, token: str | None, headers: dict[str, str] | None
    ) -> httpx2.Response:
        shop.browser.cookies.clear()
        return await shop.visit(handler, token=token, headers=headers)

    def receive(self, response: httpx2.Response) -> httpx2.Response:
        """Take the cookies of an answer, whenever that arrives."""
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


def choosing(seconds: float = 0.0, /, **values: str) -> Handler:
    """Return an endpoint that works for so long, then sets these attributes and switches."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await asyncio.sleep(seconds)
        for name, value in values.items():
            if name in SWITCHES:
                ctx.switch(**{name: value})
            else:
                ctx.set_attribute(name, value)

    return endpoint


async def everything(ctx: SessionContext, _: Request) -> str:
    """Show all that the tests choose, in one line."""
    await ctx
    attributes = [f"{key}={value}" for key, value in sorted(ctx.attributes.items())]
    return " ".join([ctx.currency or "-", ctx.language or "-", *attributes])


def payload(cookie: str) -> dict[str, Any]:
    part = cookie.split(".")[1]
    data: Any = cbor.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return dict(data)


def signed(data: dict[str, Any], secret: str = SECRET) -> str:
    key = Keyring([secret.encode()], "acme", "https://api.emporix.io").signing_keys(module.PURPOSE)[0]
    return jwt.PyJWS().encode(cbor.dumps(data), key, "HS256")
