"""Two checks that every form of a shop needs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

__all__ = ["local_target", "same_origin_only"]

Endpoint = Callable[[Request], Awaitable[Response]]

# One slash and no second one: "//host" and "/\host" lead to another host. No blanks or control characters.
_LOCAL: Final = re.compile(r"/(?![/\\])[!-~]*")


def same_origin_only(endpoint: Endpoint) -> Endpoint:
    """Answer 403 to forms that another site sends in the shopper's name."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        if not _is_same_origin(request):
            return PlainTextResponse("This form was sent from another site.", status_code=403)
        return await endpoint(request)

    return guarded


def local_target(target: object) -> str:
    """Return where a form wants to go back to, if that is a page of this shop; else the home page."""
    return target if isinstance(target, str) and _LOCAL.fullmatch(target) else "/"


def _is_same_origin(request: Request) -> bool:
    fetched_from = request.headers.get("sec-fetch-site")
    if fetched_from is not None:
        return fetched_from == "same-origin"
    origin = request.headers.get("origin")
    # Browsers send at least one of the two with every form from elsewhere; without both it is no browser, and
    # SameSite=Lax keeps the cookie at home in any case.
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
