"""Places for changes that Emporix could not take yet."""

from .memory import MemoryStore

__all__ = ["MemoryStore"]
