"""Keeps what this package worked with out of the tracebacks that leave it.

Whoever reports an error (Sentry, Rollbar, a formatter of the application's) may send the local variables of each frame
along. Those of this package, and of the HTTP library that it calls, hold tokens, bodies and values of documents: also
those of a call that the application has cancelled, and of errors that led to this one.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast

__all__ = ["WithoutLocals", "clear_frames", "without_locals"]

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

PACKAGE: Final = __name__.partition(".")[0]
# What this package calls, and what stands between; everything else that is called from here is the application's.
HTTP: Final = ("httpx", "httpx2", "httpcore", "httpcore2", "h11", "h2", "hpack", "anyio", "sniffio", "idna")
OTHERS: Final = ("aiohttp", "aiohappyeyeballs", "aiosignal", "multidict", "yarl", "jwt", "cryptography", "redis")
CALLED: Final = frozenset({*HTTP, *OTHERS, *sys.stdlib_module_names})


def without_locals(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, or coroutine function, whose errors leave it as `clear_frames` makes them."""

    @wraps(function)
    def called(*args: P.args, **keywords: P.kwargs) -> T:
        try:
            return function(*args, **keywords)
        except BaseException as error:
            clear_frames(error)
            raise

    @wraps(function)
    async def awaited(*args: P.args, **keywords: P.kwargs) -> Any:
        try:
            return await cast("Any", function)(*args, **keywords)
        except BaseException as error:
            clear_frames(error)
            raise

    return cast("Callable[P, T]", awaited) if inspect.iscoroutinefunction(function) else called


class WithoutLocals:
    """Has the errors of all public methods, of whatever subclass, leave `without_locals`."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, value in list(vars(cls).items()):
            if inspect.isfunction(value) and not name.startswith("_"):
                setattr(cls, name, without_locals(value))


def clear_frames(error: E) -> E:
    """Take the local variables from the frames of this package, and of what it called, in the traceback of an error.

    Args:
        error: on its way to the application, or through this package from one part of the application to another.

    Returns:
        The same error. Frames that still run, as that of the caller, are left out of its traceback. Errors that led to
        it are treated alike; one that was raised and handled inside is left out, as it may quote what it was about.
    """
    errors: dict[int, BaseException] = {}
    internal: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in errors:
            continue
        errors[id(each)] = each
        if _trim(each):
            internal.add(id(each))
        waiting += [led for led in _leading_to(each) if led is not None]
    for each in errors.values():
        for name in ("__cause__", "__context__"):
            led = getattr(each, name)
            link = _link(led, internal)
            if link is not led:  # setting a cause hides the context
                BaseException.__setattr__(each, name, link)  # an application's exception may be a frozen dataclass
    return error


def _trim(error: BaseException) -> bool:
    """Clear the frames of an error that are ours; tell whether it was raised and handled inside."""
    parts = list(_walk(error))
    rest: TracebackType | None = None
    for part in reversed([part for part, ours in parts if not (ours and _runs(part.tb_frame))]):
        rest = TracebackType(rest, part.tb_frame, part.tb_lasti, part.tb_lineno)
    error.with_traceback(rest)
    return bool(parts) and all(ours for _, ours in parts)


def _leading_to(error: BaseException) -> tuple[BaseException | None, ...]:
    return error.__cause__, error.__context__, *(error.exceptions if isinstance(error, BaseExceptionGroup) else ())


def _link(error: BaseException | None, internal: set[int]) -> BaseException | None:
    """Return an error that led to another one, or what had led to it where it is nothing but ours."""
    passed: set[int] = set()
    while error is not None and id(error) in internal:
        if id(error) in passed:
            return None
        passed.add(id(error))
        error = error.__context__ if error.__cause__ is None else error.__cause__
    return error


def _walk(error: BaseException) -> Iterator[tuple[TracebackType, bool]]:
    """Yield each part of a traceback, and whether its frame is ours, or that of a library that ours had called."""
    traceback, ours = error.__traceback__, False
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        ours = package == PACKAGE or (ours and package in CALLED)
        yield traceback, ours
        traceback = traceback.tb_next


def _runs(frame: FrameType) -> bool:
    """Clear the local variables of a frame; tell whether it cannot be cleared, because it is not at its end."""
    try:
        frame.clear()
    except RuntimeError:
        return True
    return False
