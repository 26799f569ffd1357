"""Documents and changes, without any I/O."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import ContextDocument, InvalidChange
from session_ctx_middleware.model.changes import NO_CHANGES, ContextChanges
from session_ctx_middleware.model.document import REMOVED, Value
from session_ctx_middleware.model.operation import Operation

WIRE: dict[str, Any] = {
    "sessionId": "s-1",
    "customerId": "ANONYMOUS",
    "siteCode": "main",
    "currency": "EUR",
    "language": "en",
    "targetLocation": "DE",
    "cartId": "cart-1",
    "context": {"tier": {"name": "gold", "since": [2024, 1.5, True, None]}, "ref": "x"},
    "metadata": {"version": 5, "createdAt": "2026-02-04T17:06:50.134Z", "modifiedAt": "2026-02-04T17:07:04.104Z"},
    "futureKey": {"a": [1]},
}


def parse(**changes: Any) -> ContextDocument:
    return ContextDocument.parse(json.dumps({**WIRE, **changes}))


def changes_of(**values: Value) -> ContextChanges:
    operations = {
        path.replace("__", "."): Operation(value, f"op-{path}", at=1.0, recorded=1.0) for path, value in values.items()
    }
    return ContextChanges(operations)


def test_round_trip() -> None:
    """A document survives the way to Emporix and back."""
    document = parse()

    assert document.to_wire() == WIRE | {"context": document.attributes, "futureKey": document.extra["futureKey"]}
    assert json.loads(json.dumps(document.to_wire(), default=dict)) == WIRE
    assert dict(document.extra) == {"futureKey": document.extra["futureKey"]}


def test_attributes_are_lazy() -> None:
    """Attributes are kept as text until somebody reads them."""
    document = parse()
    document.to_wire()
    unread = document._text

    attributes = document.attributes

    assert json.loads(unread) == [WIRE["context"], {"futureKey": {"a": [1]}}]
    assert document._text == b""
    assert attributes == {"tier": {"name": "gold", "since": (2024, 1.5, True, None)}, "ref": "x"}
    assert document.attributes is attributes
    assert parse(context={}, futureKey=None).extra == {"futureKey": None}
    assert parse(context=None).attributes is parse(context={}).attributes is ContextDocument(1).attributes


def test_laziness_does_not_show() -> None:
    """Whether attributes have been read makes no difference."""
    read = parse()
    assert (read.attributes["ref"], read.extra["futureKey"]["a"]) == ("x", (1,))  # type: ignore[call-overload, index]

    assert parse() == read == replace(parse(), version=5) == copy.copy(parse())
    assert read != parse(context={}) != parse(futureKey=1)
    assert replace(parse(), version=6).attributes == read.attributes
    assert parse().to_wire() == read.to_wire()
    assert parse().value_at("attributes.ref") == "x"
    assert parse() == ContextDocument(**{each.name: getattr(read, each.name) for each in fields(read)})
    with pytest.raises(AttributeError, match="no attribute 'curency'"):
        read.curency  # type: ignore[attr-defined]  # noqa: B018


def test_attributes_read_by_two_threads() -> None:
    """Of two threads that read attributes, the second finds what the first has read."""
    document = parse()
    attributes = document.attributes

    assert getattr(document, "__getattr__")("attributes") is attributes  # noqa: B009


def test_only_version_is_needed() -> None:
    """Everything but the version may be absent."""
    document = ContextDocument.parse('{"metadata": {"version": 0}}')

    assert (document.version, document.currency, dict(document.attributes)) == (0, None, {})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"metadata": null}',
        b'{"metadata": []}',
        b'{"metadata": {}}',
        b'{"metadata": {"version": true}}',
        b'{"metadata": {"version": -1}}',
        b'{"metadata": {"version": 100000000000000000000}}',
        b'{"metadata": {"version": NaN}}',
        b'{"metadata": {"version": 5.5}}',
        b'{"metadata": {"version": 1e400}}',
        b'{"metadata": {"version": "five"}}',
        b'{"metadata": {"version": "-5"}}',
        b'{"metadata": {"version": "99999999999999999"}}',
        b'{"metadata": {"version": ""}}',
        b'{"metadata": {"version": ' + b"9" * 5000 + b"}}",
        b'{"metadata": {"version": 1}, "x": ' + b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_f43_not_a_document(raw: bytes) -> None:
    """F43: What is not a document is a `ValueError`."""
    with pytest.raises(ValueError, match=r"."):
        ContextDocument.parse(raw)


def test_repr() -> None:
    """A document shows nothing in its repr."""
    assert re.fullmatch("<ContextDocument version=5 [0-9a-f]{16}>", repr(parse()))
    assert "EUR" not in repr(changes_of(currency="EUR"))


def test_patch_body() -> None:
    """The body of a PATCH holds only what changed, and the version."""
    assert changes_of(currency="USD").body(parse()) == {"currency": "USD", "metadata": {"version": 5}}


def test_attribute_map_is_whole() -> None:
    """The attribute map is sent whole."""
    body = changes_of(attributes__ref=REMOVED, attributes__new="n").body(parse())

    assert body == {"context": {"tier": parse().attributes["tier"], "new": "n"}, "metadata": {"version": 5}}


def test_later_change_stays() -> None:
    """Of two changes of a field, the later one stays."""
    early = ContextChanges({"currency": Operation("USD", "1", at=1.0, recorded=1.0)})
    late = ContextChanges({"currency": Operation("CHF", "2", at=2.0, recorded=2.0)})

    assert early.newest(late) == late.newest(early) == late
    assert early.over(late) == early


def test_same_operation_is_taken_away() -> None:
    """Only the very same operation is taken away."""
    one = ContextChanges({"currency": Operation("USD", "1", at=1.0, recorded=1.0)})
    other = ContextChanges({"currency": Operation("USD", "2", at=1.0, recorded=1.0)})

    assert one.minus(one) == NO_CHANGES
    assert one.minus(other) is one


def test_proof_of_a_change() -> None:
    """Only a document asked for after a change proves that it is there."""
    wish = changes_of(currency="EUR")

    assert wish.missing_from(parse(), asked_at=1.0) is wish
    assert not wish.missing_from(parse(), asked_at=1.1)


def test_values_of_different_types() -> None:
    """1, True and 1.0 are different values."""
    wish = changes_of(attributes__a={"v": 1})

    for held in ({"v": True}, {"v": 1.0}):
        assert wish.rebase(parse(), parse(context={"a": held}))
    assert not wish.rebase(parse(), parse(context={"a": {"v": 1}}))


def test_conflict_function() -> None:
    """A conflict function can take theirs, merge, or fail."""
    wish = changes_of(currency="USD")
    latest = parse(currency="CHF")

    assert not wish.rebase(parse(), latest, lambda *values: values[3])
    merged = wish.rebase(parse(), latest, lambda *_: "GBP").get("currency")
    assert merged is not None
    assert (merged.value, merged.op_id) == ("GBP", "op-currency")
    with pytest.raises(InvalidChange):
        wish.rebase(parse(), latest, lambda *_: "pounds")


def test_conflict_function_and_keys() -> None:
    """A conflict function is asked about attributes by key."""
    asked: list[tuple[object, ...]] = []

    def take_ours(*values: Any) -> Any:
        asked.append(values)
        return values[2]

    changes_of(attributes__ref=REMOVED).rebase(parse(), parse(context={"ref": "y"}), take_ours)

    assert asked == [("attributes.ref", "x", REMOVED, "y")]


SWITCH_VALUES = {"currency": ["EUR", "USD", "CHF"], "language": ["en", "de"], "site_code": ["main", "us"]}
switches = st.fixed_dictionaries({}, optional={name: st.sampled_from(v) for name, v in SWITCH_VALUES.items()})
attributes = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"]), max_size=3)
attribute_changes = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2", REMOVED]), max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> ContextDocument:
    wire = {"siteCode": "main", "currency": "EUR", "language": "en"}
    names = {"site_code": "siteCode"}
    wire |= {names.get(name, name): value for name, value in draw(switches).items()}
    return ContextDocument.parse(
        json.dumps({**wire, "context": draw(attributes), "metadata": {"version": draw(st.integers(0, 9))}})
    )


@st.composite
def change_sets(draw: st.DrawFn) -> ContextChanges:
    values: dict[str, Any] = dict(draw(switches))
    values |= {f"attributes__{key}": value for key, value in draw(attribute_changes).items()}
    return changes_of(**values)


def applied(document: ContextDocument, changes: ContextChanges) -> ContextDocument:
    """What Emporix makes of a PATCH."""
    body = changes.body(document)
    wire = {**document.to_wire(), **body, "metadata": {"version": document.version + 1}}
    if not wire.get("context"):
        wire.pop("context", None)
    return ContextDocument.parse(json.dumps(wire, default=dict))


def values_of(document: ContextDocument) -> dict[str, Any]:
    return {**document.to_wire(), "metadata": None, "context": dict(document.attributes)}


@given(documents(), documents(), change_sets())
def test_rebase_is_idempotent(base: ContextDocument, latest: ContextDocument, changes: ContextChanges) -> None:
    """Rebasing twice is rebasing once."""
    once = changes.rebase(base, latest)

    assert once.rebase(base, latest) == once
    assert not once.rebase(base, applied(latest, once))


@given(documents(), documents(), change_sets())
def test_rebase_touches_nothing_else(base: ContextDocument, latest: ContextDocument, changes: ContextChanges) -> None:
    """Rebasing reaches what was wanted, and touches nothing else."""
    result = applied(latest, changes.rebase(base, latest))

    for path, operation in changes.operations.items():
        assert result.value_at(path) == operation.value
    for path in {*SWITCH_VALUES, *(f"attributes.{key}" for key in "abc")} - set(changes):
        assert result.value_at(path) == latest.value_at(path)


@given(documents(), change_sets(), change_sets())
def test_disjoint_changes_commute(base: ContextDocument, one: ContextChanges, other: ContextChanges) -> None:
    """Disjoint changes commute."""
    apart = ContextChanges({path: op for path, op in other.operations.items() if path not in one})

    first = applied(base, one)
    one_way = applied(first, apart.rebase(base, first))
    second = applied(base, apart)
    other_way = applied(second, one.rebase(base, second))

    assert values_of(one_way) == values_of(other_way)
