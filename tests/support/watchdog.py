"""Ends what this process has started, however it ends itself: also when it is killed, and can do nothing any more.

A process of its own reads from a pipe what is to be ended. When the other end of the pipe is gone, so is whoever wrote.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import IO

__all__ = ["Watchdog", "watchdog"]


class Watchdog:
    """The process that outlives this one, for a moment."""

    def __init__(self) -> None:
        # In a session of its own: whatever is sent to the group of this process does not reach it.
        command = (sys.executable, "-S", "-E", __file__)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
        atexit.register(self._close)

    def watch(self, pid: int) -> None:
        """End a process, with the group that it leads, once this one is gone."""
        self._tell(f"+{pid}")

    def forget(self, pid: int) -> None:
        """Leave a process alone that has ended: another one may get its number."""
        self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(f"{line}\n")

    def _close(self) -> None:
        self._process.communicate()


@cache
def watchdog() -> Watchdog:
    """Return the one of this process."""
    return Watchdog()


def end(pid: int) -> None:
    """Kill a process and the group that it leads, if it leads one."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def watch_over(lines: IO[str]) -> None:
    """Read what is to be ended, and end it when nobody can say anything any more."""
    watched: dict[int, None] = {}
    for line in lines:
        if line.startswith("+"):
            watched[int(line[1:])] = None
        else:
            watched.pop(int(line[1:]), None)
    for pid in watched:
        end(pid)


if __name__ == "__main__":
    watch_over(sys.stdin)
