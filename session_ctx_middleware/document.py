"""The session context as Emporix holds it, and the changes a request wants to make to it. Pure: no I/O, no clock."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from .frozen_json import EMPTY, Json, dumps, loads, same
from .validation import checked_attribute, checked_switch
from .wire import code_at, frozen, mapping_at, text_at, version_of

__all__ = [
    "ATTRIBUTE_PREFIX",
    "NO_CHANGES",
    "REMOVED",
    "SWITCHES",
    "ContextChanges",
    "ContextDocument",
    "OnConflict",
    "Operation",
    "Removed",
    "Value",
]

SWITCHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "site_code": "siteCode",
        "currency": "currency",
        "language": "language",
        "target_location": "targetLocation",
    }
)
"""The four fields a shopper can switch, and their names at Emporix."""

ATTRIBUTE_PREFIX: Final = "attributes."
"""What the path of a custom attribute starts with."""


class Removed(enum.Enum):
    """The value of an attribute that is not, or shall no longer be, there."""

    token = 0


REMOVED: Final = Removed.token

Value: TypeAlias = "Json | Literal[Removed.token]"
OnConflict: TypeAlias = "Callable[[str, Value, Value, Value], Value]"


@dataclass(frozen=True, slots=True, repr=False)
class ContextDocument:
    """One version of a session context, as Emporix sent it; nothing in it can be changed.

    Args:
        version: ``metadata.version``, raised by Emporix with every write.
        session_id: the session this context belongs to.
        customer_id: the customer, ``"ANONYMOUS"`` or ``None`` for a guest.
        site_code: the site.
        currency: ISO 4217 code.
        language: language tag; Emporix does not fix the case.
        target_location: ISO 3166-1 alpha-2 country code.
        cart_id: the active cart, where there is one.
        attributes: the custom attributes (``context`` at Emporix).
        created_at: when the context was created, as Emporix writes it.
        modified_at: when it was last changed, as Emporix writes it.
        extra: top-level keys that this version of the package does not know.
    """

    version: int
    session_id: str | None = None
    customer_id: str | None = None
    site_code: str | None = None
    currency: str | None = None
    language: str | None = None
    target_location: str | None = None
    cart_id: str | None = None
    attributes: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    created_at: str | None = None
    modified_at: str | None = None
    extra: Mapping[str, Json] = field(default_factory=lambda: EMPTY)

    @classmethod
    def parse(cls, raw: bytes | str) -> ContextDocument:
        """Read a document from the body of an answer.

        Args:
            raw: the JSON text.

        Returns:
            The document.

        Raises:
            ValueError: not JSON, not an object, a known key of another type, or no usable version.
        """
        data = loads(raw)
        if not isinstance(data, dict):
            raise ValueError("not a JSON object")
        metadata = mapping_at(data, "metadata")
        return cls(
            version=version_of(metadata.get("version")),
            session_id=text_at(data, "sessionId"),
            customer_id=text_at(data, "customerId"),
            site_code=code_at(data, "siteCode"),
            currency=code_at(data, "currency"),
            language=code_at(data, "language"),
            target_location=code_at(data, "targetLocation"),
            cart_id=text_at(data, "cartId"),
            attributes=mapping_at(data, "context"),
            created_at=text_at(metadata, "createdAt"),
            modified_at=text_at(metadata, "modifiedAt"),
            extra=frozen({key: value for key, value in data.items() if key not in _KNOWN}),
        )

    def to_wire(self) -> dict[str, object]:
        """Return the document under the names that Emporix uses, without keys that have no value."""
        metadata = {"version": self.version, "createdAt": self.created_at, "modifiedAt": self.modified_at}
        body: dict[str, object] = {
            "sessionId": self.session_id,
            "customerId": self.customer_id,
            **{wire: getattr(self, field) for field, wire in SWITCHES.items()},
            "cartId": self.cart_id,
            "context": dict(self.attributes) or None,
            "metadata": {key: value for key, value in metadata.items() if value is not None},
            **self.extra,
        }
        return {key: value for key, value in body.items() if value is not None}

    @property
    def identity(self) -> tuple[str | None, str | None]:
        """What tells this context from one that was created anew in the same session, where versions restart."""
        return (self.session_id, self.created_at)

    def value_at(self, path: str) -> Value:
        """Return what stands at the path of a change: a field, or ``attributes.<key>``."""
        if path.startswith(ATTRIBUTE_PREFIX):
            return self.attributes.get(path.removeprefix(ATTRIBUTE_PREFIX), REMOVED)
        value: str | None = getattr(self, path)
        return value

    def __repr__(self) -> str:
        return f"<ContextDocument version={self.version}>"


_KNOWN: Final = frozenset({"sessionId", "customerId", *SWITCHES.values(), "cartId", "context", "metadata"})


@dataclass(frozen=True, slots=True, repr=False)
class Operation:
    """One recorded change of one field.

    Args:
        value: what the field shall hold; `REMOVED` for an attribute that shall go.
        op_id: tells this change from every other one, also of the same field.
        at: seconds since the epoch when it was recorded, for its age.
        recorded: monotonic seconds of this process when it was recorded, for its order: only a document asked for
            after that can prove that the change is already there.
    """

    value: Value
    op_id: str
    at: float
    recorded: float


@dataclass(frozen=True, slots=True, repr=False)
class ContextChanges:
    """Changes of a session context, the last one of each field; immutable.

    Args:
        operations: path of the field to its change. A path is ``site_code``, ``currency``, ``language``,
            ``target_location`` or ``attributes.<key>``.
    """

    operations: Mapping[str, Operation] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[str]:
        return iter(self.operations)

    def __repr__(self) -> str:
        return f"<ContextChanges of {len(self.operations)} fields>"

    def get(self, path: str) -> Operation | None:
        """Return the change of a path, ``None`` where there is none."""
        return self.operations.get(path)

    def over(self, older: ContextChanges) -> ContextChanges:
        """Return both, with these winning over `older` ones of the same field."""
        if not older.operations:
            return self
        if not self.operations:
            return older
        return ContextChanges({**older.operations, **self.operations})

    def newest(self, other: ContextChanges) -> ContextChanges:
        """Return both; of two changes of one field the one recorded later, these where that is equal."""
        if not other.operations:
            return self
        merged = dict(other.operations)
        for path, operation in self.operations.items():
            if path not in merged or merged[path].recorded <= operation.recorded:
                merged[path] = operation
        return ContextChanges(merged)

    def without(self, op_ids: Collection[str]) -> ContextChanges:
        """Return the changes but those with these operation ids."""
        return self._where(lambda _, operation: operation.op_id not in op_ids)

    def recorded(self, path: str, operation: Operation) -> ContextChanges:
        """Return these changes and one more, which replaces an earlier one of its field."""
        return ContextChanges({**self.operations, path: operation})

    def minus(self, other: ContextChanges) -> ContextChanges:
        """Return what is left once `other` is settled: without those very changes, and earlier ones of their fields.

        A later change of the same field, or another one made at the same moment, stays.
        """

        def stays(path: str, operation: Operation) -> bool:
            settled = other.operations.get(path)
            return settled is None or (operation.op_id != settled.op_id and operation.recorded >= settled.recorded)

        return self._where(stays)

    def within(self, attributes: int, size: int) -> ContextChanges:
        """Return the changes without the earliest attributes that are more than `attributes`, or than `size` bytes."""
        room = size
        kept = {path: operation for path, operation in self.operations.items() if not path.startswith(ATTRIBUTE_PREFIX)}
        others = [(path, operation) for path, operation in self.operations.items() if path not in kept]
        for path, operation in sorted(others, key=lambda item: -item[1].recorded)[:attributes]:
            value = None if isinstance(operation.value, Removed) else operation.value
            room -= len(path) + len(dumps(value))
            if room < 0:
                break
            kept[path] = operation
        return self._where(lambda path, _: path in kept)

    def since(self, moment: float) -> ContextChanges:
        """Return the changes recorded at or after `moment` (seconds since the epoch)."""
        return self._where(lambda _, operation: operation.at >= moment)

    def missing_from(self, document: ContextDocument, asked_at: float = math.inf) -> ContextChanges:
        """Return the changes that a document does not prove to be there already.

        Args:
            document: a document that came from a GET.
            asked_at: monotonic seconds when that GET was sent; it proves nothing about later changes.
        """
        return self._where(
            lambda path, operation: asked_at <= operation.recorded or not same(document.value_at(path), operation.value)
        )

    def rebase(
        self, base: ContextDocument, latest: ContextDocument, on_conflict: OnConflict | None = None
    ) -> ContextChanges:
        """Return what is still to be sent when the context turns out to be `latest` instead of `base`.

        Args:
            base: the document these changes were sent against.
            latest: the document as it is now, fetched after the changes were recorded.
            on_conflict: decides where somebody else changed the same field:
                ``f(field, base, ours, theirs) -> value``. Without it ours wins.

        Returns:
            The changes that `latest` does not show already.

        Raises:
            InvalidChange: `on_conflict` returned what the field cannot hold.
        """
        left: dict[str, Operation] = {}
        for path, operation in self.operations.items():
            theirs = latest.value_at(path)
            wanted = operation.value
            if same(theirs, wanted):
                continue
            old = base.value_at(path)
            if on_conflict is not None and not same(theirs, old):
                wanted = on_conflict(path, old, wanted, theirs)
                if same(theirs, wanted):
                    continue
                wanted = _checked(path, wanted)
            left[path] = operation if wanted is operation.value else replace(operation, value=wanted)
        return ContextChanges(left)

    def held(self, document: ContextDocument, sent: ContextChanges) -> ContextChanges:
        """Return what Emporix holds now in the fields of these changes: what was `sent`, else what `document` has."""
        return ContextChanges(
            {
                path: sent.get(path) or replace(operation, value=document.value_at(path))
                for path, operation in self.operations.items()
            }
        )

    def body(self, base: ContextDocument) -> dict[str, object]:
        """Return the PATCH body that makes these changes to `base`.

        Emporix replaces the ``context`` map as a whole, so it is sent merged, and only when an attribute changed.
        """
        body: dict[str, object] = {
            wire: operation.value
            for field, wire in SWITCHES.items()
            if (operation := self.operations.get(field)) is not None
        }
        if any(path.startswith(ATTRIBUTE_PREFIX) for path in self.operations):
            body["context"] = self.attributes_over(base.attributes)
        body["metadata"] = {"version": base.version}
        return body

    def attributes_over(self, attributes: Mapping[str, Json]) -> dict[str, Json]:
        """Return `attributes` with the attribute changes made to them."""
        merged = dict(attributes)
        for path, operation in self.operations.items():
            if path.startswith(ATTRIBUTE_PREFIX):
                key = path.removeprefix(ATTRIBUTE_PREFIX)
                if isinstance(operation.value, Removed):
                    merged.pop(key, None)
                else:
                    merged[key] = operation.value
        return merged

    def pending(self) -> dict[str, object]:
        """Return the changes as a plain mapping: the fields by name, attributes by key under ``attributes``."""
        fields: dict[str, object] = {}
        attributes: dict[str, object] = {}
        for path, operation in self.operations.items():
            value = None if isinstance(operation.value, Removed) else operation.value
            if path.startswith(ATTRIBUTE_PREFIX):
                attributes[path.removeprefix(ATTRIBUTE_PREFIX)] = value
            else:
                fields[path] = value
        return {**fields, "attributes": MappingProxyType(attributes)} if attributes else fields

    def _where(self, keep: Callable[[str, Operation], bool]) -> ContextChanges:
        left = {path: operation for path, operation in self.operations.items() if keep(path, operation)}
        return self if len(left) == len(self.operations) else ContextChanges(left)


NO_CHANGES: Final = ContextChanges()


def _checked(path: str, value: Value) -> Value:
    if not path.startswith(ATTRIBUTE_PREFIX):
        return checked_switch(path, value)
    return REMOVED if isinstance(value, Removed) else checked_attribute(value)
