"""The Session Context Service, both sides of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

from .answers import Answer, gateway_error, json_answer, no_content, service_error
from .records import Session
from .request import Incoming
from .world import ANONYMOUS, FIELDS, PATCHABLE

__all__ = [
    "add_attribute",
    "get_context",
    "managed_add_attribute",
    "managed_get",
    "managed_put",
    "managed_remove_attribute",
    "patch_context",
    "remove_attribute",
]

SCOPE: Final = "sessioncontext.context_manage"


def get_context(call: Incoming) -> Answer:
    """Answer the own context."""
    return call.unauthorized() if call.session is None else _get(call, call.session)


def patch_context(call: Incoming) -> Answer:
    """Change the own context: only some fields, only the current version, the attribute map as a whole."""
    session = call.session
    if session is None:
        return call.unauthorized()
    ignored = {"language"} if call.world.quirks.language_at == "attribute" else set()
    fields = {key: call.data[key] for key in PATCHABLE if key in call.data and key not in ignored}
    context = call.world.current(session)
    version = _version(call.data)
    if not _well_typed(fields):
        return _unreadable()
    if context is None or version != context["metadata"]["version"]:
        return _no_such_version(session.session_id, version)
    if call.world.raises_version(context, fields):
        call.world.change(session, fields)
    return no_content()


def add_attribute(call: Incoming) -> Answer:
    """Set one attribute of the own context, whatever its version."""
    if call.session is None:
        return call.unauthorized()
    return _add(call, call.session) or json_answer(call.data.get("key"), 201)


def remove_attribute(call: Incoming) -> Answer:
    """Remove one attribute of the own context, whatever its version."""
    return call.unauthorized() if call.session is None else _remove(call, call.session)


def managed_get(call: Incoming) -> Answer:
    """Answer any session's context."""
    return _refusal(call) or _get(call, _session(call))


def managed_put(call: Incoming) -> Answer:
    """Replace any session's context, or create it."""
    refusal = _refusal(call)
    if refusal is not None:
        return refusal
    session = _session(call)
    context = call.world.current(session)
    upsert = call.query.get("upsert") == "true"
    fields = {key: call.data[key] for key in FIELDS.values() if key in call.data}
    if not _well_typed(fields):
        return _unreadable()
    refusal = _saas_refusal(call, (context or {}).get("customerId"), fields.get("customerId"), upsert=upsert)
    if refusal is not None:
        return refusal
    if context is None:
        if not upsert:
            return _not_found(session.session_id)
        call.world.sessions[session.session_id] = session
        call.world.create(session, **fields)
    elif _version(call.data) != context["metadata"]["version"]:
        return _no_such_version(session.session_id, _version(call.data))
    else:
        call.world.change(session, fields)
    return no_content()


def managed_add_attribute(call: Incoming) -> Answer:
    """Set one attribute of any session."""
    return _refusal(call) or _add(call, _session(call)) or no_content()


def managed_remove_attribute(call: Incoming) -> Answer:
    """Remove one attribute of any session."""
    return _refusal(call) or _remove(call, _session(call))


def _get(call: Incoming, session: Session) -> Answer:
    seen = call.world.seen(session)
    return _not_found(session.session_id) if seen is None else json_answer(seen)


def _add(call: Incoming, session: Session) -> Answer | None:
    key, value = call.data.get("key"), call.data.get("value")
    if not isinstance(key, str) or not isinstance(value, str | dict):
        return _unreadable()
    context = call.world.current(session)
    if context is None:
        return _not_found(session.session_id)
    attributes = copy.deepcopy(context.get("context", {}))
    attributes[key] = value
    call.world.change(session, {"context": attributes})
    return None


def _remove(call: Incoming, session: Session) -> Answer:
    context = call.world.current(session)
    attributes = copy.deepcopy((context or {}).get("context", {}))
    if call.values["name"] not in attributes:
        return _not_found(session.session_id)
    del attributes[call.values["name"]]
    call.world.change(session, {"context": attributes})
    return no_content()


def _refusal(call: Incoming) -> Answer | None:
    if call.token is None:
        return call.unauthorized()
    if SCOPE not in call.token.scope.split():
        return gateway_error(403, f"Required scope(s): [{SCOPE}]", "steps.oauth.v2.InsufficientScope")
    return None


def _session(call: Incoming) -> Session:
    session_id = call.values["session_id"]
    return call.world.sessions.get(session_id) or Session(session_id)


def _saas_refusal(call: Incoming, *customers: object, upsert: bool) -> Answer | None:
    logged_in = {customer for customer in customers if customer not in {None, ANONYMOUS}}
    saas_token = call.headers.get("saas-token")
    if not logged_in and not upsert:
        return None
    if saas_token is None:
        return service_error(400, "Required Header [saas-token] is missing", status="Bad Request")
    known = call.world.valid(call.world.saas, saas_token)
    if logged_in - {known.customer.customer_id if known is not None and known.customer is not None else None}:
        return service_error(403, "The saas-token belongs to another customer", status="Forbidden")
    return None


def _version(data: dict[str, Any]) -> object:
    metadata = data.get("metadata")
    version = metadata.get("version") if isinstance(metadata, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def _well_typed(fields: Mapping[str, Any]) -> bool:
    kinds = ((value, dict if key == "context" else str) for key, value in fields.items())
    return all(value is None or isinstance(value, kind) for value, kind in kinds)


def _unreadable() -> Answer:
    return service_error(400, "The body is not what this operation takes", status="Bad Request")


def _not_found(session_id: str) -> Answer:
    return service_error(404, "Session not found", sessionId=session_id)


def _no_such_version(session_id: str, version: object) -> Answer:
    text = f"The context with sessionId {session_id} and version {json.dumps(version)} has not been found."
    return json_answer({"message": text}, 404)
