"""What may be done with a document."""

from __future__ import annotations

import enum

__all__ = ["Verdict"]


class Verdict(enum.Enum):
    """What may be done with a document."""

    SHOW = "show"
    """It is as new as anything that the shopper has seen."""
    REFRESH = "refresh"
    """It lacks a change that Emporix took: good enough from Emporix itself, but not from a cache or a store."""
    OVERLAY = "overlay"
    """Older than what the shopper has seen: shown with the taken changes over it if it is cached, not taken up anew."""
    HIDE = "hide"
    """It is older than what the shopper has seen, and nobody here knows what it lacks."""
