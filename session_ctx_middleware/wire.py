"""Reading the values of a JSON object that somebody else wrote."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from .frozen_json import EMPTY, plain_text

__all__ = ["code_at", "object_at", "text_at", "version_of"]

MAX_VERSION: Final = 2**53 - 1


def version_of(value: object) -> int:
    """Return a version, or raise `ValueError`: a whole number from 0 to what JSON carries exactly."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_VERSION:
        return value
    raise ValueError("no usable metadata.version")


def text_at(data: Mapping[str, object], key: str) -> str | None:
    """Return the text of a key, `None` where there is none or an empty one; raise `ValueError` for another type."""
    value = data.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return plain_text(value)
    raise ValueError(f"{key} is not a string")


def code_at(data: Mapping[str, object], key: str) -> str | None:
    """Return the text of a key whose values are few: a site, a currency, a language, a country."""
    value = text_at(data, key)
    # Few distinct codes stand in very many cached documents.
    return None if value is None else sys.intern(value)


def object_at(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Return the object of a key, an empty one where there is none; raise `ValueError` for another type."""
    value = data.get(key)
    if value is None:
        return EMPTY
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} is not an object")
    return value
