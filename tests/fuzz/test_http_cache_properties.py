"""Whatever an application says about caches, a personal response is private; and JSON values that nobody can change."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_ctx_middleware.http_cache import Vary, is_private, made_private
from session_ctx_middleware.model.frozen_json import condense, dumps, freeze, frozen_map, loads, same
from session_ctx_middleware.model.held_text import as_read

from .support import fuzz

Pairs = list[tuple[bytes, bytes]]

SPEAKING = (
    "cache-control",
    "vary",
    "surrogate-control",
    "cdn-cache-control",
    "x-litespeed-cache-control",
    "edge-control",
    "x-accel-expires",
    "x-cache-ttl",
)
DIRECTIVES = [
    "public",
    "PUBLIC",
    "private",
    "Private",
    "no-store",
    "no-cache",
    "max-age=60",
    "s-maxage=600",
    "S-MaxAge = 5",
    "proxy-revalidate",
    "must-understand",
    "Must-Understand",
    'private="set-cookie"',
    'private="a, public"',
    'no-cache="x, s-maxage=1"',
    'ext="unbalanced',
    "",
    " ",
    "=",
]


directives = st.one_of(
    st.lists(st.sampled_from(DIRECTIVES), max_size=4).map(", ".join).map(str.encode), st.binary(max_size=20)
)
varied = st.one_of(
    st.lists(
        st.sampled_from(["Authorization", "authorization", "COOKIE", "Accept", "*", "", " origin "]), max_size=4
    ).map(lambda names: ",".join(names).encode()),
    st.binary(max_size=20),
)
telling = st.one_of(
    st.tuples(st.sampled_from(SPEAKING).map(str.encode), directives),
    st.tuples(st.just(b"vary"), varied),
    st.tuples(st.just(b"x-accel-expires"), st.sampled_from([b"0", b" 0 ", b"60", b"@0", b"off", b""])),
)
unrelated = st.tuples(
    st.one_of(
        st.sampled_from([b"content-type", b"Set-Cookie", b"x-varying", b"age", b"expires"]), st.binary(max_size=8)
    ),
    st.binary(max_size=12),
).filter(lambda pair: not pair[0].lower().endswith(tuple(map(str.encode, SPEAKING))))
header_lists = st.lists(st.one_of(telling, unrelated), max_size=8)
needs = st.sampled_from([("Authorization",), ("Cookie",), ("Authorization", "Cookie")])


def repaired(headers: Pairs, names: tuple[str, ...]) -> Pairs:
    before = list(headers)
    result, _ = made_private(headers, Vary(names))
    assert headers == before
    return result


def values(headers: Pairs, name: str) -> list[str]:
    return [str(value, "latin-1") for key, value in headers if key.lower() == name.encode()]


def parsed(headers: Pairs, name: str = "cache-control") -> list[str]:
    """Read a list of directives as RFC 9110 writes it: commas and backslashes inside quotes are text."""
    parts, quoted, escaped = [""], False, False
    for character in ", ".join(values(headers, name)):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        if character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip().lower() for part in parts if part.strip()]


def named(directive: str) -> str:
    return directive.partition("=")[0].strip()


@fuzz(200)
@given(header_lists, needs)
def test_personal_is_private(headers: Pairs, names: tuple[str, ...]) -> None:
    """A personal response is private, whatever the application said."""
    said = parsed(repaired(headers, names))

    assert "private" in said or ("no-store" in said and "must-understand" not in said)
    assert not {"public", "s-maxage", "proxy-revalidate"} & {named(directive) for directive in said}


@fuzz(200)
@given(header_lists, needs)
def test_vary_names_token_headers(headers: Pairs, names: tuple[str, ...]) -> None:
    """`Vary` names where the token comes from."""
    before = [part.strip().lower() for value in values(headers, "vary") for part in value.split(",")]
    after = [part.strip().lower() for value in values(repaired(headers, names), "vary") for part in value.split(",")]

    if "*" in before:
        assert "*" in after
    else:
        for name in names:
            assert after.count(name.lower()) == max(before.count(name.lower()), 1)
    assert [part for part in after if part not in before] == [
        name.lower() for name in names if name.lower() not in before and "*" not in before
    ]


@fuzz(200)
@given(header_lists, needs)
def test_targeted_headers_are_closed(headers: Pairs, names: tuple[str, ...]) -> None:
    """No header for one kind of cache stays open."""
    result = repaired(headers, names)

    for name, value in result:
        key, text = str(name, "latin-1").lower(), str(value, "latin-1")
        if key.endswith("-control") and key != "cache-control":
            assert {"no-cache", "no-store"} <= set(parsed([(b"cache-control", value)]))
        if key in {"x-accel-expires", "x-cache-ttl"}:
            assert text.strip() == "0"


@fuzz(200)
@given(header_lists, needs)
def test_other_headers_stay(headers: Pairs, names: tuple[str, ...]) -> None:
    """Headers that say nothing about caches are left alone."""

    def others(pairs: Pairs) -> Pairs:
        return [pair for pair in pairs if not pair[0].lower().endswith(tuple(map(str.encode, SPEAKING)))]

    assert others(repaired(headers, names)) == others(headers)


@fuzz(200)
@given(header_lists, needs)
def test_what_is_private_stays_as_it_is(headers: Pairs, names: tuple[str, ...]) -> None:
    """What is private stays as it is."""
    once, leaked = made_private(headers, Vary(names))

    assert made_private(once, Vary(names)) == (once, False)
    assert is_private(once)
    assert not (leaked and is_private(headers))
    assert leaked or not _invites(headers)


@fuzz(100)
@example(before="private", after="b")
@given(before=st.sampled_from(DIRECTIVES), after=st.sampled_from(DIRECTIVES))
def test_backslash_in_quotes(before: str, after: str) -> None:
    """A backslash in quotes does not end them."""
    hidden = f'ext="a\\", {before}, {after.replace(chr(34), "")}"'.encode()

    for name in (b"cache-control", b"surrogate-control"):
        said = parsed(repaired([(name, hidden)], ("Cookie",)), str(name, "ascii"))
        assert {"private", "no-store"} & set(said)


@fuzz(200)
@given(
    st.lists(st.tuples(st.one_of(telling, unrelated), st.sampled_from([bytes.title, bytes.upper])), max_size=4), needs
)
def test_case_of_names(
    spelled: list[tuple[tuple[bytes, bytes], Callable[[bytes], bytes]]], names: tuple[str, ...]
) -> None:
    """It makes no difference how an application writes the names of headers."""
    odd = [(spell(name), value) for (name, value), spell in spelled]
    lower = [(name.lower(), value) for name, value in odd]

    assert [(name.lower(), value) for name, value in repaired(odd, names)] == repaired(lower, names)


def _invites(headers: Pairs) -> bool:
    return any(named(directive) in {"public", "s-maxage"} for directive in parsed(headers))


# Values that nobody can change

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.text(st.characters(codec=None), max_size=4),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=12,
)


def thawed(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [thawed(item) for item in value]
    return value


def parts_of(value: object) -> list[object]:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [value, *(part for item in inner for part in parts_of(item))]


@fuzz(200)
@given(json_values)
def test_round_trip(value: Any) -> None:
    """A value survives being frozen, written and read."""
    frozen = freeze(value)

    assert repr(thawed(frozen)) == repr(value)
    assert loads(dumps(frozen)) == json.loads(json.dumps(value)) == value
    assert dumps(frozen) == dumps(value)
    assert dumps(loads(dumps(frozen))) == dumps(frozen)
    assert same(frozen, freeze(loads(dumps(frozen))))


CHANGES: list[Callable[[Any], object]] = [
    lambda part: operator.setitem(part, "x", 1),
    lambda part: operator.delitem(part, "x"),
    lambda part: part.__ior__({"x": 1}),
    lambda part: part.clear(),
    lambda part: part.pop("x", None),
    lambda part: part.popitem(),
    lambda part: part.setdefault("x", 1),
    lambda part: part.update(x=1),
]


@fuzz(100)
@given(json_values)
def test_frozen_is_frozen(value: Any) -> None:
    """Nothing in a frozen value can be changed."""
    before = dumps(frozen := freeze(value))

    for part in parts_of(frozen):
        assert not isinstance(part, list)
        if isinstance(part, dict):
            for change in CHANGES:
                with pytest.raises(TypeError, match="read-only"):
                    change(part)
    for part in parts_of(value):
        if isinstance(part, dict):
            part["added"] = 1
        elif isinstance(part, list):
            part.append(1)
    assert dumps(frozen) == before


@fuzz(100)
@given(json_values, st.sampled_from([math.nan, math.inf, -math.inf, {1: 2}, {1, 2}, b"x", object(), 2**1025, 1j]))
def test_not_json_is_refused(value: Any, bad: object) -> None:
    """What is not JSON is refused, wherever it hides."""
    for hidden in (bad, [value, bad], {"a": value, "b": bad}, {"a": {"b": [value, [bad]]}}):
        with pytest.raises(ValueError, match=r"."):
            freeze(hidden)


@fuzz(100)
@given(st.sampled_from(["NaN", "Infinity", "-Infinity"]), json_values)
def test_nan_and_infinity(constant: str, value: Any) -> None:
    """A text with NaN or infinity is not JSON."""
    for raw in (constant, f"[{json.dumps(value)},{constant}]", f'{{"a":{constant}}}'):
        with pytest.raises(ValueError, match=constant):
            loads(raw)


@fuzz(200)
@given(st.binary(max_size=40))
def test_bytes(raw: bytes) -> None:
    """Bytes are JSON, or a `ValueError`."""
    try:
        value = loads(raw)
        frozen = freeze(value)
    except ValueError:
        return
    assert same(frozen, freeze(loads(dumps(frozen))))


edges = st.one_of(
    json_values,
    st.sampled_from(
        [2**1024 - 1, 2**1024, -(2**1024), 10**308, 10**400, math.inf, "\ud800", "9" * 309, "[" * 70, -0.0]
    ),
    st.tuples(st.integers(62, 67), st.booleans(), st.sampled_from([1, 1.5, [], {}])).map(
        lambda deep: loads(
            ("[" if deep[1] else '{"a":') * deep[0] + dumps(deep[2]) + ("]" if deep[1] else "}") * deep[0]
        )
    ),
)


@fuzz(300)
@given(edges, st.dictionaries(st.sampled_from(["a", "b", "\ud800", "k" * 65]), edges, max_size=2))
def test_text_and_frozen_agree(value: Any, other: Any) -> None:
    """What is kept as compact text is what `freeze` takes."""
    parsed = [{"a": value, "": None}, other]
    text = condense(*parsed)
    if text is not None:
        assert repr(thawed(as_read(text))) == repr(thawed([frozen_map(each) for each in parsed]))


def test_too_deep() -> None:
    """What is too deep for any parser is a `ValueError`, also where it was parsed."""
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}

    assert condense(deep) is None


twins = st.sampled_from([0, 0.0, -0.0, False, 1, 1.0, True, "1", None, "", (), {}, [1], [True], {"a": 1}, {"a": 1.0}])


@fuzz(200)
@given(st.one_of(json_values, twins), st.one_of(json_values, twins), st.one_of(json_values, twins))
def test_same_is_an_equivalence(one: Any, two: Any, three: Any) -> None:
    """`same` is an equivalence that means the same text."""
    one, two, three = freeze(one), freeze(two), freeze(three)

    assert same(one, one)
    assert same(one, two) == same(two, one)
    assert same(one, three) or not (same(one, two) and same(two, three))
    assert same(one, two) <= (dumps(one) == dumps(two))
