"""What a change may hold: checked when it is recorded, because Emporix does not check it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import InvalidChange
from .frozen_json import Json, dumps, freeze

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_ATTRIBUTE_BYTES",
    "check_room",
    "checked_attribute",
    "checked_key",
    "checked_switch",
]

MAX_ATTRIBUTES: Final = 64
MAX_ATTRIBUTE_BYTES: Final = 8 * 1024
MAX_KEY: Final = 64

_BCP_47 = r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*"

_RULES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "site_code": (re.compile(r"[^\s#]{1,64}"), "a site code of 1 to 64 characters without blanks and '#'"),
    "currency": (re.compile(r"[A-Z]{3}"), "three upper-case letters, such as EUR (ISO 4217)"),
    "language": (re.compile(rf"(?=.{{2,35}}\Z){_BCP_47}"), "a language tag, such as en or de-CH (BCP 47)"),
    "target_location": (re.compile(r"[A-Z]{2}"), "two upper-case letters, such as DE (ISO 3166-1)"),
}


def checked_switch(field: str, value: object) -> str:
    """Return the value of a switch field, or raise `InvalidChange` that says what the field holds.

    Args:
        field: ``site_code``, ``currency``, ``language`` or ``target_location``.
        value: what somebody wants it to be.
    """
    pattern, wanted = _RULES[field]
    text = str.__str__(value) if isinstance(value, str) else ""
    if pattern.fullmatch(text) and text.isprintable():
        return text
    raise InvalidChange(f"{field} must be {wanted}.")


def checked_key(key: object) -> str:
    """Return an attribute key, or raise `InvalidChange`: 1 to 64 printable characters."""
    text = str.__str__(key) if isinstance(key, str) else ""
    if 0 < len(text) <= MAX_KEY and text.isprintable():
        return text
    raise InvalidChange("An attribute key must be a string of 1 to 64 printable characters.")


def checked_attribute(value: object) -> Json:
    """Return a read-only deep copy of an attribute value, or raise `InvalidChange`.

    Emporix takes strings and objects (schema ContextAttribute of the Session Context Service).
    """
    if not isinstance(value, str | Mapping):
        raise InvalidChange("An attribute value must be a string or an object (a mapping with string keys).")
    try:
        return freeze(value)
    except (ValueError, RecursionError) as error:
        raise InvalidChange(f"An attribute value must be JSON: {error}.") from None
    except Exception as error:  # noqa: BLE001 - a mapping of the application may do anything
        raise InvalidChange(f"An attribute value could not be read: {type(error).__name__}.") from None


def check_room(attributes: Iterable[tuple[str, object]]) -> None:
    """Raise `InvalidChange` when attribute changes are too many (64) or too large (8 KiB) in all."""
    size = count = 0
    for key, value in attributes:
        count += 1
        size += len(key.encode("utf-8", "surrogatepass")) + len(dumps(value))
    if count > MAX_ATTRIBUTES:
        raise InvalidChange(f"At most {MAX_ATTRIBUTES} attributes can be changed at once.")
    if size > MAX_ATTRIBUTE_BYTES:
        raise InvalidChange(f"Changed attributes may take {MAX_ATTRIBUTE_BYTES} bytes of JSON in all, not {size}.")
