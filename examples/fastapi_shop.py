"""The session context in FastAPI, for a website and for a mobile app: read it, switch it, log in.

The website's sessions are `StorefrontSessions`': its browser has a cookie, and no page has token code. An app brings
the token that it holds itself (``Authorization: Bearer``), and keeps no cookies. What it has chosen before there is a
cart waits in the store then: with several workers, set ``REDIS_URL``, so that they share one.

Try it against FakeEmporix::

    python -m session_ctx_middleware.testing --port 8900 &
    uvicorn examples.fastapi_shop:app --port 8001 &
    curl -c jar -b jar http://127.0.0.1:8001/me
    curl -c jar -b jar -X POST http://127.0.0.1:8001/login -H 'Content-Type: application/json' \
        -d '{"email": "jane@example.com", "password": "correct-horse"}'
    token=$(curl -s 'http://127.0.0.1:8900/customerlogin/auth/anonymous/login?tenant=acme&client_id=storefront' \
        | python -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
    curl -H "Authorization: Bearer $token" http://127.0.0.1:8001/me
"""

from __future__ import annotations

import os
import secrets

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from session_ctx_middleware import BearerToken, ContextDefaults, LoginRefused, SessionContext, SessionContextMiddleware
from session_ctx_middleware.fastapi import SessionCtx, install
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores.redis import RedisStore

sessions = StorefrontSessions(os.environ.get("EMPORIX_CLIENT_ID", "storefront"))
app = FastAPI(title="Session context")
install(app)  # an invalid value, such as the currency "dollar", is answered with 422
app.add_middleware(
    SessionContextMiddleware,
    tenant=os.environ.get("EMPORIX_TENANT", "acme"),
    base_url=os.environ.get("EMPORIX_BASE_URL", "http://127.0.0.1:8900"),
    token=[BearerToken(), sessions],
    secret_key=os.environ.get("SHOP_SECRET_KEY") or secrets.token_hex(32),
    store=RedisStore(os.environ["REDIS_URL"]) if "REDIS_URL" in os.environ else None,
    defaults=ContextDefaults(site_code="main", currency="EUR", language="en", target_location="DE"),
)


class Values(BaseModel):
    """What a shopper sees; in a request, what is missing stays as it is."""

    site_code: str | None = None
    currency: str | None = None
    language: str | None = None
    target_location: str | None = None


class Credentials(BaseModel):
    """What somebody logs in with."""

    email: str
    password: str


@app.get("/me")
async def read(ctx: SessionCtx) -> Values:
    """Tell what holds for this shopper; the dependency has loaded it."""
    return _values(ctx)


@app.post("/me")
async def switch(wanted: Values, ctx: SessionCtx) -> Values:
    """Switch values: one PATCH leaves before the response does, or the choice is kept until it can."""
    ctx.switch(**wanted.model_dump())
    return _values(ctx)


@app.post("/login")
async def log_in(who: Credentials, request: Request, ctx: SessionCtx) -> Values:
    """Log in to the website; session, cart and choices stay."""
    try:
        await sessions.login(request, who.email, who.password)
    except LoginRefused:
        raise HTTPException(401, "That is not an e-mail address and a password that belong together.") from None
    return _values(ctx)


@app.post("/logout")
async def log_out(request: Request, ctx: SessionCtx) -> Values:
    """Log out of the website."""
    await sessions.logout(request)
    return _values(ctx)


def _values(ctx: SessionContext) -> Values:
    names = ("site_code", "currency", "language", "target_location")
    return Values(**{name: getattr(ctx, name) for name in names})
