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
    "unrouted": b'{"fault": {"faultstring": "S-1", "detail": {"errorcode": "messaging.adaptors.http.flow.NotFound"}}}',
    "html": b"<html><body>S-1</body></html>",
    "latin": "S-1 \xfc".encode("latin-1"),
    "list": b'["S-1"]',
    "odd": b'{"fault": ["S-1"], "sessionId": {"a": "S-1"}}',
    "odder": b'{"fault": {"detail": {"errorcode": "S-1 is gone"}}, "sessionId": ""}',
    "deep": b"[" * 100_000,
}
OWN_WORD = {404: {"service"}, 401: {"service", "gateway", "unrouted", "odd", "odder"}}
OWN_WORD[403] = OWN_WORD[401] - {"unrouted"}


@pytest.mark.parametrize(
    ("operation", "status", "kind"),
    [(o, s, k) for o in READS for s, k in READ_TABLE.items()]
    + [(o, s, k) for o in WRITES for s, k in WRITE_TABLE.items()],
)
async def test_status_decides_the_error(
    operation: str, status: int, kind: type[EmporixError], calls: dict[str, Call], upstream: Upstream
) -> None:
    """Every status has its error in every operation."""
    upstream.answer(status, {"code": status, "message": "S-1"})
    with pytest.raises(kind) as caught:
        await calls[operation]()
    assert type(caught.value) is kind
    assert caught.value.operation == operation
    assert caught.value.status == status
    assert "S-1" not in str(caught.value)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
@pytest.mark.parametrize("operation", ["context.get", "context.patch", "managed.put"])
async def test_form_of_the_body(
    operation: str, status: int, body: str, calls: dict[str, Call], upstream: Upstream
) -> None:
    """A 404, 401 or 403 in another form than Emporix' own is a failure; for every other status no body matters."""
    upstream.answer(status, BODIES[body])
    table = READ_TABLE if operation in READS else WRITE_TABLE
    kind = table[status] if body in OWN_WORD.get(status, BODIES) else EmporixFailed
    with pytest.raises(kind) as caught:
        await calls[operation]()
    assert type(caught.value) is kind
    assert "S-1" not in "".join(traceback.format_exception(caught.value))


OWN_404 = [
    {"sessionId": "S-1", "code": 404, "message": "Session not found"},
    {"code": 404, "status": "Not Found", "message": "Nothing here", "details": []},
    {"type": "resource_non_existing", "status": 404, "message": "Nothing here"},
    {"code": "404", "message": "Nothing here"},
    {"message": "The context with sessionId S-1 and version 4 has not been found."},
]
FOREIGN_404 = [
    {},
    {"message": "no Route matched with those values"},
    {"message": "Not Found"},
    {"detail": "Not Found"},
    {"error": "not_found"},
    {"error": {"code": 404, "message": "context"}},
    {"timestamp": "2026-01-01", "status": 404, "error": "Not Found", "path": "/x/session-context/acme/me/context"},
    {"statusCode": 404, "message": "Resource not found"},
    {"code": 5, "message": "Method does not exist.", "details": []},
    {"message": ["context"]},
]


@pytest.mark.parametrize("body", OWN_404)
async def test_own_404(body: dict[str, object], calls: dict[str, Call], upstream: Upstream) -> None:
    """Every form in which a service says that there is no such context is understood."""
    upstream.answer(404, body)
    with pytest.raises(ContextNotFound):
        await calls["context.get"]()


@pytest.mark.parametrize("body", FOREIGN_404)
async def test_foreign_404(body: dict[str, object], calls: dict[str, Call], upstream: Upstream) -> None:
    """The forms in which common gateways and frameworks do not know a path say nothing about a session."""
    upstream.answer(404, body)
    with pytest.raises(EmporixFailed, match="base_url") as caught:
        await calls["context.get"]()
    assert (type(caught.value), caught.value.status) == (EmporixFailed, 404)


KEY_CHECKS = [
    "oauth.v2.InvalidAccessToken",
    "steps.oauth.v2.InsufficientScope",
    "keymanagement.service.access_token_expired",
    "steps.jwt.TokenExpired",
    None,
]


