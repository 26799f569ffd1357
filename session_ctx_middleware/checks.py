"""Checks of configuration: each returns a usable value, or raises a `ConfigurationError` that says what to give.

No text quotes what was given: it may be a secret.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeGuard, TypeVar

from .errors import ConfigurationError

__all__ = [
    "VISIBLE",
    "cookie_name",
    "flag",
    "flag_or_function",
    "function",
    "functions",
    "header_names",
    "instance",
    "is_visible",
    "matching",
    "number",
    "of_kind",
    "printable",
    "secret_keys",
    "whole",
    "with_methods",
]

T = TypeVar("T")

VISIBLE: Final = r"[\x21-\x7e]"
"""What a token in a header, or an address, is made of: visible ASCII, without blanks (``VCHAR`` of RFC 5234, B.1)."""

MIN_SECRET_BYTES: Final = 32
LONGEST_BARE: Final = 64
"""Characters that a name may begin with: most of a cookie is for what it says."""

_VISIBLE: Final = re.compile(f"{VISIBLE}+")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_COOKIE_NAMES: Final = frozenset(' \t";,=')


def is_visible(text: object) -> TypeGuard[str]:
    """Tell whether this is a string of one or more visible ASCII characters."""
    return isinstance(text, str) and _VISIBLE.fullmatch(text) is not None


def number(
    value: object,
    where: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
) -> float:
    """Return a finite number.

    Args:
        value: what was configured; `True` and `False` are no numbers.
        where: how the text names the option, such as ``CachePolicy(ttl=...)``.
        above: what it has to be greater than.
        at_least: the lowest value allowed.
        at_most: the highest value allowed.
        unit: of the number, for the text.

    Raises:
        ConfigurationError: not such a number.
    """
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and _is_finite(value)
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
    ):
        return float(value)
    limits = [("above", above), ("of at least", at_least), ("at most", at_most)]
    allowed = " and ".join(f"{text} {limit:g}" for text, limit in limits if limit is not None)
    kind = f"a number of {unit}" if unit else "a number"
    raise ConfigurationError(f"{where} must be {kind} {allowed}".rstrip() + ".")


def whole(value: object, where: str, *, at_least: int = 1, at_most: int | None = None) -> int:
    """Return a whole number; arguments and errors as for `number`."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value >= at_least
        and (at_most is None or value <= at_most)
    ):
        return value
    limit = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    raise ConfigurationError(f"{where} must be a whole number {limit}.")


def printable(value: object, where: str) -> str:
    """Return a string of printable ASCII that is more than blanks; arguments and errors as for `number`."""
    if isinstance(value, str) and value.strip() and value.isascii() and value.isprintable():
        return value
    raise ConfigurationError(f"{where} must be a string of printable ASCII characters.")


def matching(value: object, pattern: re.Pattern[str], message: str) -> str:
    """Return a string that a pattern matches as a whole.

    Args:
        value: what was configured.
        pattern: what it has to look like.
        message: the whole text of the error.

    Raises:
        ConfigurationError: not such a string.
    """
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise ConfigurationError(message)


def cookie_name(value: object, where: str, *, bare: bool = False) -> str:
    """Return the name of a cookie (RFC 6265, section 4.1.1).

    Args:
        value: what was configured.
        where: how the text names the option.
        bare: whether it is only the beginning, so that it has to be short, and without a prefix such as ``__Host-``
            (RFC 6265bis, section 4.1.3), which is added.

    Raises:
        ConfigurationError: not such a name.
    """
    usable = isinstance(value, str) and value != "" and value.isascii() and not _NOT_IN_COOKIE_NAMES & set(value)
    if isinstance(value, str) and usable and not (bare and (value.startswith("__") or len(value) > LONGEST_BARE)):
        return value
    hint = f", without a prefix and of at most {LONGEST_BARE} characters" if bare else ", such as 'shop_token'"
    raise ConfigurationError(f"{where} must be the name of a cookie{hint}.")


