"""The form in which notices travel: JSON, with the changes that they tell of encrypted as everything else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias, TypeGuard

from ...model.frozen_json import dumps, loads
from ..protocol import Notice
from .codec import Codec

__all__ = ["Message", "notice_from", "notice_text"]

Message: TypeAlias = tuple[int, str, Notice]
"""Number, source and notice."""

MAX_NAMES: Final = 10_000
KINDS: Final = ("written", "forgotten", "parked")


def notice_text(notice: Notice, source: str, codec: Codec) -> str:
    """Return a message without the beginning ``{"seq":<number>,``, which Redis writes."""
    body: dict[str, object] = {
        "kind": notice.kind,
        "names": list(notice.names),
        "identity": notice.identity,
        "floor": notice.floor,
        "source": source,
    }
    taken = notice.taken
    if taken:
        body["taken"] = codec.taken_text(notice, taken)
    return dumps(body)[1:]


def notice_from(raw: str, codec: Codec) -> Message | None:
    """Return number, source and notice of a message; `None` where it is no such message."""
    try:
        body = loads(raw)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    number, source, kind, names = body.get("seq"), body.get("source"), body.get("kind"), body.get("names")
    identity, floor = body.get("identity"), body.get("floor")
    if not (_is_number(number) and _is_number(floor) and isinstance(source, str) and isinstance(identity, str)):
        return None
    if kind not in KINDS or not isinstance(names, list) or len(names) > MAX_NAMES:
        return None
    if not all(isinstance(name, str) for name in names):
        return None
    notice = Notice(kind, tuple(names), identity, floor)
    if "taken" in body and kind == "written":
        named, sent = notice, body["taken"]
        notice = replace(notice, tells=lambda: codec.taken(named, sent))
    return number, source, notice


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
