"""Notes as JSON values, for cookies.

What a later release may add costs what it is about, not the note: unknown fields are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from .engine import Floor, Noted, Notes
from .model.document import Removed
from .model.fields import SWITCHES
from .model.frozen_json import version_of
from .model.operation import Taken
from .model.packing import era_of, moment_of, operation_of

__all__ = ["decode", "encode"]

T = TypeVar("T")

FORMAT: Final = 1
MAX_FINGERPRINT: Final = 64
DECIMALS: Final = 6
CODES: Final = {path: code for code, path in enumerate(SWITCHES)}
"""Switches by their numbers: every byte goes along with every request. A new one has to be the last."""


def encode(notes: Notes) -> dict[str, object]:
    """Return a note as JSON values."""
    bindings = _distinct((noted.token, noted.session, int(noted.proven)) for noted in notes.operations)
    contexts = _distinct(
        [floor.context for floor in notes.floors]
        + [noted.operation.taken.context for noted in notes.operations if noted.operation.taken is not None]
    )
    moments = _distinct(_moment(each.operation.taken) for each in notes.operations if each.operation.taken is not None)
    body: dict[str, object] = {"v": FORMAT}
    if notes.era:
        body |= {"e": notes.era, "x": round(notes.ended, DECIMALS)}
    if notes.receipts:
        body["r"] = 1
    if notes.operations:
        body["b"] = bindings
        body["o"] = [_packed(noted, bindings, moments) for noted in notes.operations]
    if contexts:
        body["c"] = contexts
    if moments:
        body["t"] = [[contexts.index(context), version, at] for context, version, at in moments]
    if notes.floors:
        body["f"] = [_packed_floor(floor, notes, contexts) for floor in notes.floors]
    return body


def decode(data: object, *, now: float, wall: float) -> Notes:
    """Return the note that was encoded.

    Args:
        data: what `encode` returned, perhaps in another process.
        now: monotonic seconds of this process.
        wall: seconds since the epoch.

    Raises:
        ValueError: this is not what `encode` returns.
    """
    if not isinstance(data, dict) or data.get("v") != FORMAT:
        raise ValueError("another format")
    bindings, contexts = _listed(data, "b"), [_text(each) for each in _listed(data, "c")]
    moments = [_taken(each, contexts) for each in _listed(data, "t")]
    era = era_of(data.get("e", 0))
    operations: list[Noted] = []
    for item in _listed(data, "o"):
        try:
            operations.append(_unpacked(item, bindings, moments, era, now=now, wall=wall))
        except (ValueError, TypeError, LookupError):
            continue  # a field that only a later release knows
    floors = [_floor(item, contexts, operations) for item in _listed(data, "f")]
    known = tuple(floor for floor in floors if floor is not None)
    return Notes(tuple(operations), known, era, moment_of(data.get("x", 0)), data.get("r") == 1)


def _packed(noted: Noted, bindings: list[tuple[str, str, int]], moments: list[tuple[str, int, float]]) -> list[object]:
    operation, taken = noted.operation, noted.operation.taken
    value = None if isinstance(operation.value, Removed) else operation.value
    binding = bindings.index((noted.token, noted.session, int(noted.proven)))
    path = CODES.get(noted.path, noted.path)
    packed: list[object] = [path, value, operation.op_id, operation.at, binding]
    if taken is not None:
        packed += [moments.index(_moment(taken)), taken.replaced, *([1] if operation.again else [])]
    return packed


def _moment(taken: Taken) -> tuple[str, int, float]:
    return taken.context, taken.version, round(taken.at, DECIMALS)


def _packed_floor(floor: Floor, notes: Notes, contexts: list[str]) -> list[object]:
    packed: list[object] = [contexts.index(floor.context), floor.complete_from]
    implied = _implied(floor.context, notes.operations)
    if implied is None or (implied.session, implied.operation.taken_version) != (floor.session, floor.version):
        packed += [floor.session, floor.version, round(floor.at, DECIMALS)]
    return packed


def _implied(context: str, operations: Sequence[Noted]) -> Noted | None:
    """Return the change that says by itself how high the floor of a context is: the last one that was taken there."""
    taken = [
        noted for noted in operations if noted.operation.taken is not None and noted.operation.taken.context == context
    ]
    return max(taken, key=lambda noted: noted.operation.taken_version, default=None)


def _unpacked(
    item: object, bindings: Sequence[object], moments: list[Taken], era: int, *, now: float, wall: float
) -> Noted:
    path, value, op_id, at, index, *rest = _sequence(item)
    token, session, proven = _sequence(_at(bindings, index))[:3]
    taken = replace(moments[_index(moments, rest[0])], replaced=_text(rest[1])) if rest else None
    path = _text(path if isinstance(path, str) else _at(tuple(SWITCHES), path))
    operation = operation_of(path, value, op_id, at, now=now, wall=wall, taken=taken, era=era)
    operation = replace(operation, again=rest[2:3] == [1])
    return Noted(path, operation, _text(token), _text(session), proven == 1)


def _taken(item: object, contexts: list[str]) -> Taken:
    index, version, at = _sequence(item)[:3]
    return Taken(-1 if version == -1 else version_of(version), _text(_at(contexts, index)), moment_of(at))


def _floor(item: object, contexts: list[str], operations: Sequence[Noted]) -> Floor | None:
    index, complete_from, *rest = _sequence(item)
    context, complete_from = _text(_at(contexts, index)), version_of(complete_from)
    if rest:
        session, version, at = rest[:3]
        return Floor(context, _text(session), version_of(version), moment_of(at), complete_from)
    implied = _implied(context, operations)
    if implied is None or implied.operation.taken is None:
        return None  # it follows from a field that only a later release knows
    taken = implied.operation.taken
    return Floor(context, implied.session, taken.version, taken.at, complete_from)


def _at(values: Sequence[object], index: object) -> object:
    return values[_index(values, index)]


def _index(values: Sequence[object], index: object) -> int:
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(values):
        return index
    raise ValueError("not an index")


def _listed(data: dict[str, object], key: str) -> Sequence[object]:
    return _sequence(data.get(key, ()))


def _sequence(value: object) -> Sequence[object]:
    if isinstance(value, list | tuple):
        return value
    raise ValueError("not a list")


def _text(value: object) -> str:
    if isinstance(value, str) and len(value) <= MAX_FINGERPRINT + 16:
        return value
    raise ValueError("not a text of ours")


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
