"""What a request wants to change in its session context: recorded, merged, rebased. Pure: no I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from .document import ATTRIBUTE_PREFIX, NO_RECEIPTS, REMOVED, ContextDocument, Removed, Value
from .fields import RECEIPTS, SWITCHES, checked_attribute, checked_switch
from .frozen_json import FrozenDict, Json, dumps, same
from .operation import MICROSECONDS, SOMEHOW, Operation, Taken, later, value_digest
from .personal import Personal

__all__ = ["NO_CHANGES", "ContextChanges", "OnConflict"]

OnConflict: TypeAlias = "Callable[[str, Value, Value, Value], Value]"


@dataclass(frozen=True, slots=True, repr=False)
class ContextChanges(Personal):
    """Changes of a session context, the last one of each field; immutable.

    Args:
        operations: path of the field to its change. A path is one of `SWITCHES`, or ``attributes.<key>``.
    """

    operations: Mapping[str, Operation] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[str]:
        return iter(self.operations)

    def _outline(self) -> str:
        return f"of {len(self.operations)} fields"

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the operations."""
        return frozenset(operation.op_id for operation in self.operations.values())

    @property
    def newest_at(self) -> float:
        """When the last of these changes was recorded, in seconds since the epoch; 0 where there is none."""
        return max((operation.at for operation in self.operations.values()), default=0.0)

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
        """Return both, with the later one of two changes of a field, whichever side it is on.

        That is the one with the later timestamp, or with the greater operation id where those are equal. Of two
        copies of one change it is the one that knows when it was taken.
        """
        if not other.operations:
            return self
        if not self.operations:
            return other
        merged = dict(other.operations)
        for path, operation in self.operations.items():
            there = merged.get(path)
            merged[path] = operation if there is None else later(operation, there)
        return ContextChanges(merged)

    def without(self, op_ids: Collection[str]) -> ContextChanges:
        """Return the changes but those with these operation ids."""
        return self._where(lambda _, operation: operation.op_id not in op_ids)

    def at(self, paths: Collection[str]) -> ContextChanges:
        """Return the changes of these fields."""
        return self._where(lambda path, _: path in paths)

    def only(self, op_ids: Collection[str]) -> ContextChanges:
        """Return the changes with these operation ids."""
        return self._where(lambda _, operation: operation.op_id in op_ids)

    def in_place_of(self, other: ContextChanges) -> ContextChanges:
        """Return the changes of fields that `other` changes, too."""
        return self._where(lambda path, _: path in other.operations)

    def beside(self, other: ContextChanges) -> ContextChanges:
        """Return the changes of fields that `other` does not change."""
        return self._where(lambda path, _: path not in other.operations)

    def recorded(self, path: str, operation: Operation) -> ContextChanges:
        """Return these changes and one more, which replaces an earlier one of its field."""
        return ContextChanges({**self.operations, path: operation})

    def minus(self, other: ContextChanges) -> ContextChanges:
        """Return what is left once `other` is taken or kept elsewhere: neither those changes nor what they replaced.

        A later change of the same field, or another one made at the same moment, stays; so does one that waits anew,
        which who knows only of the first time takes for done.
        """
        if not self.operations:
            return self

        def stays(path: str, operation: Operation) -> bool:
            done = other.operations.get(path)
            if done is None:
                return True
            if operation.op_id == done.op_id:
                return operation.rounds > done.rounds
            return operation.at >= done.at

        return self._where(stays)

    def not_followed_by(self, other: ContextChanges) -> ContextChanges:
        """Return the changes of whose fields `other` has no later one."""
        newest = self.newest(other).operations
        return self._where(lambda path, operation: newest[path].op_id == operation.op_id)

    def within(self, attributes: int, size: int) -> ContextChanges:
        """Return all changes of switches, and the latest of attributes.

        Args:
            attributes: how many attributes at most.
            size: how many bytes of JSON they may take in all.
        """
        if not self.operations:
            return self
        room = size
        kept = {path: operation for path, operation in self.operations.items() if not path.startswith(ATTRIBUTE_PREFIX)}
        others = [(path, operation) for path, operation in self.operations.items() if path not in kept]
        for path, operation in sorted(others, key=_recency, reverse=True)[:attributes]:
            value = None if isinstance(operation.value, Removed) else operation.value
            room -= len(path) + len(dumps(value))
            if room < 0:
                break
            kept[path] = operation
        return self._where(lambda path, _: path in kept)

    def as_taken(self, taken: Taken, base: ContextDocument | None = None) -> ContextChanges:
        """Return the same changes, taken by Emporix.

        Args:
            taken: how.
            base: the document that they were made to, so that each remembers which value it has replaced.
        """
        if not self.operations:
            return self  # every entry keeps what this returns

        def done(path: str, operation: Operation) -> Operation:
            replaced = "" if base is None else value_digest(base.value_at(path))
            return replace(operation, taken=replace(taken, replaced=replaced), overtaken_by=())

        return ContextChanges({path: done(path, operation) for path, operation in self.operations.items()})

    def once_more(self) -> ContextChanges:
        """Return the changes as ones that wait, though Emporix was said to have them; each of them once."""
        again = {path: each.waiting_anew(swallowed=True) for path, each in self.operations.items() if not each.again}
        return ContextChanges(again)

    def taken_after(self, version: int) -> ContextChanges:
        """Return the changes that Emporix took with a later version: a document of `version` cannot have them."""
        return self._where(lambda _, operation: operation.taken_version > version)

    def taken_in(self, context: str) -> ContextChanges:
        """Return the changes that Emporix took in the context with this fingerprint."""
        return self._where(lambda _, operation: operation.taken is not None and operation.taken.context == context)

    def up_to(self, version: int) -> ContextChanges:
        """Return the changes that a document of `version` may have."""
        return self._where(lambda _, operation: operation.taken_version <= version)

    def outlines(self) -> ContextChanges:
        """Return the same changes without their values: which fields, when, and which changes."""
        return ContextChanges(
            {path: replace(operation, value=REMOVED, taken=SOMEHOW) for path, operation in self.operations.items()}
        )

    def with_versions(self) -> ContextChanges:
        """Return the changes of which it is known with which version Emporix took them."""
        return self._where(lambda _, operation: operation.taken_version >= 0)

    def not_received(self, receipts: Mapping[str, float]) -> ContextChanges:
        """Return the changes that are later than those that Emporix is known to have been sent, by field."""
        return self._where(lambda path, operation: operation.at > receipts.get(path, -1.0))

    def not_replaced(self, receipts: Mapping[str, float]) -> ContextChanges:
        """Return the changes in whose place Emporix is not known to have later ones, by field."""
        return self._where(lambda path, operation: operation.at >= receipts.get(path, -1.0))

    def not_before(self, era: int) -> ContextChanges:
        """Return the changes that were recorded since the shopper logged out for the `era`-th time."""
        return self._where(lambda _, operation: operation.era >= era)

    def above(self, stamps: Mapping[str, float], step: float) -> ContextChanges:
        """Return the same changes, each with a timestamp that is later than that of its field in `stamps`."""
        raised = {
            path: replace(operation, at=round(stamps[path] + step, MICROSECONDS))
            for path, operation in self.operations.items()
            if stamps.get(path, 0.0) >= operation.at
        }
        return ContextChanges({**self.operations, **raised}) if raised else self

    def switches(self) -> ContextChanges:
        """Return the changes of the fields that a shopper can switch."""
        return self._where(lambda path, _: path in SWITCHES)

    def attributes(self) -> ContextChanges:
        """Return the changes of custom attributes."""
        return self._where(lambda path, _: path.startswith(ATTRIBUTE_PREFIX))

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

    def shown_by(self, document: ContextDocument) -> ContextChanges:
        """Return the changes whose values a document shows."""
        return self._where(lambda path, operation: same(document.value_at(path), operation.value))

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

    def body(self, base: ContextDocument, receipts: Mapping[str, float] = NO_RECEIPTS) -> dict[str, object]:
        """Return the PATCH body that makes these changes to `base`.

        Emporix replaces the ``context`` map as a whole, so it is sent merged, and only when something in it changed.

        Args:
            base: the document as it is.
            receipts: the timestamps of the last changes by field, to be kept with the attributes.
        """
        body: dict[str, object] = {
            wire: operation.value
            for field, wire in SWITCHES.items()
            if (operation := self.operations.get(field)) is not None
        }
        if receipts or any(path.startswith(ATTRIBUTE_PREFIX) for path in self.operations):
            merged = self.attributes_over(base.sent_attributes)
            body["context"] = {**merged, RECEIPTS: dict(receipts)} if receipts else merged
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

    def pending(self) -> Mapping[str, Json]:
        """Return the changes, read-only: the fields by name, attributes by key under ``attributes``."""
        fields: dict[str, Json] = {}
        attributes: dict[str, Json] = {}
        for path, operation in self.operations.items():
            value = None if isinstance(operation.value, Removed) else operation.value
            if path.startswith(ATTRIBUTE_PREFIX):
                attributes[path.removeprefix(ATTRIBUTE_PREFIX)] = value
            else:
                fields[path] = value
        return FrozenDict({**fields, "attributes": FrozenDict(attributes)} if attributes else fields)

    def _where(self, keep: Callable[[str, Operation], bool]) -> ContextChanges:
        if not self.operations:
            return self
        left = {path: operation for path, operation in self.operations.items() if keep(path, operation)}
        return self if len(left) == len(self.operations) else ContextChanges(left)


NO_CHANGES: Final = ContextChanges()


def _recency(item: tuple[str, Operation]) -> tuple[float, str]:
    return item[1].at, item[1].op_id


def _checked(path: str, value: Value) -> Value:
    if not path.startswith(ATTRIBUTE_PREFIX):
        return checked_switch(path, value)
    return REMOVED if isinstance(value, Removed) else checked_attribute(value)
