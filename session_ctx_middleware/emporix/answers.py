"""What an answer of Emporix means: the status decides, once its body has the form of Emporix' own answers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
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
from ..platform_time import http_date
from .forms import gateway_code, is_emporix_own

__all__ = [
    "FOREIGN",
    "READING",
    "SIGNING_IN",
    "WRITING",
    "Answer",
    "document_of",
    "error_of",
    "require_success",
    "seconds_of",
]


@dataclass(slots=True, eq=False, repr=False)  # frozen, it would take twice as long to make, with every call
class Answer:
    """One answer, read to its end.

    Args:
        status: the HTTP status.
        body: the bytes of the body; `None` where the HTTP client kept them to itself.
        retry_after: seconds that Emporix asked to wait, `None` where it did not.
    """

    status: int
    body: bytes | None = b""
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

FOREIGN: Final = "not in a form of Emporix' own: something on the way answers, or the path of base_url is wrong"
REDIRECTED: Final = "redirects are not followed"

_SUCCESS: Final = frozenset({200, 201, 204})
_OWN_WORD: Final = frozenset({401, 403, 404})
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
    document = _parsed(answer.body or b"")
    # Raised here and not while the parser's error is handled: that one holds the whole body.
    if document is None:
        raise MalformedAnswer(operation, answer.status, "not a session context with a usable version")
    return document


def require_success(operation: str, answer: Answer) -> None:
    """Return when a change was made, raise what `error_of` makes of the answer otherwise.

    A page is none of Emporix' successes: some firewalls answer what they block with 200.
    """
    if answer.status not in _SUCCESS:
        raise error_of(operation, answer, WRITING)
    if answer.body and answer.body.lstrip().startswith(b"<"):
        raise EmporixFailed(operation, answer.status, FOREIGN)


def error_of(operation: str, answer: Answer, kinds: Mapping[int, type[EmporixError]]) -> EmporixError:
    """Return the error that stands for an answer.

    Args:
        operation: the name of the call.
        answer: what came back.
        kinds: status to class; a status that is not in it is an `EmporixFailed`, and so is a 404, 401 or 403 that is
            not Emporix' own word, see `is_emporix_own`.
    """
    kind, body = kinds.get(answer.status, EmporixFailed), _object(answer.body)
    if answer.status in _OWN_WORD and answer.body is not None and not is_emporix_own(answer.status, body):
        return EmporixFailed(operation, answer.status, FOREIGN)  # whoever it is, Emporix has not asked for a pause
    if kind is ContextNotFound:
        return ContextNotFound(operation, answer.status, gateway_code(body), session_id=_session_id(body))
    reason = REDIRECTED if 300 <= answer.status < 400 else gateway_code(body)
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
        left = http_date(retry_after) - clock.time()
    except (ValueError, OverflowError, TypeError, IndexError, OSError):
        return None
    return left if math.isfinite(left) and left >= 0 else None


def _parsed(body: bytes) -> ContextDocument | None:
    try:
        return ContextDocument.parse(body)
    except (ValueError, RecursionError):
        return None


def _object(body: bytes | None) -> Mapping[str, object] | None:
    try:
        data = loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _session_id(body: Mapping[str, object] | None) -> str | None:
    found = None if body is None else body.get("sessionId")
    if isinstance(found, str) and 0 < len(found) <= _MAX_SESSION_ID and found.isprintable():
        return found
    return None
