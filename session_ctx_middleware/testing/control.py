"""Looking into FakeEmporix, and breaking it, from another process: ``/_fake/...``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from types import UnionType
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from .answers import Answer, json_answer, no_content, service_error
from .fake_session import FakeSession
from .faults import Call, Fault, matches
from .world import FIELDS

__all__ = ["Controlled", "answer"]

_COUNT: Final = int | None
_KINDS: Final[dict[str, type | UnionType]] = {
    "status": _COUNT,
    "by": str,
    "body": str | dict | None,
    "headers": dict,
    "retry_after": str | int | None,
    "delay": int | float,
    "delay_after": int | float,
    "drop": str | None,
    "apply": bool,
    "probability": int | float,
    "hang": bool,
}


class Controlled(Protocol):
    """What can be looked at and broken: `FakeEmporix`, as far as it is used here."""

    @property
    def tenant(self) -> str:
        """The only tenant it knows."""
        ...

    @property
    def calls(self) -> Iterable[Call]:
        """The calls so far."""
        ...

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        ...

    def document(self, session_id: str) -> dict[str, Any] | None:
        """Return a copy of a session's context."""
        ...

    def edit(self, session_id: str, **fields: Any) -> int:
        """Change a context as another writer would."""
        ...

    def new_session(self, *, exists: bool = True, **fields: Any) -> FakeSession:
        """Begin an anonymous session without a call."""
        ...

    def fault(self, operation: str, fault: Fault, *, times: int | None = 1) -> None:
        """Let calls go wrong."""
        ...

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        ...


def answer(emporix: Controlled, method: str, path: str, query: bytes, body: bytes) -> Answer:
    """Answer a control call; it is not counted as a call to the platform."""
    try:
        return _answer(emporix, method, path, query, body)
    except (TypeError, ValueError) as error:
        return service_error(400, str(error), status="Bad Request")
    except LookupError:
        return service_error(404, "This session has no context", status="Not Found")


def _answer(emporix: Controlled, method: str, path: str, query: bytes, body: bytes) -> Answer:
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
            if document is None:
                raise LookupError(name)
            return json_answer(document)
        case "POST", "contexts":
            emporix.edit(name, **_object(body))
        case "POST", "sessions":
            session = emporix.new_session(**_context_fields(_object(body)))
            return json_answer({"token": session.token, "sessionId": session.session_id}, 201)
        case "POST", "faults":
            fields = _object(body)
            operation, times = fields.pop("operation", "*"), fields.pop("times", 1)
            emporix.fault(_checked("operation", operation, str), _fault(fields), times=_checked("times", times, _COUNT))
        case "DELETE", "faults":
            emporix.clear_faults()
        case _:
            return service_error(404, "No such control")
    return no_content()


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body or b"{}")
    if not isinstance(value, dict):
        raise TypeError("the body must be a JSON object")
    return value


def _context_fields(fields: dict[str, Any]) -> dict[str, Any]:
    for name in fields:
        if name not in FIELDS and name != "exists":
            raise TypeError(f"a session has no {name}")
    return fields


def _fault(fields: dict[str, Any]) -> Fault:
    for name, value in fields.items():
        if name not in _KINDS:
            raise TypeError(f"a fault has no {name}")
        _checked(name, value, _KINDS[name])
    if not {type(value) for value in fields.get("headers", {}).values()} <= {str}:
        raise TypeError("headers must be texts")
    if fields.get("drop") not in {None, "before", "after"}:
        raise ValueError("drop is before or after")
    body = fields.get("body")
    return Fault(**{**fields, "body": body.encode() if isinstance(body, str) else body})


def _checked(name: str, value: Any, kind: type | UnionType) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is of the wrong type")
    return value
