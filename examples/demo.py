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
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn
from urllib.error import URLError
from urllib.request import urlopen

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
FAKE_PORT: Final = 8900
PATIENCE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


class Trouble(Exception):
    """Something that the person at the terminal has to change; the text says what."""


def main() -> int:
    """Run the demo until it is told to stop; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with contextlib.ExitStack() as running:
            _run(running, os.environ)
    except Trouble as trouble:
        sys.stderr.write(f"demo: {trouble}\n")
        return 1
    except KeyboardInterrupt:
        _say("\nStopped.")
    return 0


def _run(running: contextlib.ExitStack, environment: Mapping[str, str]) -> None:
    port = _port(environment)
    settings = {name: environment.get(name) or "" for name in ("EMPORIX_TENANT", "EMPORIX_CLIENT_ID")}
    missing = [name for name, value in settings.items() if not value]
    if len(missing) == 1:
        raise Trouble(f"{missing[0]} is missing. Set both {' and '.join(settings)}, or neither to use FakeEmporix.")
    if not _is_free(port):
        raise Trouble(f"port {port} is taken. Stop what uses it, or choose another one: make demo PORT={port + 1}")
    children = []
    if missing:
        fake = FAKE_PORT if port != FAKE_PORT and _is_free(FAKE_PORT) else _free_port()
        environment = {**environment, "EMPORIX_BASE_URL": f"http://{HOST}:{fake}"}
        command = ["session_ctx_middleware.testing", "--port", str(fake)]
        children.append(running.enter_context(_child(command, environment)))
        _wait_for(f"http://{HOST}:{fake}/_fake/health", children)
        _say(f"FakeEmporix: http://{HOST}:{fake}")
    command = ["uvicorn", "examples.storefront.app:create_app", "--factory", "--host", HOST, "--port", str(port)]
    children.append(running.enter_context(_child([*command, "--log-level", "warning"], environment)))
    _wait_for(f"http://{HOST}:{port}/health", children)
    _say(f"Storefront:  http://{HOST}:{port}   (Ctrl-C stops it)")
    while True:
        _check(children)
        time.sleep(0.2)


@contextlib.contextmanager
def _child(module: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process, and stop it in the end, whatever happens."""
    # In a session of its own, Ctrl-C reaches only this process, which then stops the children one after the other.
    child = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for(url: str, children: Sequence[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        _check(children)
        with contextlib.suppress(URLError, OSError), urlopen(url, timeout=1):
            return
        time.sleep(0.05)
    raise Trouble(f"{url} does not answer after {PATIENCE_SECONDS:.0f} seconds.")


def _check(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is not None:
            raise Trouble(f"a server ended by itself (exit status {child.returncode}); its message is above.")


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("PORT") or "8000"
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
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


def _stop(*_: object) -> NoReturn:
    # Once is enough: a second Ctrl-C must not interrupt the stopping.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
