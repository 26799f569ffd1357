"""Looking into FakeEmporix, and breaking it, from another process: ``/_fake/...``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .answers import Answer, json_answer, no_content, service_error
from .faults import Fault, matches

if TYPE_CHECKING:
    from .app import FakeEmporix

__all__ = ["answer"]


async def answer(emporix: FakeEmporix, method: str, path: str, query: bytes, body: bytes) -> Answer:
    """Answer a control call; it is not counted as a call to the platform."""
    resource, _, name = path.removeprefix("/_fake/").partition("/")
    match method, resource:
        case "GET", "health":
            return json_answer({"tenant": emporix.tenant})
        case "GET", "calls":
            operation = parse_qs(query.decode("latin-1")).get("operation", ["*"])[0]
            calls = [asdict(call) for call in emporix.calls if matches(operation, call.operation)]
            return json_answer({"count": len(calls), "calls": calls})
        case "DELETE", "calls":
            emporix.clear_calls()
        case "GET", "contexts":
            document = emporix.document(name)
            return service_error(404, "Session not found") if document is None else json_answer(document)
        case "POST", "contexts":
            emporix.edit(name, **_object(body))
        case "POST", "faults":
            fields = _object(body)
            operation, times = fields.pop("operation", "*"), fields.pop("times", 1)
            if isinstance(fields.get("body"), str):
                fields["body"] = fields["body"].encode()
            emporix.fault(operation, Fault(**fields), times=times)
        case "DELETE", "faults":
            emporix.clear_faults()
        case _:
            return service_error(404, "No such control")
    return no_content()


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body or b"{}")
    return value if isinstance(value, dict) else {}
