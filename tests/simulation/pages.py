"""The pages of the shop: what an application does with the context of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from session_ctx_middleware import SessionContext, SessionContextError

from .fleet import Request
from .history import ATTRIBUTES, PATHS, SWITCHES

__all__ = ["Page", "Plan"]

KEYS = tuple((path, path.removeprefix("attributes.")) for path in ATTRIBUTES)


@dataclass(slots=True, eq=False)
class Plan:
    """What one request is for, and what it has seen.

    Args:
        wishes: new values by path.
        slow: seconds that the page takes for itself.
        appears: lets Emporix create the context, as a cart does that the application creates.
        values: what the page showed, empty where it showed nothing.
        done: whether the changes were reported as made before the response.
    """

    wishes: dict[str, str | None] = field(default_factory=dict)
    slow: float = 0.0
    appears: Callable[[], None] | None = None
    values: dict[str, object] = field(default_factory=dict)
    flags: tuple[str | None, bool, bool, bool, bool] = (None, False, False, False, False)

    def read(self, ctx: SessionContext) -> None:
        """Note what the context shows."""
        attributes = ctx.attributes
        values: dict[str, object] = {path: getattr(ctx, path) for path in SWITCHES}
        for path, key in KEYS:
            values[path] = attributes.get(key)
        self.values = values
        self.flags = (ctx.session_id, ctx.is_stale, ctx.is_degraded, ctx.is_rejected, ctx.exists)

    def wish(self, ctx: SessionContext) -> None:
        """Record the changes."""
        for path, value in self.wishes.items():
            if path in SWITCHES:
                ctx.switch(**{path: value})
            elif value is None:
                ctx.remove_attribute(path.removeprefix("attributes."))
            else:
                ctx.set_attribute(path.removeprefix("attributes."), value)

    # Pages

    async def page(self, ctx: SessionContext, request: Request) -> int:
        """Show the context."""
        await ctx
        self.read(ctx)
        return 200

    async def slow_page(self, ctx: SessionContext, request: Request) -> int:
        """Show the context at the beginning, and be done much later."""
        await ctx
        self.read(ctx)
        await request.pause(self.slow)
        return 200

    async def late_page(self, ctx: SessionContext, request: Request) -> int:
        """Ask for the context only after a while, several times at once."""
        await request.pause(self.slow)
        await asyncio.gather(ctx.load(), ctx.load(), ctx.load())
        self.read(ctx)
        return 200

    async def switch(self, ctx: SessionContext, request: Request) -> int:
        """Change something without looking first."""
        self.wish(ctx)
        return 303

    async def slow_switch(self, ctx: SessionContext, request: Request) -> int:
        """Change something at once, and be done much later."""
        self.wish(ctx)
        await request.pause(self.slow)
        return 303

    async def look_and_switch(self, ctx: SessionContext, request: Request) -> int:
        """Look, think, change."""
        await ctx
        self.read(ctx)
        await request.pause(self.slow)
        self.wish(ctx)
        return 303

    async def switch_and_look(self, ctx: SessionContext, request: Request) -> int:
        """Send the change before the page is made, and show what has become of it."""
        self.wish(ctx)
        try:
            await ctx.commit()
        except SessionContextError:
            return 200
        await ctx
        await request.pause(self.slow)
        self.read(ctx)
        return 200

    async def streamed(self, ctx: SessionContext, request: Request) -> int:
        """Begin the response, and change something while its body is on its way."""
        await request.start(200)
        await request.pause(self.slow)
        with suppress(SessionContextError):
            async with ctx.late_changes():
                self.wish(ctx)
        return 0

    async def refresh(self, ctx: SessionContext, request: Request) -> int:
        """Show what Emporix says now."""
        await ctx.refresh()
        self.read(ctx)
        return 200

    async def cart(self, ctx: SessionContext, request: Request) -> int:
        """Create a cart, and with it the context."""
        self.wish(ctx)
        assert self.appears is not None
        self.appears()
        await ctx.cart_created()
        return 200

    async def broken(self, ctx: SessionContext, request: Request) -> int:
        """Change something, then fail."""
        self.wish(ctx)
        return 500

    async def logout(self, ctx: SessionContext, request: Request) -> int:
        """Log out."""
        await request.pause(self.slow)
        await ctx.forget()
        return 303

    async def untouched(self, ctx: SessionContext, request: Request) -> int:
        """Do something that has nothing to do with the context."""
        await request.pause(self.slow)
        return 200


Page = Callable[[SessionContext, Request], Awaitable[int]]

assert set(PATHS) == {*SWITCHES, *ATTRIBUTES}
