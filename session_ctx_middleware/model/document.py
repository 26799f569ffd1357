"""The session context as Emporix holds it. Pure: no I/O, no clock."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from .fields import FIELDS, RECEIPTS, Kind
from .frozen_json import EMPTY, FrozenDict, Json, code_of, dumps, plain, text_of, tolerant_version_of
from .held_text import OddText, as_read, as_sent, decoded, hold, is_condensed
from .odd_json import loads_tolerantly
from .personal import Personal
from .unmodelled import Unmodelled

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

    @property
    def odd(self) -> tuple[str, ...]:
        """The fields, by Emporix' names, in which some value is of no use and reads as `None`."""
        text = self._held
        return text.fields if isinstance(text, OddText) else ()

    @property
    def size(self) -> int:
        """Bytes of JSON that attributes and unknown keys take, or all of it where it is much."""
        return len(self._held) or len(dumps([self.attributes, self.extra]))

    @property
    def sent_attributes(self) -> Mapping[str, Any]:
        """The custom attributes as Emporix sent them: with what is odd in them, too."""
        text = self._held
        return as_sent(text)[0] if isinstance(text, OddText) else self.attributes

    @property
    def _held(self) -> bytes:
        return getattr(self, "_text", b"")

    def _both(self) -> list[Mapping[str, Json]]:
        """Return both; keep no more than the text where that is all there is."""
        text = self._held  # before the fields: another thread empties it after it has set them
        try:
            return [object.__getattribute__(self, name) for name in ("attributes", "extra")]
        except AttributeError:
            return as_read(text)

    def _both_sent(self) -> list[Mapping[str, Any]]:
        """Return both as Emporix sent them: with what is odd in them, too."""
        text = self._held
        return as_sent(text) if isinstance(text, OddText) else [*self._both()]

    if not TYPE_CHECKING:  # or misspelled fields would pass for some

        def __getattr__(self, name: str) -> object:
            if name not in LAZY:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            text = self._text
            if text:  # else another thread has read them since
                attributes, extra = as_read(text)
                object.__setattr__(self, "attributes", attributes)
                object.__setattr__(self, "extra", extra)
                if is_condensed(text):  # of others it tells the size, and what was sent
                    object.__setattr__(self, "_text", b"")
            return object.__getattribute__(self, name)


@dataclass(frozen=True, slots=True, repr=False)
class ContextDocument(Personal, Unmodelled, _LazyMaps):
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
        extra: top-level keys that this version of the package does not know, and known ones whose values are odd.
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
            ValueError: not JSON, not an object, or no usable version. Any other value that is odd costs itself: it
                reads as `None`, see `odd`.
        """
        text = decoded(raw)
        data = loads_tolerantly(text)
        metadata = data.get("metadata") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(metadata, dict):
            raise ValueError("not a JSON object with a usable metadata.version")
        texts: dict[str, Any] = {name: read(data[wire]) for name, wire, read in _READERS if wire in data}
        moments = text_of(metadata.get("createdAt")), text_of(metadata.get("modifiedAt"))
        odd = _odd_texts(data, metadata) if None in texts.values() or None in moments else ()
        values = {
            **_NO_TEXTS,
            **texts,
            "version": tolerant_version_of(metadata.get("version")),
            "receipts": _receipts(data.get("context")),
            "created_at": moments[0],
            "modified_at": moments[1],
        }
        return _Draft(values, hold(raw, text, data, odd)).finished()

    def to_wire(self) -> dict[str, object]:
        """Return the document under the names that Emporix uses, without keys that have no value."""
        attributes, extra = self._both_sent()
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


class _Draft(Personal, _LazyMaps):
    """A document that is not frozen yet: to fill one that is takes seven times as long, with every miss.

    Args:
        values: of all fields but attributes and unknown keys.
        held: the text of these; empty where there are none.
    """

    __slots__ = tuple(ContextDocument.__slots__)  # the same layout: `finished` changes nothing but the class

    def __init__(self, values: Mapping[str, object], held: bytes) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        if held:
            self._text = held
        else:
            self.attributes = self.extra = EMPTY

    def finished(self) -> ContextDocument:
        """Return it as a document, which nobody can change any more."""
        self.__class__ = ContextDocument  # type: ignore[assignment]
        return cast("ContextDocument", self)


def _receipts(context: object) -> Mapping[str, float]:
    """Return the receipts among attributes: what is none of ours is left out."""
    value = context.get(RECEIPTS) if isinstance(context, dict) else None
    if not isinstance(value, dict):
        return NO_RECEIPTS
    kept = {
        path: float(at)
        for path, at in value.items()
        if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < END_OF_TIME and text_of(path)
    }
    return FrozenDict(kept) if kept else NO_RECEIPTS


def _odd_texts(data: Mapping[str, object], metadata: Mapping[str, object]) -> list[str]:
    """Return the fields, by Emporix' names, that should be texts and are not."""
    given = {wire: data.get(wire) for _, wire, _ in _READERS}
    given |= {f"metadata.{key}": metadata.get(key) for key in ("createdAt", "modifiedAt")}
    return [name for name, value in given.items() if value not in _NOTHING and text_of(value) is None]


_NOTHING: Final = (None, "")
_NO_TEXTS: Final[Mapping[str, None]] = {field.name: None for field in FIELDS}
_READERS: Final = tuple((field.name, field.wire, code_of if field.kind is Kind.SWITCH else text_of) for field in FIELDS)
