"""What an application records, often straight from a form: refused, or sent exactly as it was given."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
from hypothesis import example, given
from hypothesis import strategies as st

from session_ctx_middleware import InvalidChange, SessionContext
from session_ctx_middleware.model.fields import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES

from .support import Reply, Site, Upstream, fuzz, page, play

TOKEN = "token"
WIRE = {"site_code": "siteCode", "currency": "currency", "language": "language", "target_location": "targetLocation"}
HELD = {"kept": {"deep": [1, "x"]}}
BASE = json.dumps(
    {"sessionId": "s", "currency": "AAA", "language": "zz", "context": HELD, "metadata": {"version": 7}}
).encode()

Change = Callable[[SessionContext], None]


class Trap(Exception):
    """What a hostile object raises when it is looked at; the application's own business."""


class Spring(Mapping[str, object]):
    """A mapping that raises when it is looked into."""

    def __getitem__(self, key: str) -> object:
        raise Trap

    def __iter__(self) -> Iterator[str]:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


class TwoFaced(dict[Any, Any]):
    """A dictionary that shows other items than keys."""

    def items(self) -> Any:
        return [(1, "x"), ("a", "y")]


class Endless(dict[str, Any]):
    """A dictionary that says that it is empty."""

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False


class Yes(str):
    """A string that is equal to everything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)


class Liar(str):
    """A string that has another text when it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return "LIE"

    def __repr__(self) -> str:
        return "LIE"

    def __format__(self, _: str) -> str:
        return "LIE"

    def __len__(self) -> int:
        return 3

    def isprintable(self) -> bool:
        """Hide that this is a control character."""
        return True

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"LIE"


class Currency(str, enum.Enum):  # noqa: UP042 - the older way to write it is in many shops
    """What shops use for the few values that they allow."""

    EUR = "EUR"
    USD = "USD"


class Plain(enum.StrEnum):
    """The newer way."""

    CHF = "CHF"
    DE = "DE"


class Size(enum.IntEnum):
    """A number with a name."""

    BIG = 3


