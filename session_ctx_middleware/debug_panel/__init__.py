"""A page for developers that shows what requests do with their session contexts. Nothing imports it by itself."""

from .panel import DebugPanel

__all__ = ["DebugPanel"]
