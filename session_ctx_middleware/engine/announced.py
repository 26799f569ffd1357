"""What follows from what other workers say of a context. Pure."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Final

from ..model.changes import ContextChanges
from ..model.operation import SOMEHOW, Taken
from ..platform_time import PlatformTime
from .consistency import LAG, Consistency
from .made import latest
from .standing import INEXACT, is_to_come

__all__ = ["denied", "has_fallen", "is_made_since", "told"]

LONGEST_NOTICE: Final = 2.0
"""Seconds after which a worker has heard of what others announce, or believes nothing."""


def told(
    known: Consistency, before: Consistency, taken: ContextChanges, version: int, at: float, *, fallen: bool
) -> Consistency:
    """Note which changes a version was made for, by way of another worker.

    Args:
        known: what is known; the version has been announced.
        before: what was known before that.
        taken: the changes.
        version: the version.
        at: now, in monotonic seconds.
        fallen: whether versions have fallen since, see `has_fallen`.
    """
    start = min(before.complete_from, version - 1) if before.floor >= version - 1 else version - 1
    if fallen and known.incarnation is not None:
        anew = known.starting_anew(known.incarnation, version - 1, at)
        known, start = anew.announced_by_peer(known.incarnation, version, at), version - 1
    every = latest(taken, known.taken).over(known.taken)
    then = known.extended(start, version).remembering(every, taken)
    # Whoever said before that there was such a version may have been told so in vain.
    is_news = version >= known.floor and every.operations != known.taken.operations
    return replace(then, since=max(then.since, at)) if is_news else then


def has_fallen(known: Consistency, taken: ContextChanges, version: int, at: float, time: PlatformTime) -> bool:
    """Tell whether versions have fallen, as one is made now below another one that has been there before.

    Args:
        known: what is known.
        taken: the changes that it is made for.
        version: that another worker has made.
        at: now, in monotonic seconds.
        time: Emporix' time, of which two workers know but what is true within a second.
    """
    if version >= known.floor:
        return False
    since, now = time.at(known.since), time.at(at)
    if at > known.since + LAG or since is None or now is None:
        return at > known.since + LAG
    made = _last_made(taken)
    return since + INEXACT < made.sent and not is_to_come(made.at, now)


def is_made_since(known: Consistency, taken: ContextChanges, at: float, time: PlatformTime) -> bool:
    """Tell whether a version may have been made after what is known was read: Emporix may have it by now.

    Args:
        known: what is known.
        taken: the changes that it was made for.
        at: now, in monotonic seconds.
        time: Emporix' time.
    """
    since, made = time.at(known.since), _last_made(taken)
    return since is not None and since < made.sent + INEXACT and not is_to_come(made.at, time.at(at))


def _last_made(taken: ContextChanges) -> Taken:
    return max((each.taken or SOMEHOW for each in taken.operations.values()), key=attrgetter("sent"), default=SOMEHOW)


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
