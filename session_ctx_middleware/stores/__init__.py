"""Places that outlive a request: this process' memory, or what processes share."""

from .memory import MemoryStore
from .protocol import (
    Attachment,
    ContextStore,
    ContextStoreUnavailable,
    Listener,
    Notice,
    Parked,
    SessionIndex,
    Stored,
)

__all__ = [
    "Attachment",
    "ContextStore",
    "ContextStoreUnavailable",
    "Listener",
    "MemoryStore",
    "Notice",
    "Parked",
    "SessionIndex",
    "Stored",
]
