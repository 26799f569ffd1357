"""The answer with the page: kept by nobody, and nothing in it runs or is loaded."""

from __future__ import annotations

from typing import Final

from starlette.responses import HTMLResponse

from .page import Shown, page
from .style import STYLE_DIGEST

__all__ = ["page_of"]

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
}


def page_of(shown: Shown) -> HTMLResponse:
    """Return the answer that shows the page."""
    return HTMLResponse(page(shown), headers=HEADERS)