@pytest.mark.parametrize("code", KEY_CHECKS)
async def test_key_check(code: str | None, calls: dict[str, Call], upstream: Upstream) -> None:
    """The gateway's check of the key refuses the token."""
    upstream.answer(403, {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": code}}})
    with pytest.raises(TokenRejected):
        await calls["context.get"]()


@pytest.mark.parametrize("code", ["steps.accesscontrol.IPDeniedAccess", "policies.ratelimit.QuotaViolation"])
async def test_other_policies(code: str, calls: dict[str, Call], upstream: Upstream) -> None:
    """What the gateway refuses for another reason refuses neither a token nor a change."""
    upstream.answer(403, {"fault": {"faultstring": "Access Denied", "detail": {"errorcode": code}}})
    for operation in ("context.get", "context.patch"):
        with pytest.raises(EmporixFailed) as caught:
            await calls[operation]()
        assert type(caught.value) is EmporixFailed


async def test_gateway_code_is_the_reason(calls: dict[str, Call], upstream: Upstream) -> None:
    """The error code of the gateway is the reason."""
    upstream.answer(403, BODIES["gateway"])
    with pytest.raises(ChangeRefused) as caught:
        await calls["context.patch"]()
    assert caught.value.reason == "steps.oauth.v2.InsufficientScope"


@pytest.mark.parametrize("operation", READS + WRITES)
async def test_session_id_of_a_404(operation: str, calls: dict[str, Call], upstream: Upstream) -> None:
    """A 404 keeps the session id of its body outside the text."""
    upstream.answer(404, {"sessionId": "S-1", "code": 404, "message": "Session not found"})
    with pytest.raises(ContextNotFound) as caught:
        await calls[operation]()
    assert caught.value.session_id == "S-1"
    assert "S-1" not in str(caught.value)


@pytest.mark.parametrize("session_id", [None, "", 7, ["x"], "a\nb", "x" * 257])
async def test_unusable_session_id_of_a_404(session_id: object, calls: dict[str, Call], upstream: Upstream) -> None:
    """A 404 without a usable session id has none."""
    upstream.answer(404, {"sessionId": session_id})
    with pytest.raises(ContextNotFound) as caught:
        await calls["context.get"]()
    assert caught.value.session_id is None


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("operation", WRITES)
async def test_success_of_a_change(operation: str, status: int, calls: dict[str, Call], upstream: Upstream) -> None:
    """A change succeeds with 200, 201 and 204."""
    upstream.answer(status, b"" if status == 204 else b'"gift"')
    assert await calls[operation]() is None


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("operation", WRITES)
async def test_page_is_no_success(operation: str, status: int, calls: dict[str, Call], upstream: Upstream) -> None:
    """A page that says success comes from something on the way."""
    upstream.answer(status, b" \n<!doctype html>")
    with pytest.raises(EmporixFailed) as caught:
        await calls[operation]()
    assert (type(caught.value), caught.value.status) == (EmporixFailed, status)


@pytest.mark.parametrize("operation", READS)
async def test_a_read_returns_the_document(operation: str, calls: dict[str, Call], upstream: Upstream) -> None:
    """A read returns the document."""
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
        b'\xff{"metadata": {"version": 1}}',
        b"[" * 200_000,
    ],
    ids=range(11),
)
@pytest.mark.parametrize("operation", READS)
async def test_unusable_200(operation: str, body: bytes, calls: dict[str, Call], upstream: Upstream) -> None:
    """A 200 that is no document is malformed and not quoted."""
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
def test_refused_sign_in(status: int, kind: type[EmporixError]) -> None:
    """A refused sign-in is about the credentials."""
    assert type(error_of("oauth.token", Answer(status, b'{"error": "invalid_client"}'), SIGNING_IN)) is kind


@pytest.mark.parametrize("kinds", [READING, WRITING])
def test_redirects_are_explained(kinds: Mapping[int, type[EmporixError]]) -> None:
    """Only a redirect is explained as one."""
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
def test_retry_after_seconds(header: str | None, seconds: float | None, clock: VirtualClock) -> None:
    """Retry-After in seconds is read, and nonsense is ignored."""
    if header is not None and "9999" in header and "Dec" in header:
        # Beyond what a date can be, or a very long time: never an exception.
        seconds_of(header, clock)
        return
    assert seconds_of(header, clock) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90.0), (0, 0.0), (-1, None), (86_400, 86_400.0)])
def test_retry_after_date(ahead: int, seconds: float | None, clock: VirtualClock) -> None:
    """Retry-After as a date is counted from now."""
    date = datetime.fromtimestamp(clock.time(), UTC) + timedelta(seconds=ahead)
    assert seconds_of(format_datetime(date, usegmt=True), clock) == seconds


@pytest.mark.parametrize(("status", "kind"), [(429, TooManyRequests), (503, EmporixFailed)])
@pytest.mark.parametrize("operation", READS + WRITES)
async def test_retry_after_in_the_error(
    operation: str, status: int, kind: type[EmporixError], calls: dict[str, Call], upstream: Upstream
) -> None:
    """Retry-After is told with the error."""
    upstream.answer(status, b"", {"retry-after": "17"})
    with pytest.raises(kind) as caught:
        await calls[operation]()
    assert caught.value.retry_after == 17.0
