"""JSON values that nobody can change: how documents and attributes are held."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

__all__ = ["EMPTY", "Json", "dumps", "freeze", "loads", "same"]

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | tuple[Json, ...] | None"

EMPTY: Final[Mapping[str, Json]] = MappingProxyType({})

MAX_DEPTH: Final = 64
MAX_BITS: Final = 1024


def freeze(value: object, depth: int = 0) -> Json:
    """Return a deep, read-only copy of a JSON value.

    Args:
        value: what a JSON text can hold; mappings need string keys.
        depth: how deep `value` lies in the whole.

    Returns:
        Mappings as read-only mappings, lists as tuples, everything else as it is.

    Raises:
        ValueError: the value, or something inside it, has no JSON form, or lies deeper than 64 levels.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError("numbers must not be that large")
        return value
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("numbers must be finite")
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("keys must be strings")
        return MappingProxyType({key: freeze(item, depth + 1) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item, depth + 1) for item in value)
    raise ValueError(f"{type(value).__name__} has no JSON form")


def loads(raw: bytes | str) -> object:
    """Parse a JSON text strictly.

    Args:
        raw: the text.

    Returns:
        What the text holds.

    Raises:
        ValueError: not JSON (RFC 8259 knows no NaN and no infinity), or nested too deeply to be parsed.
    """
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: object) -> str:
    """Return the one compact JSON text of a value: frozen or plain, keys in order."""
    return json.dumps(value, default=_thaw, separators=(",", ":"), sort_keys=True, allow_nan=False)


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values are equal, with ``1``, ``1.0`` and ``true`` kept apart."""
    if one is other or isinstance(one, str) or isinstance(other, str):
        return one == other
    return one == other and dumps(one) == dumps(other)


def _thaw(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
