"""An odd value costs itself: the rest of its document is read, shown, and sent back unchanged."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import ContextDocument
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.document import REMOVED, Value
from session_ctx_middleware.model.frozen_json import FrozenDict, dumps
from session_ctx_middleware.model.operation import Operation

FIELDS = {
    "sessionId": "session_id",
    "customerId": "customer_id",
    "siteCode": "site_code",
    "currency": "currency",
    "language": "language",
    "targetLocation": "target_location",
    "cartId": "cart_id",
}
GOOD = {**dict.fromkeys(FIELDS, "x"), "context": {"tier": {"name": "gold"}}, "future": [1]}
PADDING = {"padding": "p" * 5000}


def raw_of(**values: Any) -> bytes:
    return json.dumps({**GOOD, "metadata": {"version": 5, "createdAt": "then"}, **values}).encode()


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def patched(document: ContextDocument, **attributes: Value) -> Any:
    """Return the attributes that a PATCH with these changes sends."""
    changes = {f"attributes.{key}": Operation(value, key, at=1.0, recorded=1.0) for key, value in attributes.items()}
    return json.loads(dumps(ContextChanges(changes).body(document)))["context"]


@pytest.mark.parametrize("wire", FIELDS)
@pytest.mark.parametrize("value", [5, 1.5, True, ["x"], {"x": "y"}, "\ud800", math.inf, deep(70), 10**400])
def test_odd_field(wire: str, value: object) -> None:
    """A field that is no text reads as `None`, is kept for others, and takes nothing else with it."""
    document = ContextDocument.parse(raw_of(**{wire: value}))

    assert {name: getattr(document, name) for name in FIELDS.values()} == {
        name: None if key == wire else "x" for key, name in FIELDS.items()
    }
    assert document.odd == (wire,)
    assert (document.version, document.attributes) == (5, {"tier": {"name": "gold"}})
    assert document.extra["future"] == (1,)
    assert wire in document.extra


def test_all_odd_fields_are_named() -> None:
    """Every field is named in which something is odd; of unknown keys only that there is something."""
    odd = {"customerId": 5, "cartId": [], "context": {"a": 10**400}, "future": "\ud800"}
    document = ContextDocument.parse(raw_of(metadata={"version": 1, "createdAt": 0}, **odd))

    assert document.odd == ("customerId", "cartId", "metadata.createdAt", "context", "extra")


@pytest.mark.parametrize("wire", [*FIELDS, "context"])
@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_not_odd(wire: str, value: object) -> None:
    """What is not there is not odd."""
    if wire == "context" and value == "":
        value = {}
    document = ContextDocument.parse(raw_of(**{wire: value}))

    assert document.odd == ()
    assert getattr(document, FIELDS.get(wire, "attributes")) in (None, {})


@pytest.mark.parametrize("version", [b"3", b'"3"', b"3.0", b"3e0", b"0.3e1"])
def test_ways_to_write_a_version(version: bytes) -> None:
    """A version is one however it is written, and is sent back as a number."""
    document = ContextDocument.parse(b'{"metadata": {"version": ' + version + b"}}")

    assert (document.version, type(document.version)) == (3, int)
    assert document.to_wire() == {"metadata": {"version": 3}}


@pytest.mark.parametrize("value", [7, ["then"], "\ud800"])
def test_odd_moments(value: object) -> None:
    """The times are of no more importance than any other field."""
    document = ContextDocument.parse(raw_of(metadata={"version": 5, "createdAt": value, "modifiedAt": value}))

    assert (document.created_at, document.modified_at, document.currency) == (None, None, "x")
    assert document.odd == ("metadata.createdAt", "metadata.modifiedAt")


@pytest.mark.parametrize("value", [[], ["a"], "x", 5, True])
def test_attributes_that_are_no_map(value: object) -> None:
    """Attributes that are no map read as none, and the next one that is set makes them one."""
    document = ContextDocument.parse(raw_of(context=value))

    assert (document.attributes, document.odd) == ({}, ("context",))
    assert json.loads(json.dumps(document.to_wire()))["context"] == value
    assert patched(document, new="1") == {"new": "1"}


ODD = [
    (b'"\\ud800"', "\ud800"),
    (b'"a\\udfffb"', "a\udfffb"),
    (b"1e400", 10**400),
    (b"-1.5e308000", None),
    (b"1.5e3000", 15 * 10**2999),
    (b"NaN", None),
    (b"-Infinity", None),
    (b"1" * 400, int("1" * 400)),
    (b"1" * 5000, None),
    (json.dumps(deep(70)).encode(), deep(70)),
    (b"[" * 50_000 + b"]" * 50_000, ...),
]


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(("raw", "sent"), ODD, ids=range(len(ODD)))
def test_odd_attribute(raw: bytes, sent: object, large: bool) -> None:
    """In attributes an odd value reads as `None`; beside another change it is sent back as it came, where it can be."""
    pad = json.dumps(PADDING["padding"]) if large else '"p"'
    text = b'{"metadata": {"version": 5}, "currency": "EUR", "context": {"odd": %b, "in": {"odd": [%b, 1]}, "p": %b}}'
    document = ContextDocument.parse(text % (raw, raw, pad.encode()))

    assert document.odd == ("context",)
    assert document.currency == "EUR"
    body = patched(document, new="1")
    assert document.attributes["in"]["odd"][1] == 1  # type: ignore[index, call-overload]
    if sent is not ...:  # else it is cut where no service could go
        assert document.attributes["odd"] is None or sent == deep(70)
        assert document.attributes["in"]["odd"][0] is None or sent == deep(70)  # type: ignore[index, call-overload]
        assert body == {"odd": sent, "in": {"odd": [sent, 1]}, "p": json.loads(pad), "new": "1"}
    assert "odd" not in patched(document, odd=REMOVED)
    assert patched(document, odd="good")["odd"] == "good"


def test_shown_depth() -> None:
    """Of what lies deep, 64 levels are shown."""
    for levels in (60, 64, 65, 70):
        shown: Any = ContextDocument.parse(raw_of(context={"a": deep(levels)})).attributes["a"]
        seen = 0
        while isinstance(shown, tuple):
            shown, seen = shown[0], seen + 1
        assert (shown, seen) == (("bottom", levels) if levels <= 64 else (None, 64))


def test_odd_keys() -> None:
    """A key that is no text is not shown, and is sent back."""
    document = ContextDocument.parse(b'{"metadata": {"version": 1}, "context": {"\\ud800": "x", "a": {"\\udc00": 1}}}')

    assert document.attributes == {"a": {}}
    assert patched(document, b="1") == {"\ud800": "x", "a": {"\udc00": 1}, "b": "1"}


def test_repeated_keys() -> None:
    """Of two equal keys the last one counts."""
    attributes, metadata = b'"context": {"a": "1", "a": "2"}', b'"metadata": {}, "metadata": {"version": 2}'
    document = ContextDocument.parse(b'{"currency": "EUR", "currency": "USD", %b, %b}' % (attributes, metadata))

    assert (document.currency, document.attributes, document.version) == ("USD", {"a": "2"}, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(encoding: str) -> None:
    """Every encoding that JSON ever allowed is read, with and without a byte order mark."""
    for pad in ("p", "p" * 5000):
        raw = json.dumps({"metadata": {"version": 1}, "context": {"a": "ü€", "p": pad}}, ensure_ascii=False)
        assert ContextDocument.parse(raw.encode(encoding)).attributes["a"] == "ü€"


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -(10**310), math.inf, -math.inf, math.nan, "\ud800", "\udfff", "é", "𝄞"]),
        st.floats(),
        st.text(st.characters(), max_size=5),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=4), st.sampled_from(["\ud800", "a"])), children, max_size=4),
    ),
    max_leaves=12,
)
keys = st.sampled_from([*FIELDS, "context", "future", "\ud800", "metadata"])


def usable_version(value: object) -> bool:
    version = value.get("version") if isinstance(value, dict) else None
    return isinstance(version, int | float | str) and not isinstance(version, bool) and str(version)[:1].isdigit()


@given(st.dictionaries(keys, json_values, max_size=6), json_values, st.booleans())
def test_any_value_in_any_field(fields: dict[str, Any], version: Any, large: bool) -> None:
    """Nothing but the version is needed, and whatever is read goes into JSON, UTF-8, pickles, and back to Emporix."""
    body = {"metadata": {"version": version}, **fields, **(PADDING if large else {})}
    raw = json.dumps(body).encode()
    try:
        document = ContextDocument.parse(raw)
    except ValueError:
        return

    assert usable_version(body["metadata"])
    texts = [getattr(document, name) for name in FIELDS.values()]
    assert all(text is None or (isinstance(text, str) and text.encode()) for text in texts)
    json.dumps([document.attributes, document.extra, document.to_dict()], allow_nan=False, ensure_ascii=False).encode()
    assert pickle.loads(pickle.dumps(document)) == document
    sent = json.loads(dumps(document.to_wire()))
    again = ContextDocument.parse(json.dumps(sent))
    assert [getattr(again, name) for name in FIELDS.values()] == texts
    if b"NaN" not in raw and b"Infinity" not in raw:  # which are no JSON, and cannot be sent back
        assert again == document
    assert patched(document, new="1")["new"] == "1"


@given(json_values, st.sampled_from([*FIELDS, "context", "future"]), st.booleans())
def test_only_the_version_is_needed(value: Any, key: str, large: bool) -> None:
    """With a usable version, no value of any field makes a document unreadable."""
    raw = json.dumps({**GOOD, "metadata": {"version": 5}, key: value, **(PADDING if large else {})})

    document = ContextDocument.parse(raw)

    assert document.version == 5
    others = {name for wire, name in FIELDS.items() if wire != key}
    assert {getattr(document, name) for name in others} == {"x"}
    if key != "context":
        assert document.attributes == {"tier": {"name": "gold"}}


@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    """Bytes are a document, or a `ValueError`."""
    for text in (raw, b'{"metadata": {"version": 1}, "context": {"a": "' + raw + b'"}}'):
        try:
            ContextDocument.parse(text).to_dict()
        except ValueError:
            continue


# Large documents are frozen key by key


def large(**attributes: Any) -> ContextDocument:
    return ContextDocument.parse(raw_of(context={**PADDING, **attributes}))


CHANGES: list[Callable[[Any], object]] = [
    lambda found: found.update(a=1),
    lambda found: found.pop("a"),
    lambda found: found.setdefault("z", 1),
    lambda found: found.clear(),
    lambda found: found.__setitem__("a", 1),
    lambda found: found.__delitem__("a"),
    lambda found: found.__ior__({"a": 1}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_large_attributes_cannot_be_changed(change: Callable[[Any], object]) -> None:
    """Nothing in a large document can be changed, on whichever way it was reached."""
    document = large(a={"b": [{"c": "d"}]}, e=[])
    ways: list[Callable[[Any], Any]] = [
        lambda found: found["a"],
        lambda found: found.get("a"),
        lambda found: dict(found)["a"],
        lambda found: {**found}["a"],
        lambda found: dict(found.items())["a"],
        lambda found: [each for each in found.values() if "b" in each][0],  # noqa: RUF015
        lambda found: found.copy()["a"],
        lambda found: (found | {})["a"],
        lambda found: ({} | found)["a"],
    ]
    for number, way in enumerate(ways):
        fresh = large(a={"b": [{"c": "d"}]}, e=[])
        for reached in (fresh.attributes, way(fresh.attributes), way(fresh.attributes)["b"][0]):
            assert isinstance(reached, FrozenDict), number
            with pytest.raises(TypeError, match="read-only"):
                change(reached)
        assert fresh == document


@given(json_values.filter(lambda value: "nan" not in repr(value)), st.booleans())
def test_large_and_small_agree(value: Any, read: bool) -> None:
    """A large document is equal to the same one that was frozen at once, in every form."""
    attributes = {**PADDING, "a": value}
    lazy = ContextDocument.parse(json.dumps({"metadata": {"version": 1}, "context": attributes}))
    small = ContextDocument.parse(json.dumps({"metadata": {"version": 1}, "context": {"padding": "p", "a": value}}))
    eager: Any = small.attributes | {"padding": PADDING["padding"]}  # type: ignore[operator]
    if read:
        list(lazy.attributes)

    assert lazy.attributes == eager
    assert eager == lazy.attributes
    assert (lazy.attributes != eager) is False
    assert dumps(lazy.attributes) == dumps(eager)
    assert pickle.loads(pickle.dumps(lazy.attributes)) == eager
