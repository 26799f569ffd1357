"""Places that outlive a request: this process' memory, or what processes share."""

from .memory import MemoryStore
from .protocol import Attachment, ContextStore, ContextStoreUnavailable, Listener, Notice, Stored

__all__ = ["Attachment", "ContextStore", "ContextStoreUnavailable", "Listener", "MemoryStore", "Notice", "Stored"]
