"""The session context in FastAPI: read it, switch it, and answer nonsense with 422.

Try it against FakeEmporix::

    python -m session_ctx_middleware.testing --port 8900 &
    uvicorn examples.fastapi_shop:app --port 8001 &
    token=$(curl -s 'http://127.0.0.1:8900/customerlogin/auth/anonymous/login?tenant=acme&client_id=storefront' \
        | python -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
    curl -H "Authorization: Bearer $token" http://127.0.0.1:8001/me
    curl -H "Authorization: Bearer $token" -X POST http://127.0.0.1:8001/me \
        -H 'Content-Type: application/json' -d '{"currency": "USD"}'
"""

from __future__ import annotations

import os

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from session_ctx_middleware import ContextDefaults, InvalidChange, SessionContext, SessionContextMiddleware
from session_ctx_middleware.fastapi import SessionCtx

app = FastAPI(title="Session context")
app.add_middleware(
    SessionContextMiddleware,
    tenant=os.environ.get("EMPORIX_TENANT", "acme"),
    base_url=os.environ.get("EMPORIX_BASE_URL", "http://127.0.0.1:8900"),
    defaults=ContextDefaults(site_code="main", currency="EUR", language="en", target_location="DE"),
)


class Values(BaseModel):
    """What a shopper sees; in a request, what is missing stays as it is."""

    site_code: str | None = None
    currency: str | None = None
    language: str | None = None
    target_location: str | None = None


@app.exception_handler(InvalidChange)
async def invalid_change(_: Request, error: InvalidChange) -> JSONResponse:
    """Answer a value that cannot be one, such as the currency "dollar"."""
    return JSONResponse({"detail": str(error)}, status_code=422)


@app.get("/me")
async def read(ctx: SessionCtx) -> Values:
    """Tell what holds for this shopper; the dependency has loaded it."""
    return _values(ctx)


@app.post("/me")
async def switch(wanted: Values, ctx: SessionCtx) -> Values:
    """Switch values: one PATCH leaves before the response does, or the choice is kept until it can."""
    ctx.switch(**wanted.model_dump())
    return _values(ctx)


def _values(ctx: SessionContext) -> Values:
    return Values(
        site_code=ctx.site_code,
        currency=ctx.currency,
        language=ctx.language,
        target_location=ctx.target_location,
    )
