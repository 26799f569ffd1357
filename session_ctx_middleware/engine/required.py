"""The version that a shopper has seen on another worker, as notes tell, and that a document has to reach. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ..model.document import ContextDocument
from .notes import Floor

__all__ = ["FAR_AHEAD", "LAG", "Required", "required"]

LAG: Final = 10.0
"""Seconds for which a replica of Emporix may be behind."""
FAR_AHEAD: Final = 1_000


@dataclass(frozen=True, slots=True, repr=False)
class Required:
    """A floor of the shopper's notes that a document has to reach.

    Args:
        floor: the floor.
        written: when that version was written, as far as is known, in monotonic seconds.
        waived: whether Emporix was asked for it often enough; until notes bring it again.
    """

    floor: Floor
    written: float
    waived: bool = False

    def is_missed_by(self, document: ContextDocument, asked_at: float, context: str) -> bool:
        """Tell whether a document, which was asked for then, is of that context and does not reach the floor."""
        if self.waived or asked_at > self.written + LAG or self.floor.context != context:
            return False
        # Signed notes may be absurd, too; nobody makes a thousand changes between two pages.
        return document.version < self.floor.version <= document.version + FAR_AHEAD

    def expects_a_context(self, asked_at: float) -> bool:
        """Tell whether Emporix, asked then (monotonic seconds), had a context a moment before."""
        return not self.waived and asked_at <= self.written + LAG

    def dated(self, written: float) -> Required:
        """Return the same, written then (monotonic seconds) if that is before what was known."""
        return self if written >= self.written else replace(self, written=written)

    def given_up(self) -> Required:
        """Return the same, for which Emporix was asked often enough."""
        return replace(self, waived=True)


def required(floor: Floor, written: float, before: Required | None) -> Required:
    """Return what is required when notes bring a floor.

    Args:
        floor: the floor.
        written: when it was written, or before, in monotonic seconds.
        before: what was required until now.
    """
    if before is not None and (before.floor.context, before.floor.version) == (floor.context, floor.version):
        written = min(written, before.written)
    return Required(floor, written)
