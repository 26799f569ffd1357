"""Counters of one middleware."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(slots=True)
class Stats:
    """What happened so far in this process; `Events` counts the rest.

    Args:
        hits: reads answered from the cache, fresh.
        stale: reads answered from the cache, stale.
        misses: reads that waited for Emporix.
        degraded: reads that got nothing, because Emporix could not be asked.
        upstream_gets: GET calls to Emporix.
        upstream_patches: PATCH calls to Emporix.
        refused_publications: answers not put into the cache, because a write overlapped them.
        travelled: documents taken from the browsers that brought them.
    """

    hits: int = 0
    stale: int = 0
    misses: int = 0
    degraded: int = 0
    upstream_gets: int = 0
    upstream_patches: int = 0
    refused_publications: int = 0
    travelled: int = 0

    def reads(self) -> int:
        """Return how many reads there were, all of them with a token."""
        return self.hits + self.stale + self.misses + self.degraded

    def count_hit(self) -> None:
        """Count a read answered from the cache, fresh."""
        self.hits += 1

    def count_stale(self) -> None:
        """Count a read answered from the cache, stale."""
        self.stale += 1

    def count_miss(self) -> None:
        """Count a read that waited for Emporix."""
        self.misses += 1

    def count_degraded(self) -> None:
        """Count a read that got nothing."""
        self.degraded += 1

    def count_get(self) -> None:
        """Count a GET call."""
        self.upstream_gets += 1

    def count_patch(self) -> None:
        """Count a PATCH call."""
        self.upstream_patches += 1

    def count_refused_publication(self) -> None:
        """Count an answer that is not put into the cache."""
        self.refused_publications += 1

    def count_travelled(self) -> None:
        """Count a document that a browser brought."""
        self.travelled += 1
