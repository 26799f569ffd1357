"""The example shop, ready to be looked at: ``python -m session_ctx_middleware.cli demo``.

Without ``EMPORIX_TENANT`` and ``EMPORIX_CLIENT_ID`` in the environment, FakeEmporix is started as well; with both, the
shop talks to the real platform. Ctrl-C or SIGTERM stops everything.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, build_opener

__all__ = ["Trouble", "run_demo"]

PACKAGED: Final = f"{__package__}.storefront"
"""Where the shop is in an installed package."""
CLONED: Final = "examples.storefront"
"""Where it is in a clone of the project."""
CLONE: Final = Path(__file__).resolve().parents[2]
NEEDED: Final = ("babel", "crawleruseragents", "cryptography", "jinja2", "python_multipart", "uvicorn")
HOST: Final = "127.0.0.1"
FAKE_PORT: Final = 8900
PATIENCE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


class Stopped(Exception):
    """Somebody wants the demo to end."""


class Trouble(Exception):
    """Something that the person at the terminal has to change; the text says what."""


def run_demo(port: int, environment: Mapping[str, str]) -> None:
    """Run the shop until a signal comes.

    Args:
        port: of the shop.
        environment: of its processes.

    Raises:
        Trouble: something is in the way.
    """
    stopping = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), lambda *_: stopping.set())
    with contextlib.suppress(Stopped), contextlib.ExitStack() as running:
        _run(running, Servers(stopping), port, environment)
    _say("\nStopped.")


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
            cwd=CLONE if find_spec(PACKAGED) is None else None,
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
        direct = build_opener(ProxyHandler({}))  # no proxy of the environment knows the way to this machine
        while time.monotonic() < until:
            self.watch(0.05)
            with contextlib.suppress(OSError), direct.open(url, timeout=1):
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


def _run(running: contextlib.ExitStack, servers: Servers, port: int, environment: Mapping[str, str]) -> None:
    shop = _shop()
    if not _is_free(port):
        raise Trouble(f"Port {port} is taken. Stop what uses it, or choose another one: --port {port + 1}")
    if _wants_fake(environment):
        fake = FAKE_PORT if port != FAKE_PORT and _is_free(FAKE_PORT) else _free_port()
        environment = {**environment, "EMPORIX_BASE_URL": f"http://{HOST}:{fake}"}
        running.enter_context(servers.running(["session_ctx_middleware.testing", "--port", str(fake)], environment))
        servers.wait_for(f"http://{HOST}:{fake}/_fake/health")
        _say(f"FakeEmporix: http://{HOST}:{fake}")
    environment = {"SHOP_DEBUG_PANEL": "1", **environment}
    storefront = ["uvicorn", f"{shop}.app:create_app", "--factory", "--log-level", "warning"]
    running.enter_context(servers.running([*storefront, "--host", HOST, "--port", str(port)], environment))
    servers.wait_for(f"http://{HOST}:{port}/health")
    _say(f"Storefront:  http://{HOST}:{port}   (Ctrl-C stops it)")
    _say(f"Debug panel: http://{HOST}:{port}/__session_ctx")
    while True:
        servers.watch(1.0)


def _shop() -> str:
    """Return the package of the shop."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise Trouble("The demo needs more packages: pip install 'session-ctx-middleware[demo]'")
    return CLONED if find_spec(PACKAGED) is None else PACKAGED


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
