"""The session context of one request: the whole public face of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self

from .engine import Commit, without_token
from .errors import ContextUnavailable, NoToken, TokenRejected
from .forms import PlainForm
from .model.changes import NO_CHANGES
from .model.document import ATTRIBUTE_PREFIX, REMOVED
from .model.fields import checked_attribute, checked_key, checked_switch
from .model.transition import Transition
from .reading import ContextReading
from .recording import batch_of_changes, recording
from .tokens import StorefrontToken, checked_token

__all__ = ["SessionContext"]


class SessionContext(ContextReading, PlainForm):
    """The Emporix session context of this request: ``request.state.session_ctx``.

    ``await ctx`` loads it; reading is then plain attribute access. Changes are recorded without waiting, are visible
    at once, and leave as one PATCH before the response starts.
    """

    def _outline(self) -> str:
        return "loaded" if self._known is not None else "not loaded"

    # Loading

    def __await__(self) -> Generator[object, None, Self]:
        if not self._used:
            self._touch()
        if not self._load_now():
            yield from self._load().__await__()
        return self

    async def load(self, *, required: bool = False) -> Self:
        """Load the context: from the cache, or with one GET that concurrent requests of the session share.

        Args:
            required: raise instead of leaving a degraded or rejected context, or an empty one for want of a token.

        Raises:
            NoToken: `required`, and the request brought no token.
            ContextUnavailable: `required`, and Emporix could not be asked.
            TokenRejected: `required`, and Emporix refused the token.
        """
        self._touch()
        await self._load_ahead()
        if required:
            known = self._read_more()
            if self._token is None:
                raise NoToken
            if known.degraded:
                raise ContextUnavailable("Emporix could not be asked for the session context, and no copy is left.")
            if known.rejected:
                raise TokenRejected("context.get", 401, "the shopper has to log in again")
        return self

    async def refresh(self) -> Self:
        """Read the context again from Emporix, past every cache; what Emporix fails to say stays as it was known."""
        if self._is_abroad():
            return await self._at_home(self.refresh())
        self._touch()
        token = await self._credentials()
        if token is None:
            self._brought_no_token()
            self._learn(without_token(self._notes()))
        else:
            self._learn(await self._asked(token, self._engine.refresh))
        return self

    @property
    def is_loaded(self) -> bool:
        """Whether values can be read."""
        return self._known is not None

    @property
    def has_token(self) -> bool:
        """Whether the request brought a token; without one the context is empty, and nothing is asked."""
        self._read_more()
        return self._token is not None

    def share_by_variant(self, max_age: int) -> None:
        """Let shared caches keep this page for all guests who see the same site, currency, language and location.

        The response stays private where that would be wrong: for customers, where anything else was read, where
        something was changed or is pending, a cookie is set, and where the request does not bring the variant that it
        shows.

        Args:
            max_age: seconds for which caches may keep it; browsers ask each time.

        Raises:
            ValueError: that is no whole number from 0.
        """
        if type(max_age) is not int or max_age < 0:
            raise ValueError("share_by_variant(max_age) takes whole seconds, from 0.")
        self._touch()
        self._shares_for = max_age
        self._deps.sharing.begin()

    # Recording changes

    def switch(
        self,
        *,
        site_code: str | None = None,
        currency: str | None = None,
        language: str | None = None,
        target_location: str | None = None,
    ) -> None:
        """Record new values; what is `None` stays as it is.

        Args:
            site_code: code of a site, 1 to 64 characters without blanks and ``#``.
            currency: three upper-case letters.
            language: a BCP 47 tag.
            target_location: two upper-case letters.

        Raises:
            InvalidChange: a value has another form; then none is recorded.
            ContextSealed: the response has started.
        """
        self._record_switches(
            site_code=site_code,
            currency=currency,
            language=language,
            target_location=target_location,
        )

    def switch_site(
        self,
        code: str,
        *,
        currency: str | None = None,
        language: str | None = None,
        target_location: str | None = None,
    ) -> None:
        """Record another site, and what goes with it; see `switch`."""
        self.switch(site_code=code, currency=currency, language=language, target_location=target_location)

    def switch_currency(self, currency: str) -> None:
        """Record another currency; see `switch`."""
        self._record("currency", checked_switch("currency", currency))

    def switch_language(self, language: str) -> None:
        """Record another language; see `switch`."""
        self._record("language", checked_switch("language", language))

    def switch_location(self, location: str) -> None:
        """Record another country; see `switch`."""
        self._record("target_location", checked_switch("target_location", location))

    def set_attribute(self, key: str, value: str | Mapping[str, object]) -> None:
        """Record a custom attribute.

        Args:
            key: 1 to 64 printable characters.
            value: a string or a JSON object; it is copied. At most 64 attributes and 8 KiB in one request.

        Raises:
            InvalidChange: key or value have another form, or there is no room.
            ContextSealed: the response has started.
        """
        self._record(ATTRIBUTE_PREFIX + checked_key(key), checked_attribute(value))

    def remove_attribute(self, key: str) -> None:
        """Record that a custom attribute shall go; see `set_attribute`."""
        self._record(ATTRIBUTE_PREFIX + checked_key(key), REMOVED)

    def discard(self) -> None:
        """Forget this request's changes."""
        with recording:
            self._changes = NO_CHANGES

    @asynccontextmanager
    async def late_changes(self) -> AsyncIterator[SessionContext]:
        """Record changes after the response has started: a batch that is committed when the block ends.

        For streaming bodies and background tasks. What Emporix cannot take now is parked; when the block raises,
        its changes are discarded.

        Raises:
            TokenRejected: Emporix refused the token.
            ChangeRefused: Emporix refused the changes.
        """
        batch: set[str] = set()
        before = self._changes.ids
        self._batches = (*self._batches, batch)
        mine = batch_of_changes.set(batch)
        try:
            yield self
        except BaseException:
            self._discard_batch(batch, before)
            raise
        finally:
            self._batches = tuple(each for each in self._batches if each is not batch)
            with suppress(ValueError):  # a generator may be continued, and is closed, in another context
                batch_of_changes.reset(mine)
        await self._commit_late()

    # Sending them

    async def commit(self) -> Commit:
        """Send this request's changes, and what was parked, now.

        Returns:
            `Commit.APPLIED`, `Commit.ALREADY`, `Commit.PARKED` (there is no context yet, or Emporix asked for a
            pause), or `Commit.NOTHING`.

        Raises:
            NoToken: the request brought no token; the changes are dropped.
            ContextUnavailable: Emporix did not take them in time; they stay recorded, and are parked at the end.
            CommitConflict: others kept changing the context; they stay recorded, and are parked at the end.
            TokenRejected: Emporix refused the token; the changes are dropped.
            ChangeRefused: Emporix refused the changes; they are dropped.
        """
        outcome = await self._commit("commit", parks=False)
        if outcome.error is not None:
            raise outcome.error
        return outcome.commit or Commit.NOTHING

    async def cart_created(self, cart_id: str | None = None) -> SessionContext:
        """Say that the app has created a cart: the context is read again, and what was parked is sent.

        Args:
            cart_id: the new cart. Emporix may need a moment until the context shows it; it is asked up to three
                times within the reading deadline.
        """
        if self._is_abroad():
            return await self._at_home(self.cart_created(cart_id))
        self._touch()
        token = await self._credentials()
        if token is None:
            self._brought_no_token()
            self._learn(without_token(self._notes()))
            return self
        await self._cart_was_created(token, cart_id)
        return self

    async def forget(self) -> None:
        """Drop everything cached, parked or recorded for this session: the shopper logs out."""
        if self._is_abroad():
            await self._at_home(self.forget())
        else:
            await self._end(await self._credentials(), self._next_era())

    async def adopt(self, token: StorefrontToken) -> Transition:
        """Go on with another token of the shopper: the shop has logged him in or out, or has refreshed the token.

        What he has chosen, and what waits for Emporix, goes along, also to another session. What belonged to another
        customer is shown to nobody any more, on any worker. Emporix is asked whose the token is, unless that is known.

        Args:
            token: the one that later requests bring; the shop has to see to that.

        Returns:
            What has become of session, choices and cart.

        Raises:
            ConfigurationError: this is no token that can be sent.
            ContextSealed: the response has started.
        """
        if self._is_abroad():
            return await self._at_home(self.adopt(token))
        self._may_move()
        return await self._go_over(checked_token(token))
