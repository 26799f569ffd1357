"""CBOR: what RFC 8949 says, as far as notes need it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware.cbor import dumps, loads

VALUES = st.recursive(
    st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=40,
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1a000f4240", 1_000_000),
        ("1b000000e8d4a51000", 1_000_000_000_000),
        ("1bffffffffffffffff", 2**64 - 1),
        ("20", -1),
        ("3903e7", -1000),
        ("3bffffffffffffffff", -(2**64)),
        ("f6", None),
        ("4401020304", b"\1\2\3\4"),
        ("62c3bc", "ü"),
        ("64f0908591", "\U00010151"),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ],
)
def test_examples(written: str, value: object) -> None:
    """The examples of RFC 8949, appendix A, are written and read as it says."""
    assert dumps(value).hex() == written
    assert loads(bytes.fromhex(written)) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [("f93c00", 1.0), ("fa47c35000", 100000.0), ("fb3ff199999999999a", 1.1), ("f4", False), ("f5", True), ("f7", None)],
)
def test_only_read(written: str, value: object) -> None:
    """What a later release may write is read."""
    assert loads(bytes.fromhex(written)) == value
    assert loads(bytes.fromhex("c1" + written)) == value, "with a tag, too"


@pytest.mark.parametrize(
    "written",
    ["", "18", "62c3", "82", "a1", "a101", "9f01ff", "5f4100ff", "1c", "ff", "0000", "9bffffffffffffffff", "81" * 99],
)
def test_not_read(written: str) -> None:
    """What is cut short, without an end, too deep, or nothing that is known, is refused."""
    with pytest.raises(ValueError, match=r".+"):
        loads(bytes.fromhex(written))


@pytest.mark.parametrize("value", [1.5, {1, 2}, 2**64, -(2**64) - 1, [object()]])
def test_not_written(value: object) -> None:
    """What notes do not hold is refused."""
    with pytest.raises(ValueError, match=r".+"):
        dumps(value)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    """What was written is what is read."""
    assert loads(dumps(value)) == value


@given(st.binary(max_size=60))
def test_garbage(data: bytes) -> None:
    """Garbage is read, or refused with a ValueError."""
    try:
        loads(data)
    except ValueError:
        return
