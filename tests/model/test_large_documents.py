"""What a document of 245 KiB may cost, in processor time and next to parsing its text."""

from __future__ import annotations

import gc
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from session_ctx_middleware import ContextDocument

SIZE = 245 * 1024
AT_MOST = 3.0
TRIES = 40

VALUES: dict[str, Callable[[int], Any]] = {
    "small objects": lambda number: {"id": number, "q": 1, "p": {"a": 1.5, "c": "EUR"}, "t": ["x", number]},
    "objects of one key": lambda _: {"a": 1},
    "empty objects": lambda _: {},
    "short lists": lambda _: [1],
    "texts": lambda number: f"text {number}",
    "other letters": lambda number: f"größer als {number} €",
    "integers": lambda number: number,
    "numbers": lambda _: 1.5,
}


def document_of(value: Callable[[int], Any], *, attributes: bool) -> bytes:
    """Return a document that is filled with values: as attributes, or in one list."""
    one = json.dumps(value(1000), ensure_ascii=False)
    count = SIZE // (len(one.encode()) + (len('"key1000": , ') if attributes else 2))
    values: Any = [value(number) for number in range(count)]
    context = {f"key{number}": each for number, each in enumerate(values)} if attributes else {"list": values}
    body = {"sessionId": "s", "currency": "EUR", "context": context, "metadata": {"version": 5}}
    return json.dumps(body, ensure_ascii=False).encode()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The garbage of other tests is not looked through meanwhile, and no line is traced for coverage."""
    gc.collect()
    gc.disable()
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)
    gc.enable()


def ratio(work: Callable[[], object], yardstick: Callable[[], object], enough: float) -> float:
    """Return how many times as long `work` takes, at best: neighbours on the machine only ever make it look slower."""
    least, measure = math.inf, math.inf
    for _ in range(TRIES):
        least, measure = min(least, seconds(work)), min(measure, seconds(yardstick))
        if least <= enough * measure:
            break
    return least / measure


def seconds(work: Callable[[], object]) -> float:
    """Return how much processor time something takes."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "one list"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_parsing(value: Callable[[int], Any], attributes: bool) -> None:
    """Parsing a document takes at most three times what `json.loads` does with its text."""
    raw = document_of(value, attributes=attributes)

    assert ratio(lambda: ContextDocument.parse(raw), lambda: json.loads(raw), AT_MOST) <= AT_MOST


@pytest.mark.usefixtures("no_collections")
def test_reading_one_attribute() -> None:
    """Reading one attribute of many parses the text once more, and freezes that one."""
    raw = document_of(VALUES["small objects"], attributes=True)

    def read() -> None:
        assert ContextDocument.parse(raw).attributes["key7"]["p"]["c"] == "EUR"  # type: ignore[index, call-overload]

    assert ratio(read, lambda: json.loads(raw), AT_MOST + 1) <= AT_MOST + 1


@pytest.mark.usefixtures("no_collections")
def test_reading_again() -> None:
    """What has been read once is there."""
    raw = document_of(VALUES["small objects"], attributes=True)
    document = ContextDocument.parse(raw)
    first = document.attributes["key7"]

    assert document.attributes["key7"] is first
    assert ratio(lambda: document.attributes["key7"], lambda: json.loads(raw), 0.01) <= 0.01


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("read", [True, False])
def test_size(read: bool) -> None:
    """How large a large document is does not have to be found out, whether somebody has read it or not."""
    raw = document_of(VALUES["small objects"], attributes=True)
    document = ContextDocument.parse(raw)
    if read:
        assert document.attributes

    assert document.size == len(raw)
    assert ratio(lambda: document.size, lambda: json.loads(raw), 0.01) <= 0.01
