"""Custom attributes on the wire: what can be added, and what can be named in a path."""

from __future__ import annotations

from ..errors import InvalidChange
from ..model.fields import checked_attribute, checked_key
from .address import segment

__all__ = ["attribute_body", "attribute_segment"]


def attribute_body(key: str, value: object) -> dict[str, object]:
    """Return the body that adds an attribute, or raise `InvalidChange` for what an attribute cannot be."""
    return {"key": checked_key(key), "value": checked_attribute(value)}


def attribute_segment(key: str) -> str:
    """Return the path segment of an attribute, or raise `InvalidChange` where no path can name it."""
    try:
        return segment(key)
    except ValueError:
        pass
    raise InvalidChange("This attribute key cannot be addressed: it is empty, a dot segment, or not Unicode text.")
