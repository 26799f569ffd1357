"""JSON values (RFC 8259) that nobody can change: how documents and attributes are held."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeAlias, TypeVar

from .personal import Personal

__all__ = [
    "EMPTY",
    "FrozenDict",
    "Json",
    "code_of",
    "condense",
    "dumps",
    "freeze",
    "frozen_map",
    "loads",
    "plain",
    "plain_text",
    "same",
    "text_of",
    "tolerant_version_of",
    "version_of",
]

V = TypeVar("V")
Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | tuple[Json, ...] | None"


class FrozenDict(Personal, dict[str, V]):
    """A JSON object that nobody can change: a real `dict`, as `json` and others ask for one."""

    __slots__ = ()

    def _outline(self) -> str:
        return f"with {len(self)} keys"

    def _refuse(self, *_args: object, **_keywords: object) -> NoReturn:
        raise TypeError("This is read-only: change a copy, dict(...), or what to_dict() returns.")

    if not TYPE_CHECKING:
        __delitem__ = __ior__ = __setitem__ = clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[FrozenDict[V]], tuple[dict[str, V]]]:
        return FrozenDict, (dict(self),)


EMPTY: Final[FrozenDict[Json]] = FrozenDict()

MAX_DEPTH: Final = 64
MAX_VERSION: Final = 2**53 - 1
MAX_BITS: Final = 1024
LONGEST_SHARED: Final = 64
SHARED: Final = 4096


def freeze(value: object, depth: int = 0) -> Json:
    """Return a deep, read-only copy of a JSON value.

    Args:
        value: what a JSON text can hold; mappings need string keys.
        depth: how deep `value` lies in the whole.

    Returns:
        Mappings as read-only mappings, lists as tuples, everything else as it is.

    Raises:
        ValueError: the value, or something inside it, has no JSON form, or lies deeper than 64 levels.
    """
    if value is None or isinstance(value, bool) or (type(value) is str and value.isascii()):
        return value
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, int):
        number = int.__int__(value)
        if number.bit_length() > MAX_BITS:
            raise ValueError("numbers must not be that large")
        return number
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("numbers must be finite")
        return float.__float__(value)
    if isinstance(value, Mapping):
        return FrozenDict({_key(key): freeze(item, depth + 1) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item, depth + 1) for item in value)
    raise ValueError(f"{type(value).__name__} has no JSON form")


def frozen_map(value: Mapping[str, object]) -> Mapping[str, Json]:
    """Return a deep, read-only copy of an object; see `freeze`."""
    frozen = freeze(value) if value else EMPTY
    return frozen if isinstance(frozen, Mapping) else EMPTY


def plain(value: object) -> object:
    """Return a JSON value with mappings as new `dict` and tuples as new `list` objects, which may be changed."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def plain_text(value: str) -> str:
    """Return a text as a plain `str`, whatever subclass of it it is.

    Raises:
        ValueError: the text has no UTF-8 form.
    """
    text = str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("texts must have a UTF-8 form") from None
    return text


def loads(raw: bytes | str) -> object:
    """Parse a JSON text strictly.

    Args:
        raw: the text.

    Returns:
        What the text holds.

    Raises:
        ValueError: not JSON (RFC 8259 knows no NaN and no infinity), or nested too deeply to be parsed.
    """
    try:
        return _DECODER.decode(raw if isinstance(raw, str) else raw.decode(json.detect_encoding(raw)))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def condense(*parsed: Mapping[str, object]) -> bytes | None:
    """Return the compact text of parsed objects; `None` where `freeze` may not take what is in them."""
    try:
        text = _ENCODER.encode(parsed).encode()
    except (RecursionError, ValueError):
        return None
    # Numbers are finite and texts have a UTF-8 form, or there were no text: what is left is depth, and large numbers.
    return None if text.count(b"{") + text.count(b"[") > MAX_DEPTH or _LARGE.search(text) else text


def dumps(value: object, *, escaped: bool = True) -> str:
    """Return the one compact JSON text of a value: frozen or plain, keys in order.

    Args:
        value: the value.
        escaped: whether other letters than those of ASCII are written as escapes, which take more room.
    """
    return json.dumps(
        value, default=_thaw, separators=(",", ":"), sort_keys=True, allow_nan=False, ensure_ascii=escaped
    )


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values are equal, with ``1``, ``1.0`` and ``true`` kept apart."""
    if one is other or isinstance(one, str) or isinstance(other, str):
        return one == other
    return one == other and dumps(one) == dumps(other)


def version_of(value: object) -> int:
    """Return a version, or raise `ValueError`: a whole number from 0 to 2**53 - 1.

    That is how far all implementations of JSON agree on whole numbers (RFC 8259, section 6).
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_VERSION:
        return value
    raise ValueError("no usable metadata.version")


def tolerant_version_of(value: Any) -> int:
    """Return a version that may have been written as a text or a floating-point number, or raise `ValueError`."""
    if type(value) is int:
        return version_of(value)
    written = (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and _DIGITS.fullmatch(value))
    return version_of(int(value) if written else value)


def text_of(value: object) -> str | None:
    """Return a text as a plain `str`; `None` for an empty one, for one without a UTF-8 form, and for anything else."""
    if type(value) is str and value.isascii():
        return value or None
    if not isinstance(value, str):
        return None
    try:
        return plain_text(value)
    except ValueError:
        return None


def code_of(value: object) -> str | None:
    """Return the text of a field whose values are few: a site, a currency, a language, a country."""
    text = value if type(value) is str and value.isascii() else text_of(value)
    # Few distinct codes stand in very many cached documents.
    return sys.intern(text) if text else None


def _key(key: object) -> str:
    if isinstance(key, str):
        text = plain_text(key)
        if len(text) > LONGEST_SHARED or len(_KEYS) >= SHARED:
            return _KEYS.get(text, text)
        return _KEYS.setdefault(text, text)
    raise ValueError("keys must be strings")


def _thaw(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_LARGE: Final = re.compile(rb"[0-9]{309}")  # a number of more than 1024 bits has no fewer digits
_ENCODER: Final = json.JSONEncoder(
    default=_thaw, ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)
# Every session has the same few attributes. Some versions of Python 3.12 never let go of what `sys.intern` is given.
_KEYS: Final[dict[str, str]] = {}
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
