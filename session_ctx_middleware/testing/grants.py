"""What the platform hands out: token answers, each in the form of its operation."""

from __future__ import annotations

from typing import Any, Final

import jwt

from .catalogue import Customer
from .records import Session, Token
from .world import ACCESS_SECONDS, CUSTOMER_SECONDS, REFRESH_SECONDS, World

__all__ = [
    "ANONYMOUS_SPELLING",
    "CUSTOMER_SPELLING",
    "anonymous_grant",
    "customer_grant",
    "deprecated_names",
    "saas_grant",
    "session_name",
]

ANONYMOUS_SPELLING: Final = "sessionId"
CUSTOMER_SPELLING: Final = "session_id"
SAAS_SECONDS: Final = 14400
SAAS_KEY: Final = "a key that nobody else has, which is all a signature is about"


def anonymous_grant(world: World, session: Session, tenant: str) -> dict[str, Any]:
    """Return tokens of an anonymous session."""
    return {
        "token_type": "Bearer",
        "access_token": world.issue(session, ACCESS_SECONDS),
        "expires_in": ACCESS_SECONDS,
        "refresh_token": world.issue_refresh(session),
        "refresh_token_expires_in": REFRESH_SECONDS,
        session_name(world, ANONYMOUS_SPELLING): session.session_id,
        "scope": f"tenant={tenant}",
    }


def customer_grant(
    world: World,
    session: Session,
    customer: Customer,
    company: str | None = None,
    *,
    seconds: int = CUSTOMER_SECONDS,
    refresh_seconds: int = REFRESH_SECONDS,
) -> dict[str, Any]:
    """Return tokens of a customer, who acts for a company or for nobody else.

    Args:
        world: the platform's state.
        session: in which the customer is logged in.
        customer: who it is.
        company: the legal entity.
        seconds: that the access token is good for.
        refresh_seconds: that the refresh token is good for.
    """
    return {
        "access_token": world.issue(session, seconds, customer=customer, company=company),
        "token_type": "Bearer",
        "expires_in": seconds,
        "refresh_token": world.issue_refresh(session, refresh_seconds, customer=customer, company=company),
        "refresh_token_expires_in": refresh_seconds,
        session_name(world, CUSTOMER_SPELLING): session.session_id,
    }


def saas_grant(world: World, customer: Customer) -> dict[str, Any]:
    """Return a saas token: a JWT of four hours, which carts, checkout and the managed context want."""
    issued = int(world.now())
    claims = {"sub": customer.customer_id, "iat": issued, "exp": issued + SAAS_SECONDS, "jti": world.new_id()}
    value = jwt.encode(claims, SAAS_KEY, algorithm="HS256")
    world.saas[value] = Token(issued + SAAS_SECONDS, customer=customer)
    return {"saas_token": value}


def deprecated_names(grant: dict[str, Any]) -> dict[str, Any]:
    """Return the same by the old names, deprecated and still there."""
    return {old: grant[new] for new, old in _OLD_NAMES.items() if new in grant}


def session_name(world: World, documented: str) -> str:
    """Return how an answer spells the session's id."""
    return documented if world.quirks.session_id == "documented" else world.quirks.session_id


_OLD_NAMES: Final = {
    "access_token": "accessToken",
    "expires_in": "expiresIn",
    "refresh_token": "refreshToken",
    "refresh_token_expires_in": "refreshTokenExpiresIn",
    "saas_token": "saasToken",
}
