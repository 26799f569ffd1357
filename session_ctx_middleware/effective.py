"""What a request sees: its own changes over parked ones over the document over the defaults. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from .changes import ContextChanges
from .document import ATTRIBUTE_PREFIX, SWITCHES, Removed
from .engine import Snapshot
from .errors import UnknownField
from .frozen_json import EMPTY, Json
from .policies import ContextDefaults

__all__ = ["Source", "attributes", "source", "switch_value"]

Source: TypeAlias = Literal["change", "parked", "document", "default", "unset"]

_DOCUMENT_ONLY: Final = frozenset({"cart_id", "customer_id", "session_id", "version"})


def switch_value(field: str, changes: ContextChanges, known: Snapshot, defaults: ContextDefaults) -> str | None:
    """Return the effective value of one of the four fields that can be switched."""
    if changes.operations or known.parked.operations or known.accepted.operations:
        for layer in (changes, known.parked, known.accepted):
            operation = layer.get(field)
            if operation is not None and isinstance(operation.value, str):
                return operation.value
    value: str | None = getattr(known.document, field, None)
    if value is None:
        value = getattr(defaults, field)
    return value


def attributes(changes: ContextChanges, known: Snapshot) -> Mapping[str, Json]:
    """Return the effective custom attributes, read-only."""
    held = EMPTY if known.document is None else known.document.attributes
    if not (changes or known.parked or known.accepted):
        return held
    merged = held
    for layer in (known.accepted, known.parked, changes):
        merged = layer.attributes_over(merged)
    return MappingProxyType(merged)


def source(field: str, changes: ContextChanges, known: Snapshot, defaults: ContextDefaults) -> Source:
    """Tell where the effective value of a field comes from.

    Args:
        field: ``site_code``, ``currency``, ``language``, ``target_location``, ``attributes.<key>``, or a field that
            only the document has: ``cart_id``, ``customer_id``, ``session_id``, ``version``.
        changes: this request's.
        known: what the load found.
        defaults: the shop's.

    Raises:
        UnknownField: there is no such field.
    """
    if field in _DOCUMENT_ONLY:
        return "unset" if getattr(known.document, field, None) is None else "document"
    if field not in SWITCHES and not field.startswith(ATTRIBUTE_PREFIX):
        names = ", ".join([*SWITCHES, *sorted(_DOCUMENT_ONLY)])
        raise UnknownField(f"The session context has no such field. It has {names} and {ATTRIBUTE_PREFIX}<key>.")
    if field in changes:
        return "change"
    if field in known.parked:
        return "parked"
    if _in_document(field, known):
        return "document"
    return "default" if getattr(defaults, field, None) is not None else "unset"


def _in_document(field: str, known: Snapshot) -> bool:
    accepted = known.accepted.get(field)
    if accepted is not None:
        return not isinstance(accepted.value, Removed)
    if known.document is None:
        return False
    value = known.document.value_at(field)
    return value is not None and not isinstance(value, Removed)
