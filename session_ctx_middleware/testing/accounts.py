"""Anonymous sessions, customers and service tokens."""

from __future__ import annotations

from typing import Any, Final

import jwt

from .answers import Answer, gateway_error, json_answer, no_content, service_error, unauthorized
from .request import Incoming
from .world import ACCESS_SECONDS, CUSTOMER_SECONDS, REFRESH_SECONDS, Session, World

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "STOREFRONT_CLIENT_ID",
    "anonymous_login",
    "anonymous_refresh",
    "customer_login",
    "customer_logout",
    "customer_refresh",
    "customer_validate",
    "oauth_token",
]

CLIENT_ID: Final = "backend"
CLIENT_SECRET: Final = "backend-secret"  # noqa: S105 - there is nothing behind it
STOREFRONT_CLIENT_ID: Final = "storefront"
SCOPES: Final = frozenset({"sessioncontext.context_manage", "cart.cart_manage"})
SERVICE_SECONDS: Final = 14399
SAAS_SECONDS: Final = 14400
SEEDS: Final = ("currency", "siteCode", "language", "targetLocation")
SAAS_KEY: Final = "a key that nobody else has, which is all a signature is about"


def anonymous_login(call: Incoming) -> Answer:
    """Begin an anonymous session; what the query asks for goes into its context."""
    refusal = _storefront(call)
    if refusal is not None:
        return refusal
    session = call.world.new_session({key: call.query[key] for key in SEEDS if key in call.query})
    return _anonymous(call, session)


def anonymous_refresh(call: Incoming) -> Answer:
    """Hand out a new token of the same session; an old refresh token is tolerated."""
    refusal = _storefront(call)
    if refusal is not None:
        return refusal
    token = call.world.valid(call.world.refresh, call.query.get("refresh_token", ""))
    if token is None or token.session is None:
        return gateway_error(401, "Invalid Refresh Token", "keymanagement.service.invalid_refresh_token")
    if call.world.current(token.session) is not None:
        call.world.change(token.session, {})
    return _anonymous(call, token.session)


def customer_login(call: Incoming) -> Answer:
    """Log a customer in; with the anonymous token of a session, into that session."""
    if "authorization" in call.headers and call.token is None:
        return call.unauthorized()
    customer = call.world.customer(call.data.get("email"), call.data.get("password"))
    if customer is None:
        return service_error(401, "Invalid credentials", status="Unauthorized")
    session = call.session or call.world.new_session()
    call.world.log_in(session, customer)
    issued = int(call.world.now())
    claims = {"sub": customer.customer_id, "iat": issued, "exp": issued + SAAS_SECONDS, "jti": call.world.new_id()}
    saas_token = jwt.encode(claims, SAAS_KEY, algorithm="HS256")
    call.world.saas[saas_token] = customer.customer_id
    return json_answer(
        {
            **_customer(call.world, session),
            "saas_token": saas_token,
            "saasToken": saas_token,
            "initialPassword": False,
        }
    )


def customer_refresh(call: Incoming) -> Answer:
    """Hand out a new token of a customer's session."""
    token = call.world.valid(call.world.refresh, call.query.get("refreshToken", ""))
    if token is None or token.session is None or token.session.customer is None:
        return service_error(401, "Invalid refresh token", status="Unauthorized")
    return json_answer(_customer(call.world, token.session))


def customer_logout(call: Incoming) -> Answer:
    """End a customer's session."""
    token = call.world.valid(call.world.access, call.query.get("accessToken", ""))
    if token is None or token.session is None:
        return unauthorized()
    for tokens in (call.world.access, call.world.refresh):
        for value in [value for value, other in tokens.items() if other.session is token.session]:
            del tokens[value]
    call.world.delete(token.session)
    return no_content()


def customer_validate(call: Incoming) -> Answer:
    """Tell what a customer's token is good for."""
    session = call.session
    if session is None or session.customer is None:
        return call.unauthorized()
    return json_answer(
        {
            "token_type": "Bearer",
            "expires_in": CUSTOMER_SECONDS,
            "scope": "tenant=" + call.values["tenant"],
            "sessionId": session.session_id,
            "email": session.customer.email,
            "legalEntityId": None,
        }
    )


def oauth_token(call: Incoming) -> Answer:
    """Hand out a service token; scopes that the key lacks are dropped without a word."""
    form = call.form
    if form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
        return gateway_error(401, "Invalid ApiKey", "oauth.v2.InvalidApiKey")
    if form.get("grant_type") != "client_credentials":
        return gateway_error(400, "Unsupported grant type", "oauth.v2.UnsupportedGrantType")
    asked = form.get("scope", "").split() or [*sorted(SCOPES)]
    scope = " ".join(part for part in asked if part in SCOPES or part.startswith("tenant="))
    return json_answer(
        {
            "access_token": call.world.issue(None, SERVICE_SECONDS, scope),
            "token_type": "Bearer",
            "expires_in": SERVICE_SECONDS,
            "session_idle_time": 120,
            "refresh_token": "",
            "refresh_token_expires_in": 0,
            "scope": scope,
        }
    )


def _storefront(call: Incoming) -> Answer | None:
    if call.query.get("client_id") == STOREFRONT_CLIENT_ID:
        return None
    return gateway_error(401, "Invalid ApiKey", "oauth.v2.InvalidApiKey")


def _anonymous(call: Incoming, session: Session) -> Answer:
    return json_answer(
        {
            "token_type": "Bearer",
            "access_token": call.world.issue(session, ACCESS_SECONDS),
            "expires_in": ACCESS_SECONDS,
            "refresh_token": call.world.issue_refresh(session),
            "refresh_token_expires_in": REFRESH_SECONDS,
            "sessionId": session.session_id,
            "scope": "tenant=" + call.query.get("tenant", ""),
        }
    )


def _customer(world: World, session: Session) -> dict[str, Any]:
    token, refresh_token = world.issue(session, CUSTOMER_SECONDS), world.issue_refresh(session)
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": CUSTOMER_SECONDS,
        "refresh_token": refresh_token,
        "refresh_token_expires_in": REFRESH_SECONDS,
        "session_id": session.session_id,
        # The same by the old names, deprecated and still there.
        "accessToken": token,
        "expiresIn": CUSTOMER_SECONDS,
        "refreshToken": refresh_token,
        "refreshTokenExpiresIn": REFRESH_SECONDS,
    }
