"""The shop as its own processes run it: built from one environment variable, which `fleet` fills."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    ContextDefaults,
    SessionContextMiddleware,
    UpstreamPolicy,
    get_session_context,
)
from session_ctx_middleware.stores import ContextStore
from session_ctx_middleware.stores.redis import RedisStore

from .fleet import SETTINGS

SWITCHES: Final = ("site_code", "currency", "language", "target_location")
# What these tests ask is who shows what, not how fast: a busy machine must not look like an outage.
PATIENT: Final = UpstreamPolicy(deadline=60.0, commit_deadline=60.0, timeout=60.0, total_timeout=60.0)


async def page(request: Request) -> Response:
    """Show what this process believes."""
    context = await get_session_context(request)
    shown = {name: getattr(context, name) for name in (*SWITCHES, "exists", "version")}
    return JSONResponse({**shown, "pid": os.getpid()})


async def switch(request: Request) -> Response:
    """Change what the query names."""
    get_session_context(request).switch(**request.query_params)
    return JSONResponse({"pid": os.getpid()})


def build(settings: dict[str, Any]) -> Starlette:
    """Build the shop.

    Args:
        settings: ``base_url``; ``secret_key``, a list; ``redis``, a URL, and ``budget``; ``cache``, keywords.
    """
    url = settings.get("redis")
    store: ContextStore | None = None if url is None else RedisStore(url, budget=settings.get("budget", 1.0))
    middleware = Middleware(
        SessionContextMiddleware,
        tenant="acme",
        base_url=settings.get("base_url", "http://127.0.0.1:1"),
        token=BearerToken(),
        secret_key=settings.get("secret_key"),
        defaults=ContextDefaults(currency="XXX"),
        cache=CachePolicy(**settings.get("cache", {})),
        upstream=PATIENT,
        store=store,
    )
    routes = [Route("/page", page), Route("/switch", switch, methods=["POST"])]
    return Starlette(routes=routes, middleware=[middleware])


app = build(json.loads(os.environ.get(SETTINGS, "{}")))
