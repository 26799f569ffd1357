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
OTHERS: Final = ("aiohttp", "aiohappyeyeballs", "multidict", "yarl", "jwt", "cryptography", "redis")
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
    _clear(error, set())
    return error


def _clear(error: BaseException, seen: set[int]) -> None:
    if id(error) in seen:
        return
    seen.add(id(error))
    rest: TracebackType | None = None
    for part in reversed([part for part, ours in _walk(error) if not (ours and _runs(part.tb_frame))]):
        rest = TracebackType(rest, part.tb_frame, part.tb_lasti, part.tb_lineno)
    error.with_traceback(rest)
    for name in ("__cause__", "__context__"):
        led, link = getattr(error, name), _link(getattr(error, name), seen)
        if link is not led:  # setting a cause hides the context
            BaseException.__setattr__(error, name, link)  # an application's exception may be a frozen dataclass
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        _clear(each, seen)


def _link(error: BaseException | None, seen: set[int]) -> BaseException | None:
    """Return an error that led to another one, or what had led to it where it is nothing but ours."""
    if error is None:
        return None
    internal = error.__traceback__ is not None and all(ours for _, ours in _walk(error))
    _clear(error, seen)
    return error.__cause__ or error.__context__ if internal else error


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
