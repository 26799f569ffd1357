"""Puts the session context into every template."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from ..access import STATE_KEY, get_session_context

__all__ = ["context_processor"]


def context_processor(request: Request) -> dict[str, Any]:
    """Put ``session_ctx`` into every template of Starlette's ``Jinja2Templates(context_processors=[...])``.

    It does no I/O: load the context before rendering (``await request.state.session_ctx``), or build the middleware
    with ``preload=True``. A template that reads an unloaded context fails with `ContextNotLoaded`.

    Args:
        request: the request that is rendered for.

    Returns:
        The name and the context.

    Raises:
        ConfigurationError: the middleware is not installed.
    """
    return {STATE_KEY: get_session_context(request)}
