"""The port to HTTP: what the clients of the platform ask of whatever library makes their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = [
    "BROKEN",
    "CLOSED",
    "CONNECT_SECONDS",
    "FAILED",
    "KEEPALIVE_SECONDS",
    "NOT_SENT",
    "TIMED_OUT",
    "UNUSABLE",
    "Options",
    "Reply",
    "Request",
    "TimeLimitedCall",
    "Transport",
]

CONNECT_SECONDS: Final = 2.0
KEEPALIVE_SECONDS: Final = 30.0

# Why there is no answer, in the same words whichever library it is that makes the calls.
CLOSED: Final = "the HTTP client is closed"
TIMED_OUT: Final = "timed out"
NOT_SENT: Final = "the request could not be sent"
UNUSABLE: Final = "the HTTP client could not be used, perhaps because it belongs to another event loop"
FAILED: Final = "the connection failed"

BROKEN: Final[tuple[type[Exception], ...]] = (OSError, EOFError, RuntimeError, UnicodeError)
"""What no library makes its own of, and means: no answer came.

RuntimeError: a closed client, a stream error, a connection that belongs to another event loop. UnicodeError: an address
that the answer redirects to, and that has no form.
"""


@dataclass(slots=True, repr=False, eq=False)
class Request:
    """One request.

    Args:
        operation: the name of the call, for whoever would write the URL into a log.
        method: the HTTP method.
        url: absolute and percent-encoded, with its query.
        headers: fields that the call needs besides those that the client sends with every request; ``Authorization`` is
            among them or is not sent at all.
        content: the body.
        dated: whether the date of the answer is asked for.
    """

    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None
    dated: bool = False


@dataclass(slots=True, repr=False, eq=False)
class Reply:
    """One answer, read to its end or left where it became useless.

    Args:
        status: the HTTP status.
        body: unpacked; `None` where it cannot be used.
        retry_after: the header ``Retry-After``.
        flaw: why there is no body: a part of a sentence.
        date: the header ``Date``, where it was asked for.
    """

    status: int
    body: bytes | None
    retry_after: str | None
    flaw: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What a client of our own is built for.

    Args:
        timeout: seconds that connecting (at most 2), sending, or a pause in the answer may take.
        total_timeout: seconds that the whole of a call may take.
        max_connections: connections open at once.
        proxy: the address of a proxy; `None` where Emporix is asked directly, whatever the environment says.
    """

    timeout: float
    total_timeout: float
    max_connections: int
    proxy: str | None = None

    @property
    def connect_timeout(self) -> float:
        """Seconds that connecting may take."""
        return min(self.timeout, CONNECT_SECONDS)


class TimeLimitedCall:
    """One call, and how far it has come; like the wait for it, it is measured by the running event loop.

    Args:
        seconds: that it may take.

    Attributes:
        is_reading: whether its body has begun: then it ends with the next piece that comes too late.
    """

    __slots__ = ("_ends_at", "_loop", "is_reading")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + seconds
        self.is_reading = False

    def begins_to_read(self) -> None:
        """Note that the body has begun."""
        self.is_reading = True

    def check(self) -> None:
        """Raise `TimeoutError` if the time is up."""
        if self._loop.time() >= self._ends_at:
            raise TimeoutError


class Transport(Protocol):
    """One HTTP client, on one event loop, behind the manners that all of them are to have.

    It follows no redirects, sends no cookies and no credentials but those of the request, makes each call at most once,
    and takes at most 256 KiB of a body, counted after decompression.
    """

    @property
    def cancellable(self) -> bool:
        """Whether a call may be cancelled without costing the client a connection for good."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed."""
        ...

    async def send(self, request: Request, call: TimeLimitedCall, /) -> Reply:
        """Make one call; raise whatever the library raises, see `meaning`."""
        ...

    def meaning(self, error: Exception, /) -> Reply | str | None:
        """Return what an exception of `send` stands for: an answer, the reason why there is none, or something else."""
        ...

    async def aclose(self) -> None:
        """Close the client."""
        ...
