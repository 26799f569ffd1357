"""Keeps addresses out of logs and traces: they hold tokens, session ids and attribute names."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["RedactedRequestLines", "kept_out_of_traces"]

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


_FILTER: Final = _NameInsteadOfUrl()
_LOGGERS: Final = (logging.getLogger("httpx"), logging.getLogger("httpx2"))


class RedactedRequestLines:
    """Has the HTTP client log the name of the call instead of the URL, inside a ``with`` block.

    Args:
        operation: the name of the call.
    """

    __slots__ = ("_operation", "_token")

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        for logger in _LOGGERS:
            logger.addFilter(_FILTER)  # added once, however often it is asked for
        self._token = _operation.set(self._operation)

    def __exit__(self, *_: object) -> None:
        _operation.reset(self._token)


@contextmanager
def kept_out_of_traces() -> Iterator[None]:
    """Have no instrumentation of the HTTP client begin a span, whose ``url.full`` would have the whole address."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:  # then nobody traces
        yield
        return
    token = context.attach(context.set_value(SUPPRESSED, value=True))
    try:
        yield
    finally:
        context.detach(token)
