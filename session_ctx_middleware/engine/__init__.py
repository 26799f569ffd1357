"""Reading and writing one session context: knows neither ASGI nor an HTTP library."""

from ..model.view import NOTHING_KNOWN, Snapshot
from .carried import Carried, Waiting
from .engine import Engine, Parts
from .identity import Naming
from .job import Commit, Settled
from .ports import ContextSource
from .stats import Stats

__all__ = [
    "NOTHING_KNOWN",
    "Carried",
    "Commit",
    "ContextSource",
    "Engine",
    "Naming",
    "Parts",
    "Settled",
    "Snapshot",
    "Stats",
    "Waiting",
]
