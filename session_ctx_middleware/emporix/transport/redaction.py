"""Keeps addresses out of logs and traces: they hold tokens, session ids and attribute names."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["kept_out_of_traces", "redacted_request_lines"]

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


@contextmanager
def redacted_request_lines(operation: str) -> Iterator[None]:
    """Let the HTTP client log `operation` instead of the URL."""
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).addFilter(_FILTER)  # added once, however often it is asked for
    token = _operation.set(operation)
    try:
        yield
    finally:
        _operation.reset(token)


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
