"""A shop that leaves its customers to `StorefrontSessions`, and what a test does in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2

from session_ctx_middleware import ContextDefaults, SessionContext, Transition
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.sessions.account import Account
from session_ctx_middleware.testing import FakeEmporix, Quirks

from ..support.shop import Shop
from ..support.virtual_time import WALL_START

__all__ = ["COOKIE", "JANE", "JOE", "KIM", "SECRET", "CustomerShop", "MakeShop", "platform"]

SECRET = "a secret that all workers of this shop share"
COOKIE = "__Host-storefront_session."
JANE = ("jane@example.com", "correct-horse")
JOE = ("joe@example.com", "battery-staple")
KIM = ("kim@example.com", "paper-clips")
MakeShop = Callable[..., Shop]
T = TypeVar("T")


def platform(appears: str = "login", **quirks: Any) -> FakeEmporix:
    """Return Emporix, whose contexts appear with the login or with the first cart."""
    now = WALL_START
    return FakeEmporix(
        context_at="cart" if appears == "cart" else "login",
        quirks=Quirks(**quirks),
        now=lambda: now + asyncio.get_running_loop().time(),
    )


class CustomerShop:
    """What happens in the pages of one browser, in one shop.

    Args:
        make_shop: builds it.
        emporix: the platform.
        options: keywords of the middleware, and as ``sessions`` those of `StorefrontSessions`.
    """

    def __init__(self, make_shop: MakeShop, emporix: FakeEmporix, **options: Any) -> None:
        self.sessions = StorefrontSessions("storefront", **options.pop("sessions", {}))
        options = {"secret_key": SECRET, "defaults": ContextDefaults(currency="EUR"), **options}
        self.emporix = emporix
        self.shop = make_shop(emporix=emporix, token=self.sessions, **options)

    async def do(self, work: Callable[[Any], Awaitable[T]], **options: Any) -> T:
        """Return what `work` makes of a request of the browser."""
        done: list[T] = []

        async def endpoint(_: SessionContext, request: Any) -> None:
            done.append(await work(request))

        await self.shop.visit(endpoint, method="POST", **options)
        return done[0]

    async def login(self, who: tuple[str, str] = JANE, **options: Any) -> Transition:
        return await self.do(lambda request: self.sessions.login(request, *who), **options)

    async def logout(self) -> Transition:
        return await self.do(self.sessions.logout)

    async def company(self, legal_entity_id: str | None) -> Transition:
        return await self.do(lambda request: self.sessions.switch_company(request, legal_entity_id))

    async def account(self) -> Account:
        return await self.do(self.sessions.account)

    async def page(self, **options: Any) -> dict[str, Any]:
        """Return what a page shows."""
        seen: dict[str, Any] = {}

        async def endpoint(ctx: SessionContext, _: Any) -> None:
            await ctx
            seen.update(ctx.to_dict(), customer=ctx.customer_id, session=ctx.session_id, pending=dict(ctx.pending))

        answer = await self.shop.visit(endpoint, **options)
        return {**seen, "cookies": answer.headers.get_list("set-cookie")}

    async def switch(self, **values: str) -> None:
        async def endpoint(ctx: SessionContext, _: Any) -> None:
            ctx.switch(**values)

        await self.shop.visit(endpoint, method="POST")

    async def note(self, **attributes: str) -> None:
        async def endpoint(ctx: SessionContext, _: Any) -> None:
            for key, value in attributes.items():
                ctx.set_attribute(key, value)

        await self.shop.visit(endpoint, method="POST")

    async def cart(self) -> str:
        """Create the session's cart, as the shop's own call does."""
        created: list[str] = []

        async def endpoint(ctx: SessionContext, _: Any) -> None:
            token = ctx._token
            assert token is not None
            async with self.emporix.client(httpx2, base_url="http://emporix.test") as client:
                answer = await client.post(
                    f"/cart/{self.emporix.tenant}/carts",
                    json={"currency": "EUR", "siteCode": "main"},
                    headers={"authorization": f"Bearer {token.value}"},
                )
            created.append(answer.json()["cartId"])
            await ctx.cart_created(created[0])

        async def first(ctx: SessionContext, request: Any) -> None:
            await ctx
            await endpoint(ctx, request)

        await self.shop.visit(first, method="POST")
        return created[0]

    def jar(self) -> dict[str, str]:
        """Return the session cookies of the browser."""
        return {each.name: each.value or "" for each in self.shop.browser.cookies.jar if each.name.startswith(COOKIE)}
