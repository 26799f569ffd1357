"""What follows from what other workers say of a context. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..model.changes import ContextChanges
from .consistency import LAG, Consistency

__all__ = ["denied", "told"]

LONGEST_NOTICE: Final = 2.0
"""Seconds after which a worker has heard of what others announce, or believes nothing."""


def told(known: Consistency, taken: ContextChanges, version: int, at: float) -> Consistency:
    """Note which changes a version was made for, by way of another worker.

    Args:
        known: what is known; the version has been announced.
        taken: the changes.
        version: the version.
        at: now, in monotonic seconds.
    """
    if known.incarnation is not None and version < known.floor and at > known.since + LAG:  # versions have fallen
        before = known.starting_anew(known.incarnation, version - 1, at)
        known = before.announced_by_peer(known.incarnation, version, at)
    every = taken.newest(known.taken)
    then = known.extended(version - 1, version).remembering(every)
    # Whoever said before that there was such a version may have been told so in vain.
    is_news = version >= known.floor and every.operations != known.taken.operations
    return replace(then, since=max(then.since, at)) if is_news else then


def denied(known: Consistency, version: int, at: float) -> Consistency:
    """Give the floor up for a lower version that another worker announces: it would have heard of a later one.

    A backup was put back, or nobody but a proxy has ever seen the change that made the floor.

    Args:
        known: what is known.
        version: the lower version.
        at: now, in monotonic seconds.
    """
    if version >= known.floor or at <= known.since + LONGEST_NOTICE:
        return known
    return replace(known, floor=version, since=at, announced=version, complete_from=version)
