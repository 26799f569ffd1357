"""Answers of the platform, with the two shapes that its errors have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "expired", "gateway_error", "json_answer", "no_content", "service_error", "unauthorized"]


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
