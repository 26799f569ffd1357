"""JSON texts in which single values are odd: each of them costs itself, never the session whose context it is in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from .frozen_json import MAX_BITS, MAX_DEPTH, plain_text

__all__ = ["has_utf8_form", "is_odd", "loads_as_sent", "loads_tolerantly", "usable"]

DEEPEST: Final = 256
"""Levels up to which a value is read, so that it can be sent back; more than 64 are not shown."""
MOST_DIGITS: Final = 4_000
TOO_LARGE: Final = 1 << MAX_BITS


def loads_tolerantly(text: str) -> object:
    """Parse a JSON text, whatever single values in it are.

    Args:
        text: the text. ``NaN`` and ``Infinity``, which are no JSON, count as numbers that are out of range.

    Returns:
        What the text holds. Numbers that are out of range are infinite, or not a number.

    Raises:
        ValueError: not JSON (RFC 8259).
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        text = _shallow(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        pass  # a number of more digits than Python converts
    return _TOLERANT.decode(text)


def loads_as_sent(text: str) -> object:
    """Parse a JSON text so that it can be sent back: numbers that are out of range keep their value.

    What has no JSON form (``NaN``), or lies deeper than 256 levels, is `None`.
    """
    return _EXACT.decode(_shallow(text))


def is_odd(roots: Iterable[object], text: str) -> bool:
    """Tell whether some value cannot be shown: a number out of range, a lone surrogate, or more than 64 levels.

    Args:
        roots: the parsed containers to look through.
        text: of which they were parsed.
    """
    # Mostly pairs, which stand for one character beyond the first 65,536.
    has_pairs = "\\" in text and ("\\ud" in text or "\\uD" in text)  # one character is found ten times as fast as three
    escaped = has_pairs or not has_utf8_form(text)
    objects, lists = [root for root in roots if type(root) is dict], [root for root in roots if type(root) is list]
    for _ in range(MAX_DEPTH + 1):
        # A level at a time: calls per container would take longer than parsing them did.
        if escaped and not all(map(has_utf8_form, chain.from_iterable(objects))):
            return True
        found = chain(chain.from_iterable(map(dict.values, objects)), chain.from_iterable(lists))
        values = list(filter(None, found))  # what is empty, zero or false is not odd
        kinds = set(map(type, values))
        if _has_odd_scalars(values, kinds, escaped=escaped):
            return True
        objects = _of(dict, values, kinds) if dict in kinds else []
        lists = _of(list, values, kinds) if list in kinds else []
        if not (objects or lists):
            return False
    return True


def usable(value: object, depth: int = 0) -> Any:
    """Return a copy of a parsed value with `None` in place of whatever is odd in it, and without keys that are odd."""
    if not isinstance(value, dict | list):
        return None if _is_odd_scalar(value) else value
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [usable(item, depth + 1) for item in value]
    return {key: usable(item, depth + 1) for key, item in value.items() if has_utf8_form(key)}


def has_utf8_form(text: str) -> bool:
    """Tell whether a text has no lone surrogate in it."""
    try:
        plain_text(text)
    except ValueError:
        return False
    return True


def _has_odd_scalars(values: list[Any], kinds: set[type], *, escaped: bool) -> bool:
    if float in kinds:
        numbers = _of(float, values, kinds)
        # The sum is quick, and finite only where all are; it may also overflow.
        if not (math.isfinite(sum(numbers)) or all(map(math.isfinite, numbers))):
            return True
    if int in kinds:
        numbers = _of(int, values, kinds)
        if max(numbers) >= TOO_LARGE or min(numbers) <= -TOO_LARGE:
            return True
    return escaped and str in kinds and not all(map(has_utf8_form, _of(str, values, kinds)))


def _of(kind: type, values: list[Any], kinds: set[type]) -> list[Any]:
    return values if len(kinds) == 1 else [each for each in values if type(each) is kind]


def _is_odd_scalar(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, int):
        return not -TOO_LARGE < value < TOO_LARGE
    return isinstance(value, str) and not has_utf8_form(value)


def _shallow(text: str) -> str:
    """Return a text with ``null`` in place of whatever lies deeper than a parser has to go."""
    parts, depth, kept_to = [], 0, 0
    for token in _TOKENS.finditer(text):
        if token[0] in {"[", "{"}:
            depth += 1
            if depth == DEEPEST + 1:
                parts.append(text[kept_to : token.start()])
        elif token[0] in {"]", "}"}:
            depth -= 1
            if depth == DEEPEST:
                parts.append("null")
                kept_to = token.end()
    # One that never ends is cut off, and then no JSON either.
    return "".join(parts) if depth > DEEPEST else "".join([*parts, text[kept_to:]])


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= MOST_DIGITS else None


def _tolerated(digits: str) -> float:
    number = _whole(digits)
    return math.inf if number is None else number


def _exactly(number: str) -> float | None:
    """Return a number, as a whole one where it is beyond what a `float` can hold."""
    value = float(number)
    if math.isfinite(value):
        return value
    exact = Decimal(number)
    return int(exact) if exact.adjusted() < MOST_DIGITS else None


def _nothing(_constant: str) -> None:
    return None


_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_DECODER: Final = json.JSONDecoder()
_TOLERANT: Final = json.JSONDecoder(parse_int=_tolerated)
_EXACT: Final = json.JSONDecoder(parse_float=_exactly, parse_int=_whole, parse_constant=_nothing)
