"""Counters of one middleware."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(slots=True)
class Stats:
    """What happened so far in this process.

    Args:
        hits: reads answered from the cache, fresh.
        stale: reads answered from the cache, stale.
        misses: reads that waited for Emporix.
        degraded: reads that got nothing, because Emporix could not be asked.
        upstream_gets: GET calls to Emporix.
        upstream_patches: PATCH calls to Emporix.
        upstream_unavailable: times that Emporix failed so often that it was left alone.
        refused_publications: answers not put into the cache, because a write overlapped them.
        applied: commits that Emporix took.
        already: commits that Emporix had no need for.
        parked: commits that wait until Emporix can take them.
        refused: commits that Emporix refused.
        dropped: commits that Emporix took only without the parked changes that went along.
        failed: commits that could not be sent, and could not be parked.
    """

    hits: int = 0
    stale: int = 0
    misses: int = 0
    degraded: int = 0
    upstream_gets: int = 0
    upstream_patches: int = 0
    upstream_unavailable: int = 0
    refused_publications: int = 0
    applied: int = 0
    already: int = 0
    parked: int = 0
    refused: int = 0
    dropped: int = 0
    failed: int = 0

    def count_commit(self, outcome: str) -> None:
        """Count a commit by how it ended: ``applied``, ``already``, ``parked``, ``refused`` or ``failed``."""
        match outcome:
            case "applied":
                self.applied += 1
            case "already":
                self.already += 1
            case "parked":
                self.parked += 1
            case "refused":
                self.refused += 1
            case "failed":
                self.failed += 1

    def count_dropped(self) -> None:
        """Count that parked changes were dropped, as Emporix refused them."""
        self.dropped += 1

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

    def count_unavailable(self) -> None:
        """Count that Emporix is left alone, because it failed too often."""
        self.upstream_unavailable += 1

    def count_refused_publication(self) -> None:
        """Count an answer that is not put into the cache."""
        self.refused_publications += 1
