"""What a document keeps of its JSON text until somebody reads attributes and unknown keys, or sends them back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from .fields import FIELDS, RECEIPTS
from .frozen_json import EMPTY, Json, condense, frozen_map
from .lazy_dict import LazyDict
from .odd_json import has_utf8_form, is_odd, loads_as_sent, loads_tolerantly, usable

__all__ = ["OddText", "as_read", "as_sent", "decoded", "hold", "is_condensed"]

SMALL: Final = 4096
"""Characters up to which attributes and unknown keys are written anew, which takes less memory than the whole text."""


class OddText(bytes):
    """The whole text of a document in which some value is odd; it is kept, so that others can be sent back unchanged.

    Args:
        text: the JSON.
        fields: where that is, by Emporix' names; ``extra`` for keys that are unknown here.
    """

    fields: tuple[str, ...]

    def __new__(cls, text: bytes, fields: Sequence[str]) -> Self:
        """Return the text with its fields."""
        self = super().__new__(cls, text)
        self.fields = tuple(fields)
        return self


def decoded(raw: bytes | str) -> str:
    """Return a JSON text, with lone surrogates for what has been encoded as such; or raise `ValueError`."""
    if isinstance(raw, str):
        return raw
    plain = raw[:1] == b"{" and raw[1:2] != b"\0"  # else some other encoding, or a byte order mark
    return raw.decode("utf-8" if plain else json.detect_encoding(raw), "surrogatepass")


def hold(raw: bytes | str, text: str, data: Mapping[str, Any], odd: Sequence[str]) -> bytes:
    """Return what to keep of a document; nothing where it has neither attributes nor unknown keys.

    Args:
        raw: the text as it came.
        text: the same, decoded.
        data: the same, parsed.
        odd: fields that have been found to be odd.
    """
    context = _attributes(data)
    if context is _NOTHING and _is_useless("context", data.get("context")):
        odd = [*odd, "context"]
    extra = {key: data[key] for key in data if key not in _KNOWN} if len(data) > len(_KNOWN.intersection(data)) else {}
    if not odd:
        if not (context or extra):
            return b""
        if len(text) <= SMALL and (condensed := condense(context, extra)) is not None:
            return condensed
    odd = [*odd, *(name for name, each in (("context", context), ("extra", extra)) if is_odd((each,), text))]
    held = raw if isinstance(raw, bytes) else text.encode("utf-8", "surrogatepass")
    return OddText(held, odd) if odd else held


def is_condensed(text: bytes) -> bool:
    """Tell whether a text is of attributes and unknown keys alone, written anew."""
    return text.startswith(_CONDENSED)


def as_read(text: bytes) -> list[Mapping[str, Json]]:
    """Return attributes and unknown keys of what `hold` has returned, read-only and with `None` for what is odd."""
    if is_condensed(text):
        return [frozen_map(each) for each in json.loads(text)]
    both = _apart(loads_tolerantly(decoded(text)))
    if isinstance(text, OddText):
        both = usable(both[0]), usable(both[1])
    return [LazyDict(each) if each else EMPTY for each in both]


def as_sent(text: OddText) -> list[Mapping[str, Any]]:
    """Return the same as Emporix sent it, and as it can be sent back."""
    return [*_apart(loads_as_sent(decoded(text)))]


def _apart(data: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return attributes, and what no field can hold: unknown keys, and known ones whose values are of no use."""
    extra = {key: value for key, value in data.items() if key not in _KNOWN or _is_useless(key, value)}
    return _attributes(data), extra


def _attributes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the custom attributes without the reserved one."""
    context = data.get("context")
    if type(context) is not dict:
        return _NOTHING
    return {key: context[key] for key in context if key != RECEIPTS} if RECEIPTS in context else context


def _is_useless(key: str, value: object) -> bool:
    if value is None or key == "metadata":
        return False
    if key == "context":
        return type(value) is not dict
    return not (isinstance(value, str) and has_utf8_form(value))


_NOTHING: Final[dict[str, Any]] = {}
_CONDENSED: Final = b"["
_KNOWN: Final = frozenset({*(field.wire for field in FIELDS), "context", "metadata"})
