"""Starting real servers as processes of their own, and leaving none behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..support.watchdog import watchdog

__all__ = ["SETTINGS", "Fleet", "Program", "Uvicorn"]

SETTINGS: Final = "TEST_SHOP"
ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
LISTENS: Final = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


class Program:
    """A Python module that runs as a process, with all that it starts in a process group of its own.

    Args:
        arguments: the module and its command line.
        log: a file for what it prints.
        environment: variables beside those of the tests.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != "WEB_CONCURRENCY"}
        self._log = log
        self._stopped = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watchdog().watch(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text("utf-8", "replace")

    def wait_for(self, pattern: re.Pattern[str], times: int = 1) -> str:
        """Wait until it has printed something so often; return the first group of the first time."""
        end = time.monotonic() + START_SECONDS
        while len(found := pattern.findall(self.log)) < times:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)
        return str(found[0])

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait until it has ended by itself."""
        self._process.wait(seconds)

    def kill(self) -> None:
        """End this process at once, as the kernel does when memory runs out."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to shut down."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Shut down in good order, as a deployment does; then make sure that nothing of the group is left."""
        if self._stopped:
            return
        self._stopped = True
        self.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            watchdog().forget(self._process.pid)


class Uvicorn(Program):
    """A shop behind ``uvicorn``: one process, or a supervisor and workers that share one socket.

    Args:
        settings: of the shop.
        log: a file for what it prints.
        workers: how many.
    """

    def __init__(self, settings: Mapping[str, Any], log: Path, workers: int = 1) -> None:
        options = ["--port", "0", "--no-access-log", "--timeout-keep-alive", "600", "--workers", str(workers)]
        environment = {SETTINGS: json.dumps(dict(settings))}
        super().__init__(["uvicorn", "tests.workers.shop:app", *options], log, environment)
        self._workers = workers
        self._address = ""

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        if not self._address:
            self.wait_for(re.compile(r"(startup complete)"), self._workers)
            self._address = self.wait_for(LISTENS)
        return self._address


class Fleet:
    """Several workers, each with an address of its own, so that a test decides which one a request goes to.

    Args:
        settings: of the shop.
        directory: for what the workers print.
        size: how many workers.
    """

    def __init__(self, settings: Mapping[str, Any], directory: Path, size: int = 3) -> None:
        self.workers = [Uvicorn(settings, directory / f"worker-{number}.log") for number in range(size)]

    @property
    def addresses(self) -> list[str]:
        """Where the workers are."""
        return [worker.address for worker in self.workers]

    def close(self) -> None:
        """Stop all of them."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.stop()
