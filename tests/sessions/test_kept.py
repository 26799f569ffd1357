"""What is kept of a session, and when its tokens are renewed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware.cbor import dumps, loads
from session_ctx_middleware.emporix import TokenAnswer
from session_ctx_middleware.sessions.kept import KeptSession

NOW = 1_800_000_000.0
ANSWER = TokenAnswer("access-1", 3600.0, "refresh-1", 86_400.0, "session-1")

texts = st.text(max_size=20)
moments = st.integers(0, 2**40)
sessions = st.builds(
    KeptSession,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    moments,
    moments,
    texts,
    moments,
    texts,
    texts,
    texts,
    st.booleans(),
    st.integers(0, 100),
    st.integers(0, 100),
    moments,
    texts,
    texts,
    st.booleans(),
    texts,
    texts,
    texts,
)


@given(sessions)
def test_round_trip(kept: KeptSession) -> None:
    """What is encoded comes back, whatever a later release adds behind it."""
    assert KeptSession.decode(kept.encode()) == kept


def test_earlier_release() -> None:
    """What an earlier release has kept, which knew less, is a session all the same."""
    fields = loads(KeptSession.granted(ANSWER, NOW).encode())
    assert isinstance(fields, list)
    for known in range(9, len(fields) + 1):
        assert KeptSession.decode(dumps(fields[:known])) == KeptSession.granted(ANSWER, NOW)


others = st.lists(st.integers(-(2**40), 2**40) | texts | st.none(), max_size=18).map(dumps)


@given(st.binary(max_size=200) | others)
def test_anything_else(data: bytes) -> None:
    """Bytes that are no session are none, and no error."""
    found = KeptSession.decode(data)
    assert found is None or isinstance(found, KeptSession)


def test_renewed_before_its_end() -> None:
    """A token is renewed two minutes before its end, one that lives for a minute after half of that."""
    kept = KeptSession.granted(ANSWER, NOW)
    assert [kept.is_due(NOW + seconds) for seconds in (0, 3479, 3481)] == [False, False, True]
    assert [kept.is_good(NOW + seconds) for seconds in (3599, 3601)] == [True, False]
    assert [kept.is_over(NOW + seconds) for seconds in (3601, 86_399 + 3600, 86_401 + 3600)] == [False, False, True]

    short = KeptSession.granted(TokenAnswer("access-1", 60.0, "refresh-1"), NOW)
    assert [short.is_due(NOW + seconds) for seconds in (29, 31)] == [False, True]
    assert not short.is_over(NOW + 10**6), "nobody has told when the refresh token ends"


@pytest.mark.parametrize("session_id", [None, "session-1"])
def test_refresh_leaves_out(session_id: str | None) -> None:
    """What a refresh does not tell stays as it was: the session, the refresh token, a customer's saas token."""
    kept = KeptSession.granted(
        TokenAnswer("a-1", 3600.0, "r-1", 86_400.0, "session-1", "saas-1"), NOW, is_customer=True
    )

    later = kept.renewed(TokenAnswer("a-2", 1800.0, None, None, session_id), NOW + 3000)

    assert (later.access_token, later.refresh_token) == ("a-2", "r-1")
    assert (later.session_id, later.saas_token, later.is_customer) == ("session-1", "saas-1", True)
    assert later.refresh_ends == kept.refresh_ends
    assert later.token.expires_at == NOW + 4800


def test_no_secret_in_repr() -> None:
    """Its text tells no token."""
    kept = KeptSession.granted(ANSWER, NOW)
    assert not any(secret in repr((kept, kept.token)) for secret in ("access-1", "refresh-1", "session-1"))
