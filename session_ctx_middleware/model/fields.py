"""The fields of a session context, and what a change of them may hold.

Changes are checked when they are recorded, because Emporix does not check them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ..errors import InvalidChange
from .frozen_json import Json, dumps, freeze

__all__ = [
    "FIELDS",
    "MAX_ATTRIBUTES",
    "MAX_ATTRIBUTE_BYTES",
    "READ_ONLY",
    "RECEIPTS",
    "SWITCHES",
    "Field",
    "Kind",
    "check_room",
    "checked_attribute",
    "checked_key",
    "checked_switch",
]

MAX_ATTRIBUTES: Final = 64
MAX_ATTRIBUTE_BYTES: Final = 8 * 1024
MAX_KEY: Final = 64
RECEIPTS: Final = "_session_ctx"
"""The one attribute that belongs to this package: the timestamp of the last change of each field (`receipts`)."""


class Kind(enum.Enum):
    """Who may change a field."""

    SWITCH = enum.auto()
    """The shopper, by one of few values."""
    READ_ONLY = enum.auto()
    """Emporix alone."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a session context whose value is a text.

    Args:
        name: the attribute of a document, a default and a context, and the path of a change.
        wire: its name at Emporix.
        kind: who may change it.
        pattern: what a value of a switch matches as a whole.
        wanted: the same in words.
    """

    name: str
    wire: str
    kind: Kind
    pattern: str = ""
    wanted: str = ""


# The form of a tag (RFC 5646, section 2.1), without the registry of its parts.
_BCP_47: Final = r"(?=.{2,35}\Z)[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*"

FIELDS: Final = (
    Field("session_id", "sessionId", Kind.READ_ONLY),
    Field("customer_id", "customerId", Kind.READ_ONLY),
    Field(
        "site_code",
        "siteCode",
        Kind.SWITCH,
        r"[^\s#]{1,64}",
        "a site code of 1 to 64 characters without blanks and '#'",
    ),
    Field("currency", "currency", Kind.SWITCH, "[A-Z]{3}", "three upper-case letters, such as EUR (ISO 4217)"),
    Field("language", "language", Kind.SWITCH, _BCP_47, "a language tag, such as en or de-CH (BCP 47)"),
    Field(
        "target_location", "targetLocation", Kind.SWITCH, "[A-Z]{2}", "two upper-case letters, such as DE (ISO 3166-1)"
    ),
    Field("cart_id", "cartId", Kind.READ_ONLY),
)
"""All fields but the attributes and the metadata; the rest of this package follows this table.

The schema SessionContextBase of Emporix' Session Context Service has them.
"""

SWITCHES: Final[Mapping[str, str]] = MappingProxyType(
    {field.name: field.wire for field in FIELDS if field.kind is Kind.SWITCH}
)
"""The fields a shopper can switch, and their names at Emporix."""

READ_ONLY: Final[Mapping[str, str]] = MappingProxyType(
    {field.name: field.wire for field in FIELDS if field.kind is Kind.READ_ONLY}
)
"""The fields that only Emporix changes, and their names there."""

_RULES: Final = {field.name: (re.compile(field.pattern), field.wanted) for field in FIELDS if field.name in SWITCHES}


def checked_switch(field: str, value: object) -> str:
    """Return the value of a switch, or raise `InvalidChange` that says what the field holds.

    Args:
        field: one of `SWITCHES`.
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
    if text == RECEIPTS:
        raise InvalidChange(f"The attribute {RECEIPTS} is reserved: it holds when each field was changed last.")
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
