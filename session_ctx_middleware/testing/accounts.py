"""Anonymous sessions and service tokens."""

from __future__ import annotations

from typing import Final

from .answers import Answer, gateway_error, json_answer
from .grants import ANONYMOUS_SPELLING, anonymous_grant, session_name
from .request import Incoming

__all__ = [
    "ASSISTED_BUYING",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "STOREFRONT_CLIENT_ID",
    "anonymous_login",
    "anonymous_refresh",
    "oauth_token",
]

CLIENT_ID: Final = "backend"
CLIENT_SECRET: Final = "backend-secret"  # noqa: S105 - there is nothing behind it
STOREFRONT_CLIENT_ID: Final = "storefront"
ASSISTED_BUYING: Final = "customer.assistedBuying_manage"
SCOPES: Final = frozenset({"sessioncontext.context_manage", "cart.cart_manage", ASSISTED_BUYING})
SERVICE_SECONDS: Final = 14399
SEEDS: Final = ("currency", "siteCode", "language", "targetLocation")


def anonymous_login(call: Incoming) -> Answer:
    """Begin an anonymous session; what the query asks for goes into its context."""
    refusal = _storefront(call)
    if refusal is not None:
        return refusal
    session = call.world.new_session({key: call.query[key] for key in SEEDS if key in call.query})
    return json_answer(anonymous_grant(call.world, session, call.query.get("tenant", "")))


def anonymous_refresh(call: Incoming) -> Answer:
    """Hand out a new token of the same session; whether an old refresh token is tolerated is a quirk."""
    refusal = _storefront(call)
    if refusal is not None:
        return refusal
    token = call.world.redeem(call.query.get("refresh_token", ""))
    if token is None or token.session is None:
        return gateway_error(401, "Invalid Refresh Token", "keymanagement.service.invalid_refresh_token")
    if call.world.current(token.session) is not None:
        call.world.change(token.session, {})
    grant = anonymous_grant(call.world, token.session, call.query.get("tenant", ""))
    if not call.world.quirks.refresh_names_session:
        del grant[session_name(call.world, ANONYMOUS_SPELLING)]
    return json_answer(grant)


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
