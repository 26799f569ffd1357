"""Reading and writing one session context: knows neither ASGI nor an HTTP library."""

from ..model.view import NOTHING_KNOWN, Snapshot
from .engine import Engine, Parts
from .job import Commit, Settled
from .keys import Keys
from .note import ForeignPending, Note
from .ports import ContextSource
from .stats import Stats

__all__ = [
    "NOTHING_KNOWN",
    "Commit",
    "ContextSource",
    "Engine",
    "ForeignPending",
    "Keys",
    "Note",
    "Parts",
    "Settled",
    "Snapshot",
    "Stats",
]