def secret_keys(value: object, where: str = "secret_key=...") -> list[bytes]:
    """Return secret keys as bytes.

    Args:
        value: one key or several, each as text or bytes; `None` for none.
        where: how the text names the option.

    Raises:
        ConfigurationError: a key is shorter than 32 bytes, or no key at all.
    """
    if value is None:
        return []
    unordered = isinstance(value, Mapping | AbstractSet)  # they are the newest first
    several = [value] if isinstance(value, str | bytes) else value if isinstance(value, Iterable) else []
    keys = [] if unordered else [_utf8(key) if isinstance(key, str) else key for key in several]
    secrets = [key for key in keys if isinstance(key, bytes) and len(key) >= MIN_SECRET_BYTES]
    if secrets and len(secrets) == len(keys):
        return secrets
    raise ConfigurationError(
        f"{where} must have {MIN_SECRET_BYTES} bytes or more, such as secrets.token_urlsafe(32) makes; "
        "keep it secret, and the same on every worker."
    )


def flag(value: object, where: str) -> bool:
    """Return `True` or `False`; arguments and errors as for `number`."""
    if isinstance(value, bool):
        return value
    raise ConfigurationError(f"{where} must be True or False.")


def flag_or_function(value: object, where: str) -> None:
    """Raise a `ConfigurationError` unless this is `True`, `False`, or can be called and is no class."""
    if not (isinstance(value, bool) or (callable(value) and not isinstance(value, type))):
        raise ConfigurationError(f"{where} must be True, False, or a function of the connection.")
    _check_synchronous(value, where)


def instance(value: object, kind: type[T], where: str) -> T:
    """Return an object of a class.

    Args:
        value: what was configured.
        kind: its class.
        where: how the text names the option.

    Raises:
        ConfigurationError: an object of another class, or the class itself.
    """
    if isinstance(value, kind):
        return value
    raise ConfigurationError(f"{where} must be a {kind.__name__}, such as {kind.__name__}(...), not {_kind(value)}.")


def of_kind(value: T | None, kind: type[T], where: str) -> T:
    """Return what was configured, or what there is where nothing was."""
    return kind() if value is None else instance(value, kind, where)


def with_methods(value: object, names: Iterable[str], message: str) -> None:
    """Raise a `ConfigurationError` unless an object has these methods.

    Args:
        value: what was configured; a class will not do, though it has them.
        names: of the methods.
        message: the whole text of the error.
    """
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in names):
        raise ConfigurationError(message)


def function(value: object, where: str) -> None:
    """Raise a `ConfigurationError` unless this can be called, need not be awaited, and is no class."""
    if not callable(value) or isinstance(value, type):
        raise ConfigurationError(f"{where} must be a function.")
    _check_synchronous(value, where)


def header_names(value: object, where: str) -> list[str]:
    """Return names of header fields (RFC 9110, section 5.1); arguments and errors as for `number`."""
    names = list(value) if isinstance(value, list | tuple) else [None]
    if all(isinstance(name, str) and _HEADER_NAME.fullmatch(name) for name in names):
        return [str(name) for name in names]
    raise ConfigurationError(f"{where} must be a tuple of names of request headers, such as ('X-Shopper',).")


def functions(value: object, message: str) -> tuple[Any, ...]:
    """Return one function, or several, as a tuple, which may be empty.

    Args:
        value: what was configured.
        message: the whole text of the error.

    Raises:
        ConfigurationError: something in it cannot be called, or is a class.
    """
    several = (value,) if callable(value) else tuple(value) if isinstance(value, Iterable) else (None,)
    # A class can be called, too, and would then be built anew for each use.
    if all(callable(each) and not isinstance(each, type) for each in several):
        return several
    raise ConfigurationError(message)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of {type(value).__name__}"


def _check_synchronous(value: object, where: str) -> None:
    # What a coroutine function returns is true, whatever it would say once it was awaited.
    if any(map(inspect.iscoroutinefunction, (value, getattr(value, "__call__", None)))):  # noqa: B004 - the method
        raise ConfigurationError(f"{where} must be a plain function: nobody awaits an async one there.")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no floating-point number comes near
        return False


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
