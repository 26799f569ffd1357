"""What an engine still holds; nothing of it may stay when nobody asks any more."""

from __future__ import annotations

from typing import Any

__all__ = ["left_over"]


def left_over(engine: Any) -> dict[str, int]:
    """Return how many things of each kind an engine has not let go of."""
    parts = engine._parts
    sizes = {
        "tasks": len(parts.tasks),
        "held locks": len(parts.commits.turns),
        "commits on their way": len(parts.commits.sending),
        "flights in the air": parts.reads.loads.flights.in_air,
        "pinned entries": len(parts.entries._pins),
        "fenced entries": len(parts.entries._writes),
    }
    return {name: size for name, size in sizes.items() if size}
