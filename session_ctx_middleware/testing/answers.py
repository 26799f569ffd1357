"""Answers of the platform, with the two shapes that its errors have, and of what stands in front of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import responses
from typing import Any, Final, Literal

__all__ = [
    "Answer",
    "expired",
    "gateway_error",
    "json_answer",
    "no_content",
    "proxy_page",
    "refusal",
    "service_error",
    "unauthorized",
    "unrouted",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return Answer(status, json.dumps(value).encode(), {"content-type": "application/json", **(headers or {})})


def no_content() -> Answer:
    """Answer 204, without a body, a version or an ETag."""
    return Answer(204)


def gateway_error(status: int, fault: str, code: str) -> Answer:
    """Answer as the API gateway in front of the services does."""
    return json_answer({"fault": {"faultstring": fault, "detail": {"errorcode": code}}}, status)


def unauthorized(fault: str = "Invalid access token") -> Answer:
    """Answer a token that the gateway does not know."""
    return gateway_error(401, fault, "oauth.v2.InvalidAccessToken")


def expired() -> Answer:
    """Answer a token whose time is over."""
    return gateway_error(401, "Access Token expired", "keymanagement.service.access_token_expired")


def service_error(status: int, message: str, /, **more: Any) -> Answer:
    """Answer as a service does."""
    return json_answer({**more, "code": status, "message": message}, status)


def unrouted() -> Answer:
    """Answer a path that the gateway does not know."""
    return gateway_error(404, "Unable to identify proxy for host", "messaging.adaptors.http.flow.ApplicationNotFound")


def proxy_page(status: int) -> Answer:
    """Answer as a proxy or a firewall in front of the gateway does."""
    title = f"{status} {responses.get(status, 'Error')}"
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Answer(status, page.encode(), {"content-type": "text/html"})


def refusal(status: int, by: Literal["emporix", "gateway", "proxy"]) -> Answer:
    """Answer a status as somebody does of whom nothing else is known."""
    if by == "proxy":
        return proxy_page(status)
    if by == "gateway":
        return _BY_GATEWAY.get(status) or gateway_error(status, "Unexpected", "messaging.adaptors.http.flow.Failed")
    return _BY_EMPORIX.get(status) or Answer(status)


_BY_EMPORIX: Final = {
    401: unauthorized(),
    403: gateway_error(403, "Required scope(s): []", "steps.oauth.v2.InsufficientScope"),
    404: service_error(404, "Session not found"),
}
_BY_GATEWAY: Final = {
    403: gateway_error(403, "Access Denied for client ip", "steps.accesscontrol.IPDeniedAccess"),
    404: unrouted(),
}
