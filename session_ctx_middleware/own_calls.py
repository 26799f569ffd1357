"""What a request's context does for the shop's own calls to Emporix: `SessionContext.auth`.

Private to `reading` and `context`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from .checks import is_visible
from .emporix.shop_calls import SAAS_TOKEN, SESSION_ID, Given, ShopCall, ShopCalls
from .errors import ContextNotLoaded, ContextUnavailable, NoToken
from .frames import without_locals
from .lifecycle import THREAD_PATIENCE, RequestLifecycle
from .tokens import StorefrontToken

if TYPE_CHECKING:
    from .sessions.auth import ShopAuth

__all__ = ["OwnCalls"]

T = TypeVar("T")

NOTICED: Final = "noticed"


class OwnCalls(RequestLifecycle):
    """The part of a request that helps the shop to call Emporix for the shopper."""

    _renewing: asyncio.Task[StorefrontToken | None] | None = None
    """The search for another token, once Emporix has refused the one that a call went out with."""

    @property
    def auth(self) -> ShopAuth:
        """The shopper's credentials for the shop's own calls to Emporix.

        ``auth=ctx.auth`` with httpx and httpx2, ``middlewares=(ctx.auth,)`` with aiohttp, and with everything else
        ``ctx.auth.headers(method, url)``. A call with it makes the response private, as reading does.
        """
        from .sessions.auth import Caller, auth_for

        return auth_for(
            Caller(
                calls=_calls_of(*self._deps.place),
                given=self._given,
                given_at_once=self._given_at_once,
                another=self._another_for,
                another_at_once=self._another_at_once,
                notice=self._notice,
            )
        )

    # What a call goes out with

    @without_locals
    async def _given(self, call: ShopCall) -> Given:
        if self._is_abroad():
            return await self._at_home(self._given(call))
        self._touch_more()
        token = await self._credentials()
        if token is None:
            raise self._nothing_to_give()
        if SESSION_ID in _calls_of(*self._deps.place).wanted(call) and self._engine.session_of(token) is None:
            await self._load_ahead()  # the answer names the session, also where there is no context yet
        return self._give(call, self._token or token)

    @without_locals
    def _given_at_once(self, call: ShopCall) -> Given:
        if _running_loop() is not self._loop:
            return self._from_thread(self._given(call))
        self._touch_more()
        if not self._token_sought:
            if not self._deps.tokens.instant:
                raise ContextNotLoaded
            self._found = self._deps.tokens.now(self._scope)
            self._token_sought = True
        if self._token is None:
            raise self._nothing_to_give()
        return self._give(call, self._token)

    def _nothing_to_give(self) -> NoToken:
        self._brought_no_token()
        return NoToken()

    def _give(self, call: ShopCall, token: StorefrontToken) -> Given:
        wanted = _calls_of(*self._deps.place).wanted(call)
        session = self._engine.session_of(token) if SESSION_ID in wanted else None
        saas = self._deps.tokens.saas_token(token, self._visiting()) if SAAS_TOKEN in wanted else None
        more = {SESSION_ID: session, SAAS_TOKEN: saas}
        return Given(token.value, {name: value for name, value in more.items() if is_visible(value)})

    # Where Emporix has refused it

    async def _another_for(self, call: ShopCall, refused: Given) -> Given | None:
        """Return what a call goes out with once more, `None` where nobody has another token."""
        if self._is_abroad():
            return await self._at_home(self._another_for(call, refused))
        token = self._token
        if token is not None and token.value == refused.token:
            if self._renewing is None:
                self._renewing = self._loop.create_task(self._another_token(token))
            await asyncio.wait({self._renewing})  # unlike awaiting the task, this does not cancel it with the waiter
            self._renewing.result()
            token = self._token
        return None if token is None or token.value == refused.token else self._give(call, token)

    def _another_at_once(self, call: ShopCall, refused: Given) -> Given | None:
        if _running_loop() is self._loop:
            return None  # whoever blocks the event loop cannot wait for it
        return self._from_thread(self._another_for(call, refused))

    def _from_thread(self, work: Coroutine[object, object, T]) -> T:
        """Wait in a worker thread for work on the event loop that serves the request."""
        patience = self._deps.patience + THREAD_PATIENCE
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience)
        except TimeoutError:
            raise ContextUnavailable("The event loop did not find the shopper's token in time.") from None

    # Where it has created a cart

    def _notice(self, cart_id: str | None) -> None:
        """Look for the context in the background: a cart was created, or may have been."""
        if _running_loop() is self._loop:
            self._begin_noticing(cart_id)
        else:
            self._loop.call_soon_threadsafe(self._begin_noticing, cart_id)

    def _begin_noticing(self, cart_id: str | None) -> None:
        token = self._token
        if token is None or self._ended is not None or self._shows_cart(token, cart_id):
            return
        self._visiting()
        self._noticing = self._engine.shared(self._look_for_cart(token, cart_id), otherwise="cut short")

    async def _cart_was_created(self, token: StorefrontToken, cart_id: str | None) -> None:
        """Read the context that a new cart has made appear, and send what has waited for it."""
        if not await self._was_noticed(token, cart_id):
            found = await self._asked(
                token, lambda token, until, notes: self._engine.expect_cart(token, cart_id, until, notes)
            )
            self._learn(found)
        known = self._known
        self._tells_version = known is not None and known.document is not None
        await self._commit("cart_created", parks=True)

    async def _was_noticed(self, token: StorefrontToken, cart_id: str | None) -> bool:
        """Tell whether a call with `auth` has created a cart, and the context that shows it has been read."""
        noticing = self._noticing
        return noticing is not None and await noticing.get() == NOTICED and self._shows_cart(token, cart_id)

    def _shows_cart(self, token: StorefrontToken, cart_id: str | None) -> bool:
        """Tell whether a cart is no news, so that finding it with every page costs nothing."""
        known = self._engine.view(token, self._notes())
        shown = None if known is None or known.document is None else known.document.cart_id
        return shown is not None and cart_id in {None, shown}

    async def _look_for_cart(self, token: StorefrontToken, cart_id: str | None) -> Exception | str:
        try:
            reading, _ = self._engine.budgets()
            with reading as until:
                found = await self._engine.expect_cart(token, cart_id, until, self._notes())
            if not found.degraded and self._ended is None and self._token == token:
                self._known, self._tells_version = found, found.document is not None
            if self._cannot_answer and not self._changes and self._drains():
                await self._commit("cart_created", parks=True)
        except Exception as error:  # noqa: BLE001 - it is the shop's call that counts; the next page looks again
            self._emit("commit.unexpected", "cart_created", type(error).__name__)
            return error
        return NOTICED


_calls_of = lru_cache(16)(lambda tenant, base_url: ShopCalls(base_url, tenant))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
