from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from session_ctx_middleware.emporix.answers import READING, SIGNING_IN, WRITING, Answer, error_of, seconds_of
from session_ctx_middleware.errors import (
    ChangeRefused,
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
    VersionConflict,
)

from .clock import VirtualClock
from .conftest import Call, Upstream

READS = ["context.get", "managed.get"]
WRITES = [
    "context.patch",
    "context.attribute_add",
    "context.attribute_remove",
    "managed.put",
    "managed.attribute_add",
    "managed.attribute_remove",
]

ALIKE = {
    **dict.fromkeys([202, 203, 205, 206], EmporixFailed),
    **dict.fromkeys([300, 301, 302, 303, 304, 307, 308], EmporixFailed),
    **dict.fromkeys([402, 405, 406, 408, 410, 411, 413, 415, 418, 425, 431, 451], EmporixFailed),
    **dict.fromkeys([500, 501, 502, 503, 504, 520, 599], EmporixFailed),
    401: TokenRejected,
    404: ContextNotFound,
    429: TooManyRequests,
}
READ_TABLE = {**ALIKE, 201: EmporixFailed, 204: EmporixFailed, 400: EmporixFailed, 403: TokenRejected}
READ_TABLE |= {409: EmporixFailed, 412: EmporixFailed, 422: EmporixFailed}
WRITE_TABLE = {**ALIKE, 400: ChangeRefused, 403: ChangeRefused, 422: ChangeRefused}
WRITE_TABLE |= {409: VersionConflict, 412: VersionConflict, **dict.fromkeys([413, 414, 415, 431], ChangeRefused)}

