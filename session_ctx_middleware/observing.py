"""The port to telemetry: what whoever watches is told of each call, and what detached work keeps of its request."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["Call", "CallHook", "CallObserver", "Careful", "careful"]

_log = logging.getLogger("session_ctx_middleware")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP call that has ended. It holds no address, header or body: those may be secret.

    Args:
        operation: its name, such as ``context.get``.
        method: the HTTP method.
        host: of the platform.
        port: of the platform.
        began: when it was made, in monotonic seconds.
        seconds: how long it took.
        status: of the answer; `None` where none came.
        failure: why none came; else empty.
        error: why the call is none that succeeded, in a word; empty where nothing but the status says so.
    """

    operation: str
    method: str
    host: str
    port: int
    began: float
    seconds: float
    status: int | None = None
    failure: str = ""
    error: str = ""


CallHook: TypeAlias = Callable[[Call, str | None], object]
"""Is told of a call, and the token that it went out with: to know whose call it was, never to be kept."""


class CallObserver(Protocol):
    """Whoever watches the calls to the platform."""

    def called(self, call: Call, /) -> None:
        """Note a call that has ended just now."""
        ...

    def detached(self, *, awaited: bool) -> contextvars.Context:
        """Return the context variables for work that outlasts whoever begins it, and that belongs to nobody.

        Args:
            awaited: whether somebody waits for it.
        """
        ...


class Careful:
    """Lets nothing that an observer raises disturb what it watches.

    Args:
        observer: who watches.
        failed: is told what it has raised.
    """

    def __init__(self, observer: CallObserver, failed: Callable[[BaseException], None]) -> None:
        self._observer = observer
        self._failed = failed

    def called(self, call: Call, /) -> None:
        """Note a call that has ended just now."""
        try:
            self._observer.called(call)
        except Exception as error:  # noqa: BLE001 - watching must not break what is watched
            self._failed(error)

    def detached(self, *, awaited: bool) -> contextvars.Context:
        """Return the context variables for detached work; none where that fails."""
        try:
            return self._observer.detached(awaited=awaited)
        except Exception as error:  # noqa: BLE001 - likewise
            self._failed(error)
            return contextvars.Context()


def careful(observer: CallObserver | None) -> Careful | None:
    """Return an observer that disturbs nobody; the log has what it raises."""
    return observer if observer is None or isinstance(observer, Careful) else Careful(observer, _logged)


def _logged(error: BaseException) -> None:
    # Only the class: the text of an error that is not ours could quote data.
    _log.error("telemetry=... raised %s. Mend it; nothing else is disturbed.", type(error).__name__)
