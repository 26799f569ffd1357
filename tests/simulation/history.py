"""What a run is played on, and everything that happened in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .model import ServerSession

__all__ = ["ONE_PROCESS", "History", "Read", "Setup", "Write"]


@dataclass(frozen=True)
class Setup:
    """What a shop runs on.

    Args:
        workers: processes; each request goes to one at random.
        cookie: whether they have a secret for the continuity cookie.
        store: ``none`` for one of each worker's own, else the shared one: ``healthy``, or ``faulty``, which loses
            notices, fails and is emptied.
        skew: seconds by which the clocks of hosts differ at most.
    """

    workers: int = 1
    cookie: bool = False
    store: str = "none"
    skew: float = 0.0


ONE_PROCESS = Setup()


@dataclass
class Read:
    """What one page saw."""

    session: str
    token: str
    start: float
    end: float
    values: dict[str, object]
    shown_session: str | None
    stale: bool
    degraded: bool
    rejected: bool
    exists: bool
    worker: int


@dataclass
class Write:
    """What one request wanted, and whether that was acknowledged; `end` is when."""

    session: str
    token: str
    path: str
    value: object
    start: float
    worker: int
    end: float | None = None
    outcome: str = "open"
    parked: bool = False


@dataclass
class History:
    """Everything that happened in one run."""

    seed: int
    reads: list[Read] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    forgotten: dict[str, list[float]] = field(default_factory=dict)
    rejected: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    operations: int = 0
    faults: int = 0
    final: dict[str, Read] = field(default_factory=dict)
    server: dict[str, ServerSession] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    foul_play: list[str] = field(default_factory=list)
    most_patches_at_once: int = 0
    left_over: list[str] = field(default_factory=list)
    setup: Setup = ONE_PROCESS