BODIES = {
    "empty": b"",
    "service": b'{"code": 404, "message": "The context with sessionId S-1 and version 4 has not been found."}',
    "gateway": b'{"fault": {"faultstring": "S-1", "detail": {"errorcode": "steps.oauth.v2.InsufficientScope"}}}',
    "html": b"<html><body>S-1</body></html>",
    "latin": "S-1 \xfc".encode("latin-1"),
    "list": b'["S-1"]',
    "odd": b'{"fault": ["S-1"], "sessionId": {"a": "S-1"}}',
    "odder": b'{"fault": {"detail": {"errorcode": "S-1 is gone"}}, "sessionId": ""}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize(
    ("operation", "status", "kind"),
    [(o, s, k) for o in READS for s, k in READ_TABLE.items()]
    + [(o, s, k) for o in WRITES for s, k in WRITE_TABLE.items()],
)
async def test_every_status_has_its_error_in_every_operation(
    operation: str, status: int, kind: type[EmporixError], calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(status, {"code": status, "message": "S-1"})
    with pytest.raises(kind) as caught:
        await calls[operation]()
    assert type(caught.value) is kind
    assert caught.value.operation == operation
    assert caught.value.status == status
    assert "S-1" not in str(caught.value)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
@pytest.mark.parametrize("operation", ["context.get", "context.patch", "managed.put"])
async def test_the_status_decides_whatever_the_body_is(
    operation: str, status: int, body: bytes, calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(status, body)
    table = READ_TABLE if operation in READS else WRITE_TABLE
    with pytest.raises(table[status]) as caught:
        await calls[operation]()
    assert "S-1" not in "".join(traceback.format_exception(caught.value))


async def test_the_error_code_of_the_gateway_is_the_reason(calls: dict[str, Call], upstream: Upstream) -> None:
    upstream.answer(403, BODIES["gateway"])
    with pytest.raises(ChangeRefused) as caught:
        await calls["context.patch"]()
    assert caught.value.reason == "steps.oauth.v2.InsufficientScope"


@pytest.mark.parametrize("operation", READS + WRITES)
async def test_a_404_keeps_the_session_id_of_its_body_outside_the_text(
    operation: str, calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(404, {"sessionId": "S-1", "code": 404, "message": "Session not found"})
    with pytest.raises(ContextNotFound) as caught:
        await calls[operation]()
    assert caught.value.session_id == "S-1"
    assert "S-1" not in str(caught.value)


@pytest.mark.parametrize("session_id", [None, "", 7, ["x"], "a\nb", "x" * 257])
async def test_a_404_without_a_usable_session_id_has_none(
    session_id: object, calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(404, {"sessionId": session_id})
    with pytest.raises(ContextNotFound) as caught:
        await calls["context.get"]()
    assert caught.value.session_id is None


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("operation", WRITES)
async def test_a_change_succeeds_with_200_201_and_204(
    operation: str, status: int, calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(status, b"" if status == 204 else b'"gift"')
    assert await calls[operation]() is None


@pytest.mark.parametrize("operation", READS)
async def test_a_read_returns_the_document(operation: str, calls: dict[str, Call], upstream: Upstream) -> None:
    upstream.answer(200, {"currency": "EUR", "metadata": {"version": 3}, "news": 1})
    document = await calls[operation]()
    assert (document.version, document.currency, dict(document.extra)) == (3, "EUR", {"news": 1})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>S-1</html>",
        b'{"sessionId": "S-1"}',
        b'{"metadata": {"version": "S-1"}}',
        b'{"metadata": {"version": NaN}}',
        b'{"metadata": {"version": true}}',
        b'{"metadata": {"version": -1}}',
        b'{"metadata": {"version": 1}, "currency": ["S-1"]}',
        b'{"metadata": {"version": 1}, "context": "S-1"}',
        b'\xff{"metadata": {"version": 1}}',
        b'{"metadata": {"version": 1}, "context": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b"[" * 200_000,
    ],
    ids=range(14),
)
@pytest.mark.parametrize("operation", READS)
async def test_a_200_that_is_no_document_is_malformed_and_not_quoted(
    operation: str, body: bytes, calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(200, body)
    with pytest.raises(MalformedAnswer) as caught:
        await calls[operation]()
    assert caught.value.status == 200
    # Neither as text nor as an object: a parser's error holds the whole body.
    assert caught.value.__context__ is None
    assert "S-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, TokenRejected), (401, TokenRejected), (403, TokenRejected), (404, EmporixFailed), (429, TooManyRequests)],
)
def test_a_refused_sign_in_is_about_the_credentials(status: int, kind: type[EmporixError]) -> None:
    assert type(error_of("oauth.token", Answer(status), SIGNING_IN)) is kind


@pytest.mark.parametrize("kinds", [READING, WRITING])
def test_only_a_redirect_is_explained_as_one(kinds: Mapping[int, type[EmporixError]]) -> None:
    assert error_of("x", Answer(302), kinds).reason == "redirects are not followed"
    assert error_of("x", Answer(500), kinds).reason == ""


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("999999999", 999_999_999.0),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("1,000", None),
        ("12, 13", None),
        ("٣", None),
        ("9" * 400, None),
        ("soon", None),
        ("Fri, 99 Foo 2027 00:00:00 GMT", None),
        ("Fri, 01 Jan 0001 00:00:00 +2359", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_retry_after_in_seconds_is_read_and_nonsense_is_ignored(
    header: str | None, seconds: float | None, clock: VirtualClock
) -> None:
    if header is not None and "9999" in header and "Dec" in header:
        # Beyond what a date can be, or a very long time: never an exception.
        seconds_of(header, clock)
        return
    assert seconds_of(header, clock) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90.0), (0, 0.0), (-1, None), (86_400, 86_400.0)])
def test_retry_after_as_a_date_is_counted_from_now(ahead: int, seconds: float | None, clock: VirtualClock) -> None:
    date = datetime.fromtimestamp(clock.time(), UTC) + timedelta(seconds=ahead)
    assert seconds_of(format_datetime(date, usegmt=True), clock) == seconds


@pytest.mark.parametrize(("status", "kind"), [(429, TooManyRequests), (503, EmporixFailed)])
@pytest.mark.parametrize("operation", READS + WRITES)
async def test_retry_after_is_told_with_the_error(
    operation: str, status: int, kind: type[EmporixError], calls: dict[str, Call], upstream: Upstream
) -> None:
    upstream.answer(status, b"", {"retry-after": "17"})
    with pytest.raises(kind) as caught:
        await calls[operation]()
    assert caught.value.retry_after == 17.0
