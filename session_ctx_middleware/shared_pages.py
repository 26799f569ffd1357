"""The part of a request that lets caches keep its page for everybody who would see the same.

Private to `reading`, `context` and `middleware`.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Message, Scope

from .http_cache import Headers, Vary
from .model.fields import SWITCHES
from .model.transition import customer_of
from .model.view import Snapshot
from .moving import Moving
from .navigation import SAFE
from .privacy import protected
from .server_timing import server_timing
from .variants import brought_cookie, brought_header, made_shared, variant_cookie, variant_of

__all__ = ["SharedPages", "is_customer"]

NOT_OURS: Final = "the application's headers"
PAGES: Final = frozenset({200, 203, 204, 300, 301, 304, 308, 404, 410})
"""The status of what caches may keep without being told to (RFC 9110, section 15.1), and that is a whole page.

304 says the same of a page that a cache has. Others are about one request: whoever makes such a one must not have its
answer shown to everybody.
"""


class SharedPages(Moving):
    """Decides whether a response is the same for all guests of a variant."""

    _shares_for: int | None = None
    """Seconds for which caches may keep the response, where the application wants that."""
    _shared_as: str | None = None
    """The variant of which the response is everybody's."""

    def _touch_late(self, response: Message) -> bool:
        if not self._is_shared:
            return super()._touch_late(response)
        if self._known is not None and (is_customer(self._known) or self._named(self._known) != self._shared_as):
            self._check_late()
        return False  # what is read next may be something else

    def _read_more(self) -> Snapshot:
        """Return what was loaded to whoever reads something that only this shopper has."""
        self._check_late()
        self._saw_more = True
        return self._read()

    def _response_start(self, message: Message, vary: Vary, scope: Scope, *cookies: tuple[bytes, bytes]) -> Message:
        """Return the message that starts a response which depends on the context: private, or shared by variant.

        It also tells of the variant where it changes what the shopper sees, or may have.
        """
        if self._shares_for is None:
            if not (cookies or self._deps.sharing.begun or self._has_moved or self._told.operations):
                if not self._deps.server_timing:
                    return protected(message, vary, self._deps)  # as with almost every response
                return protected(message, vary, self._deps, *self._timings())
            return protected(message, vary, self._deps, *cookies, *self._variant_cookies(), *self._timings())
        variant = self._variant()
        why = "a cookie is set" if cookies else self._keeps_private(variant, message["status"], scope["method"])
        shared = None if why else made_shared(message.get("headers", ()), self._shares_for)
        if shared is not None:
            # Whatever is read from now on is compared with what was shared: see `_touch_late`.
            self._is_shared, self._shared_as, self._used = True, variant, False
            return {**message, "headers": shared}
        self._emit("share.refused", "respond", why or NOT_OURS)
        return protected(message, vary, self._deps, *cookies, *self._variant_cookies(), *self._timings())

    def _timings(self) -> Headers:
        """Return the field that says what the context has cost; a page for everybody has none, as it is kept."""
        if not self._deps.server_timing:
            return []
        reading, committing = (0.0, 0.0) if self._budgets is None else (each.spent for each in self._budgets)
        return server_timing(
            (("session-ctx", reading, self._load_result), ("session-ctx-commit", committing, self._commit_result))
        )

    def _variant(self) -> str | None:
        """Return what stands for what this guest sees; `None` for customers, and where nobody knows."""
        known = self._known
        if known is None or known.degraded or known.rejected or self._has_moved or is_customer(known):
            return None
        return self._named(known)

    def _named(self, known: Snapshot) -> str:
        """Return what stands for the values that show."""
        return variant_of(self._deps.place[0], {name: self._shown_value(name, known) for name in SWITCHES})

    def _keeps_private(self, variant: str | None, status: int, method: str) -> str:
        """Return why a response has to stay its shopper's own; empty where it need not."""
        known = self._known
        if variant is None or known is None:
            return "no guest"
        if self._saw_more:
            return "more was read"
        if self._changes.operations or known.parked.operations or self._told.operations:
            return "changes are pending"
        if self._has_shifted:  # and nobody knows which of the values the page shows
            return "values have changed"
        if status not in PAGES or method not in SAFE:
            return "no page"
        asked = {brought_header(self._scope), brought_cookie(self._scope)}
        return "" if asked == {variant} else "no variant" if asked <= {""} else "another variant"

    def _variant_cookies(self) -> Headers:
        """Return the field that brings the browser up to date, where it is not."""
        brought = brought_cookie(self._scope)
        if not brought and self._shares_for is None:
            return []
        variant = self._variant()
        if self._known is None or self._known.stale or self._known.degraded:
            # Who may have seen something newer elsewhere, or is not known at all, keeps what he has. But where he has
            # chosen, or is somebody else from now on, that is wrong in any case.
            if not (self._has_moved or self._told.switches().operations):
                return []
            variant = None
        if brought == (variant or ""):
            return []
        return [variant_cookie(self._scope, variant, https_only=self._deps.https_only)]


def is_customer(known: Snapshot) -> bool:
    """Tell whether a session belongs to a customer."""
    return known.document is not None and customer_of(known.document) is not None
