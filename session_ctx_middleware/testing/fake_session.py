"""What a test gets when it asks for a session."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FakeSession", "checked", "text"]


@dataclass(frozen=True, slots=True)
class FakeSession:
    """An anonymous session that a test asked for.

    Args:
        token: its access token.
        session_id: its id.
        refresh_token: its refresh token.
    """

    token: str = field(repr=False)
    session_id: str = field(repr=False)
    refresh_token: str = field(repr=False)


def text(value: str, name: str) -> str:
    """Return what a test names a session or a token by.

    Raises:
        TypeError: it is something else, a whole session say, by which nothing would be found for ever.
    """
    if isinstance(value, str):
        return value
    raise TypeError(f"A {name} is a text: write session.{name}, of session = emporix_fake.new_session(...).")


def checked(session: FakeSession) -> FakeSession:
    """Return the session that a fixture is to work with.

    Raises:
        TypeError: it is something else, such as a token.
    """
    if isinstance(session, FakeSession):
        return session
    raise TypeError(
        f"A session is what emporix_fake.new_session(...) returns, not an object of {type(session).__name__}."
    )
