"""What may be done with a document."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["HIDE", "OVERLAY", "REFRESH", "SHOW", "Verdict"]


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


# Up to Python 3.11 an attribute of an enumeration takes as long as a call, and two are needed for every miss.
SHOW: Final = Verdict.SHOW
REFRESH: Final = Verdict.REFRESH
OVERLAY: Final = Verdict.OVERLAY
HIDE: Final = Verdict.HIDE
