"""What an answer of Emporix means: the status decides, the body only adds a code or a session id."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from ..clock import Clock
from ..errors import (
    ChangeRefused,
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
    VersionConflict,
)
from ..model.document import ContextDocument
from ..model.frozen_json import loads

__all__ = ["READING", "SIGNING_IN", "WRITING", "Answer", "document_of", "error_of", "require_success", "seconds_of"]


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """One answer, read to its end.

    Args:
        status: the HTTP status.
        body: the bytes of the body.
        retry_after: seconds that Emporix asked to wait, `None` where it did not.
    """

    status: int
    body: bytes = b""
    retry_after: float | None = None


READING: Final[Mapping[int, type[EmporixError]]] = {
    401: TokenRejected,
    403: TokenRejected,
    404: ContextNotFound,
    429: TooManyRequests,
}

WRITING: Final[Mapping[int, type[EmporixError]]] = {
    400: ChangeRefused,
    401: TokenRejected,
    403: ChangeRefused,
    404: ContextNotFound,
    409: VersionConflict,
    412: VersionConflict,
    422: ChangeRefused,
    **dict.fromkeys((413, 414, 415, 431), ChangeRefused),
    429: TooManyRequests,
}

SIGNING_IN: Final[Mapping[int, type[EmporixError]]] = {
    400: TokenRejected,
    401: TokenRejected,
    403: TokenRejected,
    429: TooManyRequests,
}

_SUCCESS: Final = frozenset({200, 201, 204})
_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,80}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_MAX_SESSION_ID: Final = 256


def document_of(operation: str, answer: Answer) -> ContextDocument:
    """Return the context that an answer carries.

    Args:
        operation: the name of the call.
        answer: what came back.

    Raises:
        MalformedAnswer: status 200, but no document that can be used.
        EmporixError: every other status.
    """
    if answer.status != 200:
        raise error_of(operation, answer, READING)
    document = _parsed(answer.body)
    # Raised here and not while the parser's error is handled: that one holds the whole body.
    if document is None:
        raise MalformedAnswer(operation, answer.status, "not a session context with a usable version")
    return document


def require_success(operation: str, answer: Answer) -> None:
    """Return when a change was made, raise what `error_of` makes of the answer otherwise."""
    if answer.status not in _SUCCESS:
        raise error_of(operation, answer, WRITING)


def error_of(operation: str, answer: Answer, kinds: Mapping[int, type[EmporixError]]) -> EmporixError:
    """Return the error that stands for an answer.

    Args:
        operation: the name of the call.
        answer: what came back.
        kinds: status to class; a status that is not in it is an `EmporixFailed`.
    """
    kind = kinds.get(answer.status, EmporixFailed)
    if kind is ContextNotFound:
        body = _object(answer.body)
        return ContextNotFound(operation, answer.status, _code(body), session_id=_session_id(body))
    redirected = 300 <= answer.status < 400
    reason = "redirects are not followed" if redirected else _code(_object(answer.body))
    return kind(operation, answer.status, reason, retry_after=answer.retry_after)


def seconds_of(retry_after: str | None, clock: Clock) -> float | None:
    """Return how long ``Retry-After`` asks to wait (RFC 9110, section 10.2.3).

    Args:
        retry_after: the header, seconds or an HTTP date.
        clock: measures how far away a date is.

    Returns:
        Seconds, `None` where the header is missing, nonsense or in the past.
    """
    if retry_after is None:
        return None
    seconds = retry_after.strip()
    if _SECONDS.fullmatch(seconds):
        return float(seconds)
    try:
        left = parsedate_to_datetime(retry_after).timestamp() - clock.time()
    except (ValueError, OverflowError, TypeError, IndexError, OSError):
        return None
    return left if math.isfinite(left) and left >= 0 else None


def _parsed(body: bytes) -> ContextDocument | None:
    try:
        return ContextDocument.parse(body)
    except (ValueError, RecursionError):
        return None


def _object(body: bytes) -> Mapping[str, object]:
    try:
        data = loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _code(body: Mapping[str, object]) -> str:
    """Return the gateway's error code: the one text of an answer that is never about a shopper."""
    found: object = body
    for key in ("fault", "detail", "errorcode"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""


def _session_id(body: Mapping[str, object]) -> str | None:
    found = body.get("sessionId")
    if isinstance(found, str) and 0 < len(found) <= _MAX_SESSION_ID and found.isprintable():
        return found
    return None
