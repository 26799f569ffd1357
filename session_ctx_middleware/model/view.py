"""What a request sees: its own changes over parked ones over the document over the defaults. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ..errors import ConfigurationError, InvalidChange, UnknownField
from .changes import NO_CHANGES, ContextChanges
from .document import ATTRIBUTE_PREFIX, ContextDocument, Removed
from .fields import READ_ONLY, SWITCHES, checked_key, checked_switch
from .frozen_json import EMPTY, FrozenDict, Json, code_of
from .personal import Personal

__all__ = [
    "DEGRADED",
    "NOTHING_KNOWN",
    "NOTHING_RESOLVED",
    "ContextDefaults",
    "Resolved",
    "Snapshot",
    "Source",
    "attributes",
    "source",
    "switch_value",
]

Source: TypeAlias = Literal["change", "url", "parked", "document", "cookie", "header", "default", "unset"]


@dataclass(slots=True, repr=False)  # frozen, it would take four times as long to make, with every miss
class Snapshot(Personal):
    """What one read found; nobody changes it, so that a cache hit hands out the same object again.

    Args:
        document: the context as Emporix sent it.
        overlay: changes that Emporix has taken after that document; its new version has not been read back yet.
        parked: changes that Emporix cannot take yet.
        stale: older than the policy wants, served because Emporix could not be asked or is being asked.
        degraded: Emporix could not be asked and there was nothing stale to serve.
        rejected: Emporix refused the token.
        asked_on: when another worker asked for the document, in Emporix' time, where a browser brought it and that is
            known; else 0.
    """

    document: ContextDocument | None = None
    overlay: ContextChanges = NO_CHANGES
    parked: ContextChanges = NO_CHANGES
    stale: bool = False
    degraded: bool = False
    rejected: bool = False
    asked_on: float = 0.0

    def last_at(self, path: str) -> float:
        """Return when the last change of a field was made that Emporix is known to have, in seconds since the epoch.

        Args:
            path: of the field.

        Returns:
            0 where no change of it is known.
        """
        received = 0.0 if self.document is None else self.document.receipts.get(path, 0.0)
        taken = self.overlay.get(path)
        return received if taken is None else max(received, taken.at)


NOTHING_KNOWN: Final = Snapshot()
DEGRADED: Final = Snapshot(degraded=True)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a request says by itself of values.

    Args:
        url: values that its address names, by field: they count more than what was chosen elsewhere.
        rest: where others come from, and what they are, by field: they count where nobody has chosen anything.
        persisted: those of the address that are to become the shopper's choice.
    """

    url: Mapping[str, str]
    rest: Mapping[str, tuple[str, str]]
    persisted: Mapping[str, str]

    def value(self, field: str) -> str | None:
        """Return a value that counts where nobody has chosen anything."""
        found = self.rest.get(field)
        return None if found is None else found[1]


NOTHING_RESOLVED: Final = Resolved({}, {}, {})


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextDefaults:
    """What a shop shows where neither the shopper nor Emporix has said anything.

    Args:
        site_code: code of a site.
        currency: ISO 4217 code, upper case.
        language: BCP 47 tag.
        target_location: ISO 3166-1 alpha-2 country code, upper case.
        language_attribute: the custom attribute in which an older storefront keeps the language; it counts before
            `language`, where the context itself has none. `None` where there is no such storefront.
    """

    site_code: str | None = None
    currency: str | None = None
    language: str | None = None
    target_location: str | None = None
    language_attribute: str | None = None

    def __post_init__(self) -> None:
        if self.language_attribute is not None:
            try:
                checked_key(self.language_attribute)
            except InvalidChange as error:
                raise ConfigurationError(f"ContextDefaults(language_attribute=...): {error}") from None
        for field in SWITCHES:
            value = getattr(self, field)
            if value is not None:
                try:
                    checked_switch(field, value)
                except InvalidChange as error:
                    raise ConfigurationError(f"ContextDefaults: {error}") from None


_DOCUMENT_ONLY: Final = frozenset({*READ_ONLY, "version"})


def switch_value(
    field: str,
    changes: ContextChanges,
    known: Snapshot,
    defaults: ContextDefaults,
    resolved: Resolved = NOTHING_RESOLVED,
) -> str | None:
    """Return the effective value of a field that can be switched."""
    if resolved.url and field in resolved.url and field not in changes:
        return resolved.url[field]
    if changes.operations or known.parked.operations or known.overlay.operations:
        for layer in (changes, known.parked, known.overlay):
            operation = layer.get(field)
            if operation is not None and isinstance(operation.value, str):
                return operation.value
    value: str | None = getattr(known.document, field, None)
    if value is None:
        value = _in_attribute(field, changes, known, defaults) or resolved.value(field) or getattr(defaults, field)
    return value


def attributes(changes: ContextChanges, known: Snapshot) -> Mapping[str, Json]:
    """Return the effective custom attributes, read-only."""
    held = EMPTY if known.document is None else known.document.attributes
    if not (changes or known.parked or known.overlay):
        return held
    merged = held
    for layer in (known.overlay, known.parked, changes):
        merged = layer.attributes_over(merged)
    return FrozenDict(merged)


def source(
    field: str,
    changes: ContextChanges,
    known: Snapshot,
    defaults: ContextDefaults,
    resolved: Resolved = NOTHING_RESOLVED,
) -> Source:
    """Tell where the effective value of a field comes from.

    Args:
        field: one of `SWITCHES` or `READ_ONLY`, ``version``, or ``attributes.<key>``.
        changes: this request's.
        known: what the load found.
        defaults: the shop's.
        resolved: what the request says by itself.

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
    if field in resolved.url or field in known.parked:
        return "url" if field in resolved.url else "parked"
    if _in_document(field, known) or _in_attribute(field, changes, known, defaults):
        return "document"
    if field in resolved.rest:
        return "cookie" if resolved.rest[field][0] == "cookie" else "header"
    return "default" if getattr(defaults, field, None) is not None else "unset"


def _in_document(field: str, known: Snapshot) -> bool:
    overlay = known.overlay.get(field)
    if overlay is not None:
        return not isinstance(overlay.value, Removed)
    if known.document is None:
        return False
    value = known.document.value_at(field)
    return value is not None and not isinstance(value, Removed)


def _in_attribute(field: str, changes: ContextChanges, known: Snapshot, defaults: ContextDefaults) -> str | None:
    """Return the language that an older storefront keeps among the attributes, where the shop has such a one."""
    if field != "language" or defaults.language_attribute is None:
        return None
    return code_of(attributes(changes, known).get(defaults.language_attribute))
