"""What is told of each call to Emporix to whoever watches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Call", "CallHook"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that has ended.

    Args:
        operation: its name, such as ``context.get``.
        status: HTTP status of the answer; `None` where there was none.
        failure: why there was none; else empty.
        began: when it was made, in monotonic seconds.
        seconds: how long it took.
    """

    operation: str
    status: int | None
    failure: str
    began: float
    seconds: float


CallHook: TypeAlias = Callable[[Call, str | None], object]
"""Is told of a call, and the token that it went out with: to know whose call it was, never to be kept."""
