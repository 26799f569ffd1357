"""Recording changes of the session context of one request: checked at once, sent later."""

from __future__ import annotations

import secrets
import threading
from abc import abstractmethod
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from starlette.types import Message

from .clock import Clock, Stamps
from .errors import ContextSealed
from .model.changes import NO_CHANGES, Operation
from .model.document import ATTRIBUTE_PREFIX, REMOVED, SWITCHES, Value
from .model.fields import check_room, checked_attribute, checked_key, checked_switch
from .reading import ReadableContext

__all__ = ["WritableContext", "batch_of_changes"]

# Synchronous endpoints record from worker threads, and one request may have several.
_recording: Final = threading.Lock()

batch_of_changes: Final[ContextVar[set[str] | None]] = ContextVar("session_ctx_batch", default=None)
"""The operation ids of the `late_changes` block that the running code is in."""


class WritableContext(ReadableContext):
    """What a request wants to change in its session context."""

    _late = 0
    sealed = False
    """Whether the response has started, so that changes can only be made by `late_changes`."""
    response: Message | None = None
    """The message that started the response."""
    used = False
    """Whether the response depends on the context: a value was read, or a change made."""

    @property
    @abstractmethod
    def _clock(self) -> Clock:
        """Return where time comes from."""

    @property
    @abstractmethod
    def _stamps(self) -> Stamps:
        """Return where the moments of changes come from."""

    @abstractmethod
    def _seen(self) -> float:
        """Return the latest moment of a change that the browser brought along."""

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
        given = zip(SWITCHES, (site_code, currency, language, target_location), strict=True)
        values = {field: checked_switch(field, value) for field, value in given if value is not None}
        for field, value in values.items():
            self._record(field, value)

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
        self._changes = NO_CHANGES

    def _record(self, path: str, value: Value) -> None:
        if self.sealed and not self._late:
            raise ContextSealed
        seen = self._seen()
        with _recording:
            at = self._stamps.next(seen)
            operation = Operation(value, secrets.token_hex(8), at=at, recorded=self._clock.monotonic())
            changes = self._changes.recorded(path, operation)
            if path.startswith(ATTRIBUTE_PREFIX):
                check_room(changes.attributes_over({}).items())
            self._changes = changes
        batch = batch_of_changes.get()
        if batch is not None:
            batch.add(operation.op_id)
        self.used = True
