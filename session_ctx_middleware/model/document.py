"""The session context as Emporix holds it. Pure: no I/O, no clock."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from .fields import FIELDS, RECEIPTS, Kind
from .frozen_json import (
    EMPTY,
    FrozenDict,
    Json,
    code_at,
    condense,
    expand,
    freeze,
    loads,
    object_at,
    plain,
    text_at,
    version_of,
)
from .personal import Personal

__all__ = [
    "ATTRIBUTE_PREFIX",
    "END_OF_TIME",
    "NO_RECEIPTS",
    "REMOVED",
    "ContextDocument",
    "Removed",
    "Value",
]

NO_RECEIPTS: Final[Mapping[str, float]] = FrozenDict()
END_OF_TIME: Final = 1e11
"""Seconds since the epoch: numbers that are no moments are far beyond it."""

ATTRIBUTE_PREFIX: Final = "attributes."
"""What the path of a custom attribute starts with."""


class Removed(enum.Enum):
    """The value of an attribute that is not, or shall no longer be, there."""

    token = 0


REMOVED: Final = Removed.token
LAZY: Final = frozenset({"attributes", "extra"})
APART: Final = LAZY | {"receipts"}

Value: TypeAlias = "Json | Literal[Removed.token]"


class _LazyMaps:
    """Parses `attributes` and `extra` of a document when one of them is read, and keeps their JSON text until then.

    Most requests read neither, and the text takes a quarter of what the mappings would in every session that is cached.
    Until then the two fields are not set, and Python asks `__getattr__`; from then on they are fields as any other.
    """

    __slots__ = ("_text",)

    _text: bytes
    attributes: Mapping[str, Json]
    extra: Mapping[str, Json]

    def _defer(self, attributes: Mapping[str, object], extra: Mapping[str, object]) -> None:
        """Hold these, as they were parsed, in place of what the fields are set to; or raise `ValueError`."""
        if attributes or extra:
            object.__setattr__(self, "_text", condense(attributes, extra))
            object.__delattr__(self, "attributes")
            object.__delattr__(self, "extra")

    def _both(self) -> list[Mapping[str, Json]]:
        """Return both; keep no more than the text where that is all there is."""
        text: bytes = getattr(self, "_text", b"")
        return expand(text) if text else [self.attributes, self.extra]

    if not TYPE_CHECKING:  # or misspelled fields would pass for some

        def __getattr__(self, name: str) -> object:
            if name not in LAZY:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            text = self._text
            if text:  # else another thread has read them since
                attributes, extra = expand(text)
                object.__setattr__(self, "attributes", attributes)
                object.__setattr__(self, "extra", extra)
                object.__setattr__(self, "_text", b"")
            return object.__getattribute__(self, name)


@dataclass(frozen=True, slots=True, repr=False)
class ContextDocument(Personal, _LazyMaps):
    """One version of a session context, as Emporix sent it; nothing in it can be changed.

    Args:
        version: ``metadata.version``, raised by Emporix with every write.
        session_id: the session this context belongs to.
        customer_id: the customer, ``"ANONYMOUS"`` or ``None`` for a guest.
        site_code: the site.
        currency: ISO 4217 code.
        language: language tag (BCP 47); Emporix does not fix the case.
        target_location: ISO 3166-1 alpha-2 country code.
        cart_id: the active cart, where there is one.
        attributes: the custom attributes (``context`` at Emporix).
        created_at: when the context was created, as Emporix writes it.
        modified_at: when it was last changed, as Emporix writes it.
        receipts: the timestamps of the last changes by field, where this package keeps them in a reserved attribute.
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
    receipts: Mapping[str, float] = field(default_factory=lambda: NO_RECEIPTS)

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
        metadata = object_at(data, "metadata")
        freeze(metadata)  # nothing of it is kept, but what has no JSON form is no document
        texts: dict[str, Any] = {name: read(data, wire) for name, wire, read in _READERS if wire in data}
        attributes = object_at(data, "context")
        receipts = NO_RECEIPTS
        if RECEIPTS in attributes:
            receipts = _receipts(attributes[RECEIPTS])
            attributes = {key: value for key, value in attributes.items() if key != RECEIPTS}
        document = cls(
            version=version_of(metadata.get("version")),
            receipts=receipts,
            created_at=text_at(metadata, "createdAt"),
            modified_at=text_at(metadata, "modifiedAt"),
            **texts,
        )
        extra = {key: value for key, value in data.items() if key not in _KNOWN}
        document._defer(attributes=attributes, extra=extra)
        return document

    def to_wire(self) -> dict[str, object]:
        """Return the document under the names that Emporix uses, without keys that have no value."""
        attributes, extra = self._both()
        metadata = {"version": self.version, "createdAt": self.created_at, "modifiedAt": self.modified_at}
        body: dict[str, object] = {
            **{field.wire: getattr(self, field.name) for field in FIELDS},
            "context": {**attributes, **({RECEIPTS: dict(self.receipts)} if self.receipts else {})} or None,
            "metadata": {key: value for key, value in metadata.items() if value is not None},
            **extra,
        }
        return {key: value for key, value in body.items() if value is not None}

    def to_dict(self) -> dict[str, object]:
        """Return everything under the names of this class, as plain values that may be changed."""
        attributes, extra = self._both()
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in APART}
        receipts = {RECEIPTS: dict(self.receipts)} if self.receipts else {}
        return {**values, "attributes": plain({**attributes, **receipts}), "extra": plain(extra)}

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

    def _outline(self) -> str:
        return f"version={self.version}"


def _receipts(value: object) -> Mapping[str, float]:
    """Return the receipts of a document: what is none of ours is left out."""
    if not isinstance(value, Mapping):
        return NO_RECEIPTS
    kept = {
        path: float(at)
        for path, at in value.items()
        if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < END_OF_TIME
    }
    return FrozenDict(kept) if kept else NO_RECEIPTS


_READERS: Final = tuple((field.name, field.wire, code_at if field.kind is Kind.SWITCH else text_at) for field in FIELDS)
_KNOWN: Final = frozenset({*(field.wire for field in FIELDS), "context", "metadata"})
