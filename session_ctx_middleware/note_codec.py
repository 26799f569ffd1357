"""Notes as CBOR values, for cookies: every byte goes along with every request.

Fingerprints are told once and named by their place; moments are microseconds before the latest one. What a later
release may add costs what it is about, not the note: unknown fields are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from .engine import NO_LOGIN, Floor, Login, Noted, Notes
from .model.document import ATTRIBUTE_PREFIX, Removed, Value
from .model.fields import SWITCHES
from .model.frozen_json import dumps, loads, version_of
from .model.operation import Taken
from .model.packing import era_of, moment_of, operation_of, tenths_of, took_of

__all__ = ["decode", "encode"]

T = TypeVar("T")
Moment = tuple[str, int, float]

FORMAT: Final = 1
MAX_FINGERPRINT: Final = 80
MICROSECOND: Final = 1_000_000
MAX_NUMBER: Final = (1 << 64) - 1
ATTRIBUTE: Final = "."
"""What stands for `ATTRIBUTE_PREFIX`."""
CODES: Final = {path: code for code, path in enumerate(SWITCHES)}
"""Switches by their numbers. A new one has to be the last."""


@dataclass(frozen=True, slots=True, repr=False)
class _Tables:
    """What changes and floors of one note refer to.

    Args:
        latest: the latest moment in it, in microseconds since the epoch.
        names: fingerprints.
        bindings: of token and session, and whether that is proven.
        moments: at which Emporix took changes, the last ones of their fields and earlier ones: context, version, and
            seconds since the epoch.
        took: for how many seconds it was on its way to take them, where that is known; the longest, as one copy of a
            change may have come by way of somebody who did not say.
    """

    latest: int
    names: Sequence[str]
    bindings: Sequence[tuple[str, str, bool]]
    moments: Sequence[Moment]
    took: Mapping[Moment, float] = field(default_factory=dict)

    @classmethod
    def of(cls, notes: Notes) -> _Tables:
        """Return what a note needs."""
        taken = [each.operation.taken for each in notes.operations if each.operation.taken]
        moments = _distinct([*map(_moment, taken), *map(_rounded, notes.made)])
        bindings = _distinct(_binding(each) for each in notes.operations)
        names = [name for binding in bindings for name in binding[:2]] + [context for context, *_ in moments]
        names += [name for floor in notes.floors for name in (floor.context, floor.session)]
        seconds = [noted.operation.at for noted in notes.operations] + [at for *_, at in moments]
        seconds += [later.at for noted in notes.operations for later in noted.operation.overtaken_here]
        latest = max([notes.ended, notes.left_out_at, *seconds, *(floor.at for floor in notes.floors)])
        took = {_moment(each): each.took for each in sorted(taken, key=lambda each: each.took) if each.took}
        return cls(_micros(latest), _distinct(names), bindings, moments, took)

    def ago(self, seconds: float) -> int | None:
        """Return a moment as it is written: `None` stands for the epoch itself, where nobody knows."""
        return self.latest - _micros(seconds) if seconds else None

    def moment(self, ago: object) -> float:
        """Return the moment that was written, in seconds since the epoch."""
        return 0.0 if ago is None else moment_of((self.latest - _whole(ago)) / MICROSECOND)

    def name(self, index: object) -> str:
        """Return the fingerprint at a place."""
        return _at(self.names, index)

    def implied(self, context: str) -> Moment | None:
        """Return the moment that says by itself how high the floor of a context is: the last one there."""
        there = (moment for moment in self.moments if moment[0] == context)
        return max(there, key=lambda moment: moment[1:], default=None)


def encode(notes: Notes) -> dict[str, object]:
    """Return a note as CBOR values."""
    tables = _Tables.of(notes)
    index = {name: place for place, name in enumerate(tables.names)}
    body: dict[str, object] = {"v": FORMAT}
    if tables.latest:
        body["m"] = tables.latest
    if notes.era:
        body |= {"e": notes.era, "x": tables.ago(notes.ended)}
    if notes.receipts:
        body["r"] = 1
    if notes.left_out_at == notes.newest_at > notes.ended:
        body["l"] = tables.ago(notes.left_out_at)
    if tables.names:
        body["n"] = [_shorter_hex(name) for name in tables.names]
    if tables.moments:
        body["t"] = [_packed_moment(each, tables, index) for each in tables.moments]
    if notes.operations:
        body["b"] = [[index[token], index[session], int(proven)] for token, session, proven in tables.bindings]
        body["o"] = [_packed(noted, tables) for noted in notes.operations]
    if notes.floors:
        body["f"] = [_packed_floor(floor, tables, index) for floor in notes.floors]
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
    tables = _tables(data)
    era = era_of(data.get("e", 0))
    ended = tables.moment(data.get("x"))
    written = _listed(data, "o")
    operations: list[Noted] = []
    for item in written:
        try:
            operations.append(_unpacked(item, tables, era, now=now, wall=wall))
        except (ValueError, TypeError, LookupError):
            continue  # a field that only a later release knows
    floors = tuple(_floor(item, tables) for item in _listed(data, "f"))
    if len(operations) < len(written):
        # Over an older document what is left does not show all that was chosen, also once others have joined it.
        floors = tuple(replace(floor, complete_from=floor.version) for floor in floors)
    made = () if len(operations) < len(written) else _made_before(operations, tables)
    left_out_at = tables.moment(data.get("l"))
    return Notes(tuple(operations), floors, era, ended, data.get("r") == 1, made, left_out_at)


def _made_before(operations: Iterable[Noted], tables: _Tables) -> tuple[Moment, ...]:
    """Return the moments that no change refers to: later ones have come in the place of those that were taken then."""
    referred = {_moment(each.operation.taken) for each in operations if each.operation.taken}
    return tuple(sorted({*map(_rounded, tables.moments)} - referred))


def _tables(data: dict[str, object]) -> _Tables:
    bare = _Tables(version_of(data.get("m", 0)), [_longer_hex(each) for each in _listed(data, "n")], (), ())
    bindings = [(bare.name(token), bare.name(session), proven == 1) for token, session, proven in _rows(data, "b")]
    moments = [(bare.name(name), _version(version), bare.moment(ago)) for name, version, ago in _rows(data, "t")]
    lasted = [_sequence(each)[3:4] for each in _listed(data, "t")]
    took = {moment: took_of(tenths[0]) for moment, tenths in zip(moments, lasted, strict=True) if tenths}
    return replace(bare, bindings=bindings, moments=moments, took=took)


def _packed_moment(moment: Moment, tables: _Tables, index: Mapping[str, int]) -> list[object]:
    context, version, at = moment
    tenths = tenths_of(tables.took.get(moment, 0.0))
    return [index[context], version, tables.ago(at), *([tenths] if tenths else [])]


def _packed(noted: Noted, tables: _Tables) -> list[object]:
    operation, taken = noted.operation, noted.operation.taken
    binding = tables.bindings.index(_binding(noted))
    value, op_id = _packed_value(operation.value), _shorter_id(operation.op_id)
    packed = [_packed_path(noted.path), value, op_id, tables.ago(operation.at), binding]
    if taken is not None:
        packed.append(tables.moments.index(_moment(taken)))
        others = [[later.version, tables.ago(later.at)] for later in operation.overtaken_here]
        if taken.replaced or operation.again or others:
            packed += [_shorter_hex(taken.replaced), *([int(operation.again)] if operation.again or others else [])]
        packed += others
    return packed


def _unpacked(item: object, tables: _Tables, era: int, *, now: float, wall: float) -> Noted:
    path, value, op_id, ago, binding, *rest = _sequence(item)
    token, session, proven = _at(tables.bindings, binding)
    path = _unpacked_path(path)
    taken = _taken(rest, tables) if rest else None
    value, op_id = _unpacked_value(value), _longer_id(op_id)
    operation = operation_of(path, value, op_id, tables.moment(ago), now=now, wall=wall, taken=taken, era=era)
    again = rest[2:3] == [1]
    overtaken_by = _overtaken_by(taken, rest[3:4], tables)
    operation = replace(operation, again=again, rounds=int(again), overtaken_by=overtaken_by)
    return Noted(path, operation, token, session, proven)


def _overtaken_by(taken: Taken | None, others: Sequence[object], tables: _Tables) -> tuple[Taken, ...]:
    """Return how Emporix took others of the field after one, in the same context."""
    if taken is None or not others:
        return ()
    version, ago, *_ = _sequence(others[0])
    return (Taken(version_of(version), taken.context, tables.moment(ago)),)


def _taken(rest: Sequence[object], tables: _Tables) -> Taken:
    moment = _at(tables.moments, rest[0])
    context, version, at = moment
    return Taken(version, context, at, _longer_hex(rest[1]) if len(rest) > 1 else "", tables.took.get(moment, 0.0))


def _moment(taken: Taken) -> Moment:
    return _rounded((taken.context, taken.version, taken.at))


def _rounded(moment: Moment) -> Moment:
    context, version, at = moment
    return context, version, _micros(at) / MICROSECOND


def _binding(noted: Noted) -> tuple[str, str, bool]:
    return noted.token, noted.session, noted.proven


def _packed_floor(floor: Floor, tables: _Tables, index: dict[str, int]) -> list[object]:
    packed: list[object] = [index[floor.context], index[floor.session], floor.complete_from]
    implied = tables.implied(floor.context)
    login = floor.login
    if login.version or implied is None or implied[1] != floor.version:
        told = [login.version, _shorter_hex(login.left)] if login.version else []
        packed += [floor.version, tables.ago(floor.at), *told]
    return packed


def _floor(item: object, tables: _Tables) -> Floor:
    context, session, complete_from, *rest = _sequence(item)
    name = tables.name(context)
    if rest:
        version, at = version_of(rest[0]), tables.moment(rest[1])
    else:
        implied = tables.implied(name)
        if implied is None:
            raise ValueError("a floor that follows from nothing")
        _, version, at = implied
    login = Login(version_of(rest[2]), _longer_hex(rest[3])) if len(rest) > 3 else NO_LOGIN
    return Floor(name, tables.name(session), version, at, version_of(complete_from), login)


def _packed_path(path: str) -> str | int:
    if path.startswith(ATTRIBUTE_PREFIX):
        return ATTRIBUTE + path.removeprefix(ATTRIBUTE_PREFIX)
    return CODES.get(path, path)


def _unpacked_path(path: object) -> str:
    if isinstance(path, str):
        return ATTRIBUTE_PREFIX + path.removeprefix(ATTRIBUTE) if path.startswith(ATTRIBUTE) else path
    return _at(tuple(SWITCHES), path)


def _packed_value(value: Value) -> object:
    """Return a value: mostly a text; bytes are JSON."""
    if isinstance(value, Removed):
        return None
    return value if isinstance(value, str) else dumps(value).encode()


def _unpacked_value(value: object) -> object:
    return loads(value) if isinstance(value, bytes) else value


def _shorter_hex(text: str) -> str | bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return text
    return raw if raw.hex() == text else text


def _longer_hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else _text(value)


def _shorter_id(op_id: str) -> str | bytes:
    try:
        raw = base64.urlsafe_b64decode(op_id + "=" * (-len(op_id) % 4))
    except ValueError:
        return op_id
    return raw if _longer_id(raw) == op_id else op_id


def _longer_id(value: object) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode() if isinstance(value, bytes) else _text(value)


def _micros(seconds: float) -> int:
    return round(seconds * MICROSECOND)


def _version(value: object) -> int:
    return -1 if value == -1 else version_of(value)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
        return value
    raise ValueError("not a whole number of 64 bits")


def _at(values: Sequence[T], index: object) -> T:
    if 0 <= _whole(index) < len(values):
        return values[_whole(index)]
    raise ValueError("not an index")


def _rows(data: dict[str, object], key: str) -> Iterable[Sequence[object]]:
    """Return the first three of each list; there may be more to say."""
    return (_sequence(each)[:3] for each in _listed(data, key))


def _listed(data: dict[str, object], key: str) -> Sequence[object]:
    return _sequence(data.get(key, ()))


def _sequence(value: object) -> Sequence[object]:
    if isinstance(value, list | tuple):
        return value
    raise ValueError("not a list")


def _text(value: object) -> str:
    if isinstance(value, str) and len(value) <= MAX_FINGERPRINT:
        return value
    raise ValueError("not a text of ours")


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
