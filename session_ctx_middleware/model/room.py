"""Keeping attributes from growing to where nobody could read the context any more. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import Final

from .changes import ContextChanges
from .document import ATTRIBUTE_PREFIX, ContextDocument, Removed
from .frozen_json import dumps

__all__ = ["MAX_CONTEXT", "outgrows"]

MAX_CONTEXT: Final = 240 * 1024
"""Bytes of JSON: an answer of Emporix is read up to 256 KiB, and others write to the context, too."""


def outgrows(changes: ContextChanges, document: ContextDocument) -> bool:
    """Tell whether changes would make a context larger than it is, and than it can be read.

    Args:
        changes: what is to be made.
        document: the context as it is.
    """
    given = {path: each.value for path, each in changes.operations.items() if path.startswith(ATTRIBUTE_PREFIX)}
    more = sum(len(path) + len(dumps(value)) for path, value in given.items() if not isinstance(value, Removed))
    size = document.size
    if not more or size + more <= MAX_CONTEXT:
        return False
    held = {f"{ATTRIBUTE_PREFIX}{key}": value for key, value in document.sent_attributes.items()}
    less = sum(len(path) + len(dumps(held[path])) for path in given.keys() & held.keys())
    return more > less and size + more - less > MAX_CONTEXT
