"""Keeps addresses out of logs and traces: they hold tokens, session ids and attribute names."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["CountedHere", "RedactedRequestLines", "kept_out_of_traces"]

SUPPRESSED: Final = "suppress_instrumentation"
"""What instrumentations of OpenTelemetry look for in the current context before they begin a span."""

_operation: ContextVar[str] = ContextVar("session_ctx_middleware_operation")


class _NameInsteadOfUrl(logging.Filter):
    """Writes the name of the call where the URL stands; other users of the same loggers are not touched."""

    def filter(self, record: logging.LogRecord) -> bool:
        operation = _operation.get(None)
        if operation is not None and isinstance(record.args, tuple) and len(record.args) > 1:
            record.args = (record.args[0], operation, *record.args[2:])
        return True


class _NoHeaderFields(logging.Filter):
    """Keeps what HTTP/2 says of the fields of our calls to itself, and what is left of them in its tables.

    The tables belong to a connection: what one call has put there may be mentioned during any other.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        fields = record.args if isinstance(record.args, tuple) else ()
        return _operation.get(None) is None and not any(name in _FIELDS for name in fields)


_FIELDS: Final = frozenset({b":path", b"authorization", b"session-id", b"saas-token"})
_FILTERS: Final[tuple[tuple[logging.Filter, tuple[logging.Logger, ...]], ...]] = (
    (_NameInsteadOfUrl(), (logging.getLogger("httpx"), logging.getLogger("httpx2"))),
    (_NoHeaderFields(), (logging.getLogger("hpack.hpack"), logging.getLogger("hpack.table"))),
)


class RedactedRequestLines:
    """Has the HTTP client log the name of the call instead of the URL, inside a ``with`` block.

    Args:
        operation: the name of the call.
    """

    __slots__ = ("_operation", "_token")

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        for redaction, loggers in _FILTERS:
            for logger in loggers:
                logger.addFilter(redaction)  # added once, however often it is asked for
        self._token = _operation.set(self._operation)

    def __exit__(self, *_: object) -> None:
        _operation.reset(self._token)


class CountedHere:
    """Has no instrumentation of OpenTelemetry note a call, inside a ``with`` block: another one does, or nobody may."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        telemetry = sys.modules.get("opentelemetry.context")
        self._token = None if telemetry is None else telemetry.attach(telemetry.set_value(SUPPRESSED, value=True))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A coroutine that the garbage collector ends is in another context, and its own is gone with it.
        if self._token is not None and kind is not GeneratorExit:
            sys.modules["opentelemetry.context"].detach(self._token)


@contextmanager
def kept_out_of_traces() -> Iterator[None]:
    """Have no tracer that watches the HTTP client note a call, whose address would come with it.

    OpenTelemetry's instrumentations look for a value in the current context. Those of Sentry write spans and
    breadcrumbs into the current scope: a call has one of its own.
    """
    with ExitStack() as stack:
        stack.enter_context(CountedHere())
        sentry = sys.modules.get("sentry_sdk")
        if sentry is not None and hasattr(sentry, "isolation_scope"):
            stack.enter_context(sentry.isolation_scope())
            sentry.get_current_scope().clear()
        yield
