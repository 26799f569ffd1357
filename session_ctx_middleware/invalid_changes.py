"""What becomes of an `InvalidChange` that leaves the application: an answer that says what was wrong."""

from __future__ import annotations

from starlette.responses import PlainTextResponse

from .errors import InvalidChange

__all__ = ["invalid_change_in", "unprocessable"]


def invalid_change_in(error: Exception) -> InvalidChange | None:
    """Return an invalid change, also one from tasks of a group, where nothing else went wrong there."""
    while isinstance(error, ExceptionGroup):
        if error.split(InvalidChange)[1] is not None:
            return None
        error = error.exceptions[0]
    return error if isinstance(error, InvalidChange) else None


def unprocessable(error: InvalidChange) -> PlainTextResponse:
    """Return the answer to a request that wanted what no context can hold (RFC 9110, section 15.5.21)."""
    return PlainTextResponse(str(error), 422, {"cache-control": "no-store"})
