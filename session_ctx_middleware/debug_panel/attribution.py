"""Whose call it was: calls are shared by requests, and go on when those are gone, so that none belongs to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..observing import Call
from .records import RequestRecord

__all__ = ["OwnedCall", "calls_of"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OwnedCall:
    """A call, and what is known of whose it was.

    Args:
        call: the call.
        owner: stands for the token that it went out with, `None` where that was none.
        record: the request that has made it by itself.
    """

    call: Call
    owner: bytes | None
    record: RequestRecord | None

    def overlaps(self, record: RequestRecord) -> bool:
        """Tell whether a request was there when the call was."""
        ended = self.call.began + self.call.seconds
        return record.began <= ended and self.call.began <= record.began + record.seconds


def calls_of(records: Sequence[RequestRecord], calls: Sequence[OwnedCall]) -> tuple[dict[int, list[Call]], list[Call]]:
    """Return the calls of each request by its number, and those that are of none in particular.

    A call is of the request that made it, and else of all that had its token meanwhile; one without a shopper's token
    is of the request that was alone then.
    """
    found: dict[int, list[Call]] = {record.number: [] for record in records}
    elsewhere = []
    for each in calls:
        owners = _owners(each, records)
        for record in owners:
            found[record.number].append(each.call)
        if not owners:
            elsewhere.append(each.call)
    return found, elsewhere


def _owners(owned: OwnedCall, records: Sequence[RequestRecord]) -> list[RequestRecord]:
    if owned.record is not None:
        return [record for record in records if record is owned.record]
    there = [record for record in records if owned.overlaps(record)]
    same = [record for record in there if owned.owner in record.owners]
    return same or (there if len(there) == 1 else [])
