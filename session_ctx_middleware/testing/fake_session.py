"""What a test gets when it asks for a session."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FakeSession"]


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
