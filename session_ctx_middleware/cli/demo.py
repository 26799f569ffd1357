"""Starts the example storefront: `make demo`.

Without ``EMPORIX_TENANT`` and ``EMPORIX_CLIENT_ID`` in the environment, FakeEmporix is started as well; with both, the
shop talks to the real platform. ``PORT`` (8000) is the shop's port. Ctrl-C or SIGTERM stops everything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.request import urlopen

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
FAKE_PORT: Final = 8900
PATIENCE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


class Stopped(Exception):
    """Somebody wants the demo to end."""


class Trouble(Exception):
    """Something that the person at the terminal has to change; the text says what."""


def main() -> int:
    """Run the demo until it is told to stop; return the exit status."""
    stopping = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), lambda *_: stopping.set())
    try:
        with contextlib.ExitStack() as running:
            _run(running, Servers(stopping), os.environ)
    except Trouble as trouble:
        sys.stderr.write(f"demo: {trouble}\n")
        return 1
    except Stopped:
        _say("\nStopped.")
    return 0


class Servers:
    """The processes of the demo.

    Args:
        stopping: set by a signal. Nothing is interrupted by it, so no process can slip away half started.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._processes: list[subprocess.Popen[bytes]] = []

    @contextlib.contextmanager
    def running(self, module: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
        """Run a Python module as a server, and stop it in the end, whatever happens."""
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the addresses are printed here, together
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops the others
        )
        self._processes.append(process)
        try:
            yield
        finally:
            _stop(process)

    def wait_for(self, url: str) -> None:
        """Wait until an address answers."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            self.watch(0.05)
            with contextlib.suppress(OSError), urlopen(url, timeout=1):
                return
        raise Trouble(f"{url} does not answer after {PATIENCE_SECONDS:.0f} seconds.")

    def watch(self, seconds: float) -> None:
        """Let time pass while all is well.

        Raises:
            Stopped: a signal came.
            Trouble: a server has ended by itself.
        """
        if self._stopping.wait(seconds):
            raise Stopped
        for process in self._processes:
            if process.poll() is not None:
                raise Trouble(f"a server ended by itself (exit status {process.returncode}); its message is above.")


def _run(running: contextlib.ExitStack, servers: Servers, environment: Mapping[str, str]) -> None:
    port = _port(environment)
    if _wants_fake(environment):
        fake = FAKE_PORT if port != FAKE_PORT and _is_free(FAKE_PORT) else _free_port()
        environment = {**environment, "EMPORIX_BASE_URL": f"http://{HOST}:{fake}"}
        running.enter_context(servers.running(["session_ctx_middleware.testing", "--port", str(fake)], environment))
        servers.wait_for(f"http://{HOST}:{fake}/_fake/health")
        _say(f"FakeEmporix: http://{HOST}:{fake}")
    storefront = ["uvicorn", "examples.storefront.app:create_app", "--factory", "--log-level", "warning"]
    running.enter_context(servers.running([*storefront, "--host", HOST, "--port", str(port)], environment))
    servers.wait_for(f"http://{HOST}:{port}/health")
    _say(f"Storefront:  http://{HOST}:{port}   (Ctrl-C stops it)")
    while True:
        servers.watch(1.0)


def _wants_fake(environment: Mapping[str, str]) -> bool:
    missing = [name for name in ("EMPORIX_TENANT", "EMPORIX_CLIENT_ID") if not environment.get(name)]
    if len(missing) == 1:
        raise Trouble(
            f"{missing[0]} is missing. Set both EMPORIX_TENANT and EMPORIX_CLIENT_ID to use your tenant, or neither to "
            "use FakeEmporix."
        )
    return bool(missing)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("PORT") or "8000"
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        if _is_free(int(text)):
            return int(text)
        raise Trouble(f"port {text} is taken. Stop what uses it, or choose another one: make demo PORT=8001")
    raise Trouble(f"PORT must be a number from 1 to 65535, not {text!r}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
