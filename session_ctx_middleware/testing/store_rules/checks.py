"""What rules for stores are made of: names, documents, changes, and waiting for what others are told."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ...clock import Clock
from ...model.changes import ContextChanges
from ...model.document import REMOVED, ContextDocument, Value
from ...model.frozen_json import freeze
from ...model.operation import Operation
from ...stores.protocol import Attachment, ContextStore, Notice, Stored

__all__ = [
    "LONG",
    "PATIENCE",
    "RICH",
    "SHORT",
    "MakeStore",
    "Rules",
    "a_session",
    "a_token",
    "check",
    "comparable",
    "document",
    "document_of",
    "loaded",
    "version",
]

MakeStore: TypeAlias = Callable[[], Awaitable[ContextStore]]

LONG: Final = 60.0
SHORT: Final = 0.3
PATIENCE: Final = 5.0


class Rules:
    """One method per rule; names that begin with an underscore are none.

    Args:
        clock: of the stores under test.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def _changes(self, offset: float = 0.0, /, **values: object) -> ContextChanges:
        """Return changes that were made `offset` seconds from now."""
        at, recorded = self._clock.time() + offset, self._clock.monotonic() + offset
        return ContextChanges(
            {path: Operation(_value(value), secrets.token_hex(8), at, recorded) for path, value in values.items()}
        )

    async def _hear(self, make_store: MakeStore, act: Callable[[ContextStore], Awaitable[None]]) -> list[Notice]:
        """Return what other workers hear, perhaps twice, when one does something; that one itself must hear nothing."""
        one, other, third = await make_store(), await make_store(), await make_store()
        own, _ = await self._attached(one)
        heard, _ = await self._attached(other)
        also, _ = await self._attached(third)
        await act(one)
        await self._until(lambda: bool(heard and also))
        await self._clock.sleep(0.05)
        assert own == [], "who does something is not told about it"
        assert set(heard) == set(also)
        return heard

    async def _attached(self, store: ContextStore) -> tuple[list[Notice], Attachment]:
        heard: list[Notice] = []
        attachment = store.attach(heard.append)
        await self._until(lambda: attachment.connected)
        return heard, attachment

    async def _until(self, condition: Callable[[], bool]) -> None:
        for _ in range(int(PATIENCE / 0.01)):
            if condition():
                return
            await self._clock.sleep(0.01)
        raise AssertionError("this did not happen in time")


def a_token() -> str:
    """Return a name of a token that nobody else uses."""
    return f"token-{secrets.token_hex(16)}"


def a_session() -> str:
    """Return a name of a session that nobody else uses."""
    return f"session-{secrets.token_hex(16)}"


def document(version: int) -> ContextDocument:
    """Return a document whose content shows its version."""
    return ContextDocument(version, session_id="s", cart_id=f"cart-{version}", created_at="2026-01-01T00:00:00Z")


RICH: Final = ContextDocument.parse(
    '{"sessionId": "s", "customerId": "ANONYMOUS", "siteCode": "main", "currency": "EUR", "language": "de-CH",'
    ' "targetLocation": "CH", "cartId": "c", "context": {"größe": "☃ \\u0000 \\ud83d\\ude00", "n": {"a": [1, 1.0,'
    ' true, null, "x"]}}, "metadata": {"version": 12345678901, "createdAt": "2026-01-01T00:00:00Z"}, "new": {"k": []}}'
)


def _value(value: object) -> Value:
    return REMOVED if value is REMOVED else freeze(value)


async def loaded(store: ContextStore, name: str) -> Stored:
    """Return what a store has under a name, which must be something."""
    stored = await store.load(name)
    assert stored is not None, "something was kept here"
    return stored


def document_of(stored: Stored | None) -> ContextDocument | None:
    """Return the document of what a store has, `None` where there is none."""
    return None if stored is None else stored.document


def version(stored: Stored | None) -> int | None:
    """Return the version of the document, `None` where there is none."""
    document = document_of(stored)
    return None if document is None else document.version


def check(stored: Stored) -> None:
    """Check that a document is not below its floor, and is the one of its version."""
    if stored.document is not None:
        assert stored.document.version >= stored.floor
        assert stored.document.cart_id == f"cart-{stored.document.version}", "a payload belongs to its version"


def comparable(changes: ContextChanges) -> dict[str, tuple[object, str, float]]:
    """Return changes as plain values, which are equal where the changes are."""
    return {path: (change.value, change.op_id, round(change.at, 3)) for path, change in changes.operations.items()}
