"""Telling whether this process is one of several that serve the same shop."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

__all__ = ["several_workers"]

SERVERS: Final = frozenset({"uvicorn", "hypercorn", "gunicorn", "granian", "fastapi"})
VARIABLES: Final = ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS")
OPTIONS: Final = ("--workers", "-w")
RELOAD: Final = "--reload"
# How multiprocessing calls what it starts: the second one knows that it is not alone.
_WORKER: Final = re.compile(r"(?:Spawn|Fork|ForkServer)?Process-(?:[2-9]|\d{2,})")


def several_workers(
    environment: Mapping[str, str] = os.environ,
    name: str | None = None,
    *,
    arguments: Sequence[str] | None = None,
    servers: Iterable[object] | None = None,
) -> bool:
    """Tell whether there are signs of other workers; a server that reloads the code is for one developer.

    What the server itself knows counts most, then its command line, then the environment, then the name of the process.

    Args:
        environment: ``WEB_CONCURRENCY`` and its like are what servers and platforms read and set.
        name: of this process, its own by default.
        arguments: how the server was called, ``sys.argv`` by default.
        servers: what servers know of themselves: objects with the numbers and switches of uvicorn, hypercorn, gunicorn
            or granian; by default those that have started this process.
    """
    for facts in (_of_servers(_servers() if servers is None else servers), _of_arguments(arguments or sys.argv)):
        if facts is not None:
            return facts > 1
    if any(_number(environment.get(variable)) > 1 for variable in VARIABLES):
        return True
    return _WORKER.fullmatch(name or multiprocessing.current_process().name) is not None


def _of_servers(servers: Iterable[object]) -> int | None:
    """Return how many workers servers have; `None` where none of them says so."""
    known = None
    for server in servers:
        if any(_is_on(server, switch) for switch in ("should_reload", "use_reloader", "reload_on_changes", "reload")):
            return 1
        number = _attribute(server, "workers")
        if isinstance(number, int):
            known = max(number, known or 0)
    return known


def _of_arguments(arguments: Sequence[str]) -> int | None:
    """Return how many workers a command line of a server asks for; `None` where it says nothing."""
    if not arguments or not SERVERS & {*PurePath(arguments[0]).parts, PurePath(arguments[0]).stem}:
        return None
    if RELOAD in arguments:
        return 1
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, attached = option.partition("=")
        if name in OPTIONS:
            return _number(attached or value) or None
        if option.startswith("-w") and option[2:].isdecimal():
            return int(option[2:])
    return None


def _servers() -> Iterator[object]:
    """Yield what has started this process, by multiprocessing (uvicorn, hypercorn) or a fork (gunicorn, granian)."""
    arguments = _attribute(multiprocessing.current_process(), "_kwargs")
    if isinstance(arguments, Mapping):
        yield arguments.get("config")
    # The server imports the application, or runs it: either way it is further up in the stack.
    for frame, _ in traceback.walk_stack(None):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in SERVERS:
            owner = frame.f_locals.get("self")
            yield _attribute(owner, "cfg") or owner
            yield frame.f_locals.get("config")


def _attribute(owner: object, name: str) -> object:
    try:
        value: object = getattr(owner, name, None)
    except Exception:  # noqa: BLE001 - whatever a server does there, it is not to keep the shop from starting
        return None
    return value


def _is_on(owner: object, switch: str) -> bool:
    return _attribute(owner, switch) is True


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0
