"""What two tokens of one session know of its versions, joined. Pure."""

from __future__ import annotations

from dataclasses import replace

from ..model.operation import SOMEHOW
from .consistency import LAG, START, Consistency
from .incarnations import floors_besides, precedence
from .made import made_besides
from .notes import joined_start

__all__ = ["merged"]


def merged(one: Consistency, other: Consistency) -> Consistency:
    """Join what two tokens of one session know of its versions; commutative and idempotent.

    Where only one of them knows of an announcement, the joined value claims no more than that one: the other may
    believe itself complete because it does not know of the change. Where one of them has seen a lower version later
    than any replica lags, the version fell. What is about one token and its browser (`retired`, `hint`, `required`,
    `satisfied`) stays that of the first one.
    """
    newer, older = sorted((one, other), key=_precedence, reverse=True)
    if newer.incarnation == older.incarnation and older.since > newer.since + LAG and older.floor < newer.floor:
        newer, older = older, replace(START, taken=newer.taken.up_to(older.floor))
    taken = newer.taken.newest(older.taken if _same(newer, older) else older.taken.as_taken(SOMEHOW))
    return replace(
        newer,
        made=made_besides(taken, older.taken, (*newer.made, *older.made)),
        floor=max(newer.floor, older.floor_of(newer.incarnation)) if newer.incarnation is not None else -1,
        since=max(newer.since, older.since),
        announced=max(newer.announced, older.announced) if _same(newer, older) else newer.announced,
        complete_from=_merged_start(newer, older),
        earlier=floors_besides(newer.incarnation, newer.known_floors(), older.known_floors()),
        retired=one.retired,
        hint=one.hint,
        required=one.required,
        satisfied=one.satisfied,
    ).remembering(taken)


def _same(one: Consistency, other: Consistency) -> bool:
    return one.incarnation == other.incarnation or other.incarnation is None


def _precedence(value: Consistency) -> tuple[object, ...]:
    return (*precedence(value.incarnation), value.announced, value.floor, -value.complete_from)


def _merged_start(newer: Consistency, older: Consistency) -> int:
    if not _same(newer, older) or newer.announced > older.announced:
        return newer.complete_from
    ranges = ((newer.complete_from, newer.floor), (older.complete_from, older.floor))
    return joined_start(*sorted(ranges, key=lambda each: (each[1], -each[0])))
