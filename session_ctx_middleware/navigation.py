"""What a request is for: somebody who follows a link, or a browser that fetches ahead or loads parts of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

__all__ = ["followed_a_link", "is_navigation", "is_prefetch"]

PREFETCHING: Final = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
TOP_LEVEL: Final = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}
SAFE: Final = frozenset({"GET", "HEAD"})


def is_prefetch(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a browser fetches what nobody has asked for yet (Speculation Rules, W3C; older browsers' ways)."""
    return any(headers.get(name, b"").lower().startswith(b"prefetch") for name in PREFETCHING)


def followed_a_link(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a browser says that somebody opens a page in the window itself (Fetch Metadata, W3C)."""
    return scope["method"] in SAFE and all(headers.get(name) == value for name, value in TOP_LEVEL.items())


def is_navigation(scope: Scope) -> bool:
    """Tell whether a request opens a page, as far as anybody says; of a client that says nothing, each GET does."""
    headers = dict(scope["headers"])
    if scope["type"] != "http" or is_prefetch(headers):
        return False
    says_nothing = not any(name in headers for name in TOP_LEVEL)
    return followed_a_link(scope, headers) or (says_nothing and scope["method"] in SAFE)
