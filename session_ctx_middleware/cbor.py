"""Values as few bytes: the part of CBOR (RFC 8949) that notes need.

Written are whole numbers, texts, bytes, lists, maps and nothing at all. Read is what a later release may write besides,
so that it costs what it is about and not the note; what has no end of its own (section 3.2) is not.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["dumps", "loads"]

UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG, SIMPLE = range(8)
"""Major types (section 3.1)."""
NULL: Final = 0xF6
CONSTANTS: Final = {20: False, 21: True, 22: None, 23: None}
FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
SIZES: Final = ((24, 1), (25, 2), (26, 4), (27, 8))
DEEPEST: Final = 16


def dumps(value: object) -> bytes:
    """Return a value as bytes, always the same for the same.

    Args:
        value: whole numbers of up to 64 bits, texts, bytes, `None`, and lists and maps of those.

    Raises:
        ValueError: there is something else in it.
    """
    written = bytearray()
    _write(written, value)
    return bytes(written)


def loads(data: bytes) -> object:
    """Return the value that was written.

    Raises:
        ValueError: these are not the bytes of one value.
    """
    reader = _Reader(data)
    value = reader.value()
    if reader.left():
        raise ValueError("more than one value")
    return value


def _write(written: bytearray, value: object) -> None:
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        _head(written, TEXT, len(text))
        written += text
    elif isinstance(value, bytes):
        _head(written, BYTES, len(value))
        written += value
    elif isinstance(value, int):
        _head(written, *((UNSIGNED, value) if value >= 0 else (NEGATIVE, -1 - value)))
    elif isinstance(value, list | tuple):
        _head(written, LIST, len(value))
        for each in value:
            _write(written, each)
    elif isinstance(value, dict):
        _head(written, MAP, len(value))
        for pair in value.items():
            for each in pair:
                _write(written, each)
    elif value is None:
        written.append(NULL)
    else:
        raise ValueError(f"no form for {type(value).__name__}")


def _head(written: bytearray, major: int, number: int) -> None:
    """Write a type and a number, in as few bytes as there can be (section 4.2.1)."""
    if number < SIZES[0][0]:
        written.append(major << 5 | number)
        return
    for code, size in SIZES:
        if number < 1 << 8 * size:
            written.append(major << 5 | code)
            written += number.to_bytes(size)
            return
    raise ValueError("more than 64 bits")


class _Reader:
    """Reads one value after the other.

    Args:
        data: of any origin.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> int:
        """Return how many bytes have not been read."""
        return len(self._data) - self._at

    def value(self, depth: int = 0) -> object:
        """Return the next value."""
        if depth > DEEPEST:
            raise ValueError("too deep")
        first = self._take(1)[0]
        major, code = first >> 5, first & 31
        if major == SIMPLE:
            return self._simple(code)
        number = self._number(code)
        if major <= NEGATIVE:
            return number if major == UNSIGNED else -1 - number
        if major <= TEXT:
            data = self._take(number)
            return data if major == BYTES else data.decode("utf-8", "surrogatepass")
        if major == TAG:
            return self.value(depth + 1)
        if major == LIST:
            return [self.value(depth + 1) for _ in range(number)]
        return self._map(number, depth + 1)

    def _map(self, number: int, depth: int) -> dict[object, object]:
        found: dict[object, object] = {}
        for _ in range(number):
            key = self.value(depth)
            if not isinstance(key, str | int | bytes):
                raise ValueError("no key")
            found[key] = self.value(depth)
        return found

    def _simple(self, code: int) -> object:
        if code in FLOATS:
            form = FLOATS[code]
            number: float = struct.unpack(form, self._take(struct.calcsize(form)))[0]
            return number
        if code in CONSTANTS:
            return CONSTANTS[code]
        raise ValueError("a value of its own kind")

    def _number(self, code: int) -> int:
        if code < SIZES[0][0]:
            return code
        size = dict(SIZES).get(code)
        if size is None:
            raise ValueError("without an end")
        return int.from_bytes(self._take(size))

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError("cut short")
        self._at += size
        return taken