class Large(int):
    """A number that says that it is small."""

    __slots__ = ()

    def bit_length(self) -> int:
        return 1


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def nested(depth: int) -> dict[str, Any]:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": [value]}
    return {"a": value}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**1023, 2**1024, -(2**5000), Size.BIG, Large(2**5000), math.nan, math.inf, -0.0, 5e-324, 1e308]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["\ud800", "\x00", "\u2028", "x" * 9000, "é" * 3000]),
    st.sampled_from([b"x", 1j, {1}, object(), int, len, ..., bytearray(b"x"), range(3)]),
)
keys = st.one_of(st.text(max_size=4), st.sampled_from([1, None, "", "\ud800", ("a",), b"k", True]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=10,
)
traps = st.one_of(
    st.builds(Spring),
    st.builds(Endless, st.dictionaries(st.sampled_from("abc"), st.text(max_size=2), max_size=2)),
    st.builds(cyclic),
    st.integers(1, 40).map(nested),
    st.sampled_from([63, 64, 65, 66, 500, 2000]).map(nested),
)
attributes = st.one_of(st.dictionaries(keys, values, max_size=3), st.text(max_size=10), values, traps)
attribute_keys = st.one_of(
    st.sampled_from(
        ["a", "k" * 64, "k" * 65, "kept", "", "é", "𝄞" * 64, "\ud800", "a.b", "\n", "\u2028", " ", 7, None, b"a"]
    ),
    st.text(max_size=70),
)
switch_values = st.one_of(
    st.sampled_from(
        [
            "EUR",
            "USD",
            "DE",
            "en",
            "de-CH",
            "main",
            "x" * 64,
            "EUR\n",
            "\ud800",
            "\u200b",
            "\uff25\uff35\uff32",
            "\u0663",
            "EU\u0130",
        ]
    ),
    st.sampled_from([Plain.CHF, Plain.DE, 3, True, b"EUR"]),
    st.text(max_size=6),
    st.text(st.sampled_from("abzAZ09-_ #\u00e9"), max_size=40),
    scalars,
)


def plain(value: Any) -> Any:
    """Return what a value holds, as JSON has it, whatever its methods say."""
    if isinstance(value, str):
        return "".join(map(chr, map(ord, str.__iter__(value))))
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in dict.items(value)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Recording:
    """One request that makes a change, and what left for Emporix because of it."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.refused = False
        self.trapped = False
        self.shown = ""
        self.bodies: list[Any] = []
        self.upstream = Upstream(httpx, Reply(200, BASE))
        self.site = Site(self.upstream.client)
        play(self._play)

    async def _play(self) -> None:
        assert (await self.site.visit(self._endpoint, token=TOKEN)).status == 200
        patches = [call.body for call in self.upstream.calls if call.method == "PATCH"]
        self.bodies = [json.loads(body, parse_constant=_fail, object_pairs_hook=_no_twice) for body in patches]
        assert (await self.site.visit(page, token=TOKEN)).status == 200

    async def _endpoint(self, ctx: SessionContext) -> None:
        await ctx
        ctx.switch_location("XX")  # an earlier change, which a bad one must not disturb
        before = dict(ctx.pending)
        try:
            self._change(ctx)
        except InvalidChange:
            self.refused = True
        except Trap:
            self.trapped = True
        if self.refused or self.trapped:
            assert dict(ctx.pending) == before
        values = (ctx.site_code, ctx.currency, ctx.language, ctx.target_location)
        self.shown = "|".join(f"{value}" for value in values)
        self.shown.encode()

    @property
    def sent(self) -> dict[str, Any]:
        """The one PATCH, without the version and the earlier change."""
        (body,) = self.bodies
        assert body.pop("metadata") == {"version": 7}
        if body.get("targetLocation") == "XX":
            del body["targetLocation"]
        return dict(body)

    @property
    def rejected(self) -> bool:
        """Whether nothing of the change was recorded."""
        if self.refused or self.trapped:
            assert self.sent == {}
            return True
        return False


def _fail(name: str) -> Any:
    raise AssertionError(name)


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def weight(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def check_switch(values: dict[str, Any]) -> None:
    recording = Recording(lambda ctx: ctx.switch(**values))

    if recording.rejected:
        return
    wanted = {field: plain(value) for field, value in values.items() if value is not None}
    assert all(isinstance(value, str) for value in wanted.values())
    assert recording.sent == {WIRE[field]: value for field, value in wanted.items() if value != "XX"}
    shown = {"site_code": None, "currency": "AAA", "language": "zz", "target_location": "XX"} | wanted
    assert recording.shown == "|".join(str(shown[field]) for field in WIRE)


@fuzz(200)
@given(values=st.dictionaries(st.sampled_from(list(WIRE)), switch_values, min_size=1))
def test_switch(values: dict[str, Any]) -> None:
    """A switch is refused, or sent and shown as it was given."""
    check_switch(values)


@fuzz(30)
@example(value=Currency.USD)
@example(value=Yes("EUR"))
@given(value=st.sampled_from([Currency.EUR, Liar("EUR"), Liar("E R"), Liar("DE"), Yes("EUR"), Yes("AAA"), Plain.CHF]))
def test_kind_of_string(value: str) -> None:
    """What is shown of a kind of string is its text."""
    check_switch({"currency": value})


def check_attribute(key: Any, value: Any) -> None:
    recording = Recording(lambda ctx: ctx.set_attribute(key, value))

    if recording.rejected:
        return
    wanted = plain(value)
    assert 0 < len(plain(key)) <= 64
    assert isinstance(wanted, str | dict)
    assert weight(wanted) <= MAX_ATTRIBUTE_BYTES
    # Compared as text, where one, true and one point zero are different.
    assert text_of(recording.sent) == text_of({"context": {**HELD, plain(key): wanted}})


def text_of(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@fuzz(200)
@given(key=attribute_keys, value=attributes)
def test_attribute(key: Any, value: Any) -> None:
    """An attribute is refused, or sent as it was given."""
    check_attribute(key, value)


hostile_texts = st.builds(lambda kind, text: kind(text), st.sampled_from([Yes, Liar, str]), st.text(max_size=3))


@fuzz(60)
@example(key="a", value={Yes("y"): "1", "y": "2"})
@example(key="a", value=TwoFaced({"a": "y"}))
@example(key=Liar("\n"), value="x")
@given(key=hostile_texts, value=st.one_of(hostile_texts, st.dictionaries(hostile_texts, hostile_texts, max_size=2)))
def test_lying_attribute(key: Any, value: Any) -> None:
    """An attribute made of objects that lie is refused, or sent as it was given."""
    recording = Recording(lambda ctx: ctx.set_attribute(key, value))

    if not recording.rejected and not isinstance(value, TwoFaced):
        assert plain(key).isprintable()
        assert text_of(recording.sent) == text_of({"context": {**HELD, plain(key): plain(value)}})


@fuzz(100)
@given(key=attribute_keys)
def test_removal(key: Any) -> None:
    """The removal of an attribute is refused or sent."""
    recording = Recording(lambda ctx: ctx.remove_attribute(key))

    if not recording.rejected:
        assert recording.sent == {"context": {name: value for name, value in HELD.items() if name != plain(key)}}


small = st.one_of(st.text(max_size=200), st.dictionaries(st.text(max_size=9), st.text(max_size=300), max_size=4))
steps = st.one_of(
    st.tuples(st.text(st.sampled_from("abcdé"), min_size=1, max_size=3), small),
    st.tuples(st.sampled_from("abc"), st.none()),
    st.tuples(st.sampled_from("abc"), st.integers(1000, 8200).map(lambda size: "x" * size)),
    st.tuples(st.sampled_from("abc"), st.integers(300, 1500).map(lambda size: "\u20ac" * size)),
)


@fuzz(100)
@given(st.lists(steps, max_size=20), st.integers(0, 70))
def test_attributes_together(changes: list[tuple[str, Any]], many: int) -> None:
    """All attributes together stay within the limits."""
    wanted: dict[str, Any] = {}
    removed: set[str] = set()

    def change(ctx: SessionContext) -> None:
        for key, value in [(f"n{number}", "x") for number in range(many)] + changes:
            try:
                if value is None:
                    ctx.remove_attribute(key)
                    wanted.pop(key, None)
                    removed.add(key)
                else:
                    ctx.set_attribute(key, value)
                    wanted[key] = value
            except InvalidChange:
                after = {**wanted, key: value}
                size = sum(len(name.encode()) + weight(item) for name, item in after.items())
                assert len(after) > MAX_ATTRIBUTES or size > MAX_ATTRIBUTE_BYTES

    recording = Recording(change)

    assert len(wanted) <= MAX_ATTRIBUTES
    assert sum(len(name.encode()) + weight(item) for name, item in wanted.items()) <= MAX_ATTRIBUTE_BYTES
    assert recording.sent == ({"context": {**HELD, **wanted}} if wanted or removed else {})
