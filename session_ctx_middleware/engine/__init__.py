"""Reading and writing one session context: knows neither ASGI nor an HTTP library."""

from .engine import Engine
from .job import Commit, CommitResult
from .keys import Keys
from .note import ForeignPending, Note
from .ports import ContextSource
from .stats import Stats
from .wiring import EngineOptions

__all__ = [
    "Commit",
    "CommitResult",
    "ContextSource",
    "Engine",
    "EngineOptions",
    "ForeignPending",
    "Keys",
    "Note",
    "Stats",
]
