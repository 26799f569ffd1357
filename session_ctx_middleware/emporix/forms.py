"""The forms that errors have: those of Emporix itself, and those of whatever else may answer in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["gateway_code", "is_emporix_own"]

_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,80}")
_KEY_CHECK: Final = re.compile(r"(?:^|\.)(?:oauth|keymanagement|jwt)\.")
_404: Final = (404, "404")
_MISSING: Final = re.compile("session|context", re.IGNORECASE)


def is_emporix_own(status: int, body: Mapping[str, object] | None) -> bool:
    """Tell whether a 404, 401 or 403 is Emporix' own word about a session, a token or a change.

    Its services answer ``{"sessionId"?, "code", "message"}`` (Session Context Service, error responses), and the
    gateway in front of them ``{"fault": {...}}`` when it has checked a key. Everything else comes from something on the
    way: the page of a proxy or a firewall, or a gateway that does not know the path.

    Args:
        status: of the answer.
        body: its JSON object, `None` where it has none.
    """
    if body is None:
        return False
    if status == 404:
        return "fault" not in body and _is_about_a_session(body)
    return status == 401 or "fault" not in body or _is_about_a_key(body)


def gateway_code(body: Mapping[str, object] | None) -> str:
    """Return the gateway's error code: the one text of an answer that is never about a shopper."""
    found: object = body
    for key in ("fault", "detail", "errorcode"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""


def _is_about_a_session(body: Mapping[str, object]) -> bool:
    message = body.get("message")
    if "sessionId" in body or body.get("code") in _404:
        return True
    # The one for a version that is not the current one names no code.
    return isinstance(message, str) and (body.get("status") in _404 or _MISSING.search(message) is not None)


def _is_about_a_key(body: Mapping[str, object]) -> bool:
    """Tell whether a fault is about a token: that an address, a size or a rate is refused says nothing about one."""
    code = gateway_code(body)
    return not code or _KEY_CHECK.search(code) is not None
