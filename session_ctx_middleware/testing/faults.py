"""What goes wrong on purpose, and what was called."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Call", "Calls", "ConnectionDropped", "Fault", "Faults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which a call goes wrong.

    Args:
        status: answered instead of doing what was asked; with `apply`, after doing it.
        by: who answers `status`, and so in which form a 401, 403 or 404 without `body` comes: ``emporix`` itself, a
            ``gateway`` that says so for a reason of its own (a fault), or a ``proxy`` or firewall (an HTML page).
        body: answered instead of the real body; alone, the call is done and answered 200 with this.
        headers: added to the answer.
        retry_after: the ``Retry-After`` header.
        delay: seconds before anything happens.
        delay_after: seconds between the effect and the answer.
        drop: the connection breaks, before or after the effect.
        apply: let the effect happen although `status` says it did not.
        probability: how often the fault strikes, 0 to 1.
        hang: never answer.

    Raises:
        ValueError: a value has no meaning.
    """

    status: int | None = None
    by: Literal["emporix", "gateway", "proxy"] = "emporix"
    body: bytes | Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: str | int | None = None
    delay: float = 0.0
    delay_after: float = 0.0
    drop: Literal["before", "after"] | None = None
    apply: bool = False
    probability: float = 1.0
    hang: bool = False

    def __post_init__(self) -> None:
        if self.drop not in {None, "before", "after"}:
            raise ValueError("Fault(drop=...) is 'before' or 'after' the effect.")
        if self.by not in {"emporix", "gateway", "proxy"}:
            raise ValueError("Fault(by=...) is 'emporix', 'gateway' or 'proxy'.")
        if not 0 <= self.probability <= 1:
            raise ValueError("Fault(probability=...) is between 0 and 1.")
        if self.status is not None and not 100 <= self.status <= 599:
            raise ValueError("Fault(status=...) is an HTTP status, 100 to 599.")
        if min(self.delay, self.delay_after) < 0:
            raise ValueError("Fault(delay=...) and Fault(delay_after=...) are seconds from 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that arrived.

    Args:
        operation: its name, such as ``context.patch``.
        method: the HTTP method.
        path: the path, without the query.
        status: what was answered, `None` when the connection was dropped.
        session_id: whose session, where the call was authorised.
        body: the parsed JSON body.
    """

    operation: str
    method: str
    path: str
    status: int | None
    session_id: str | None = field(default=None, repr=False)
    body: object = field(default=None, repr=False)


class ConnectionDropped(Exception):
    """The connection broke on purpose; `when` tells whether the effect had happened."""

    def __init__(self, when: Literal["before", "after"]) -> None:
        super().__init__(f"connection dropped {when} the effect")
        self.when = when


def matches(pattern: str, operation: str) -> bool:
    """Tell whether a pattern names an operation: itself, its service (``context``, ``context.*``), or ``*``."""
    prefix = pattern.removesuffix("*").removesuffix(".")
    return not prefix or operation == prefix or operation.startswith(f"{prefix}.")


class Faults:
    """The faults that wait for their call, first come first served.

    Args:
        rng: decides about faults with a probability.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._waiting: list[tuple[str, Fault, int | None]] = []

    def add(self, pattern: str, fault: Fault, times: int | None) -> None:
        """Let a fault strike `times` calls, or all until `clear`."""
        if times is None or times > 0:
            self._waiting.append((pattern, fault, times))

    def clear(self) -> None:
        """Forget all faults."""
        self._waiting.clear()

    def strike(self, operation: str) -> Fault | None:
        """Return the fault of a call that arrives, and count it down."""
        for index, (pattern, fault, times) in enumerate(self._waiting):
            if matches(pattern, operation) and self._rng.random() < fault.probability:
                if times == 1:
                    del self._waiting[index]
                elif times is not None:
                    self._waiting[index] = (pattern, fault, times - 1)
                return fault
        return None


class Calls(list[Call]):
    """The calls so far, in the order of their answers."""

    def count(self, operation: object = None) -> int:
        """Return how many calls there were of an operation, of a service, or in all."""
        pattern = "*" if operation is None else str(operation)
        return sum(matches(pattern, call.operation) for call in self)
