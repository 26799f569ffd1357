"""Processes that benchmarks start: a stand-in for Emporix with a given latency, and servers for applications."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import Receive, Scope, Send

__all__ = ["Platform", "Server", "calls", "free_port", "platform", "serve", "serve_platform"]

LATENCY: Final = "BENCHMARK_LATENCY"
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
ROOT: Final = Path(__file__).resolve().parent.parent


class Platform:
    """Just enough of Emporix to be asked quickly: one context for each token, versions, and a count of the calls.

    ``/_calls`` tells the counts and forgets them; ``/_fail/0.5`` makes it answer half of the calls with 503.

    Args:
        latency: seconds that every call takes at least.
    """

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._contexts: dict[bytes, dict[str, Any]] = {}
        self._calls: Counter[str] = Counter()
        self._failing = 0.0
        self._random = random.Random(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        body = (await receive()).get("body", b"")
        if scope["path"] == "/_calls":
            await _answer(send, 200, dict(self._calls))
            self._calls.clear()
            return
        if scope["path"].startswith("/_fail/"):
            self._failing = float(scope["path"].removeprefix("/_fail/"))
            await _answer(send, 204, None)
            return
        self._calls[scope["method"]] += 1
        await asyncio.sleep(self._latency)
        if self._random.random() < self._failing:
            await _answer(send, 503, {"message": "try again"})
            return
        token = dict(scope["headers"]).get(b"authorization", b"").removeprefix(b"Bearer ")
        context = self._contexts.setdefault(token, _new_context(token.decode()))
        if scope["method"] == "GET":
            await _answer(send, 200, context)
            return
        change = json.loads(body)
        metadata = context["metadata"]
        if change.pop("metadata")["version"] != metadata["version"]:
            await _answer(send, 404, {"message": "no context of this version has been found"})
            return
        context |= change
        metadata["version"] += 1
        await _answer(send, 204, None)


def platform() -> Platform:
    """Build the stand-in in a process of its own."""
    return Platform(float(os.environ[LATENCY]))


@contextlib.contextmanager
def serve_platform(latency: float) -> Iterator[str]:
    """Run the stand-in, and give its address."""
    with serve("benchmarks.processes:platform", environment={LATENCY: str(latency)}) as server:
        yield server.url


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Args:
        url: its address.
        pid: its process.
    """

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return what it and its workers have used of the processors so far; nan where the system does not tell."""
        ticks, proc = 0, Path("/proc")
        if not proc.exists():
            return float("nan")
        for status in proc.glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = status.read_text("utf-8").partition(" (")
                fields = rest.rpartition(") ")[2].split()
                if self.pid in {int(pid), int(fields[1])}:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serve(
    target: str,
    *,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    parser: str = "auto",
    loop: str = "auto",
) -> Iterator[Server]:
    """Run uvicorn without access log.

    Args:
        target: an application factory, as uvicorn takes it.
        workers: processes.
        environment: further variables.
        parser: of HTTP: ``h11``, ``httptools``, or the choice of uvicorn.
        loop: ``asyncio``, ``uvloop``, or the choice of uvicorn.
    """
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", target, "--factory", "--port", str(port), "--workers", str(workers)]
    command += ["--http", parser, "--loop", loop]
    process = subprocess.Popen(
        [*command, "--no-access-log", "--log-level", "error", "--backlog", "4096"],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def calls(url: str) -> Counter[str]:
    """Return how many calls a stand-in has had by method since it was asked last."""
    return Counter(httpx.get(f"{url}/_calls").json())


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/_calls")
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")


def _new_context(token: str) -> dict[str, Any]:
    return {
        "sessionId": f"session-{token}",
        "customerId": "ANONYMOUS",
        "siteCode": "main",
        "currency": "EUR",
        "targetLocation": "DE",
        "language": "en",
        "cartId": "0123456789abcdef01234567",
        "context": {"segment": "returning", "channel": "web"},
        "metadata": {"version": 1, "createdAt": "2026-01-01T00:00:00.000Z", "modifiedAt": "2026-01-01T00:00:00.000Z"},
    }


async def _answer(send: Send, status: int, value: object) -> None:
    body = b"" if status == 204 else json.dumps(value).encode()
    headers = [
        (b"content-type", b"application/json"),
        # For the caches that go by headers; the middleware does not.
        (b"cache-control", b"private, max-age=60"),
        (b"vary", b"authorization"),
        *([] if status == 204 else [(b"content-length", str(len(body)).encode())]),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
