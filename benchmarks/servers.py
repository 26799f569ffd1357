"""Servers that benchmarks start in processes of their own, and a small upstream that answers any token."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from starlette.types import Receive, Scope, Send

START_SECONDS = 15.0
ROOT = Path(__file__).parents[1]


def document(session: str) -> bytes:
    """Return a session context of about 600 bytes, as Emporix would send it."""
    body = {
        "siteCode": "main",
        "currency": "EUR",
        "targetLocation": "DE",
        "language": "en",
        "sessionId": session,
        "customerId": f"customer-{session[:24]}",
        "cartId": f"cart-{session[:24]}",
        "context": {
            "customerGroup": "returning",
            "campaign": {"source": "newsletter", "medium": "email", "name": "spring", "code": session[:24]},
            "priceList": f"list-{session[:12]}",
            "consent": {"marketing": True, "statistics": False},
        },
        "metadata": {
            "version": 7,
            "createdAt": "2026-03-14T09:26:53.589Z",
            "modifiedAt": "2026-03-14T09:31:41.592Z",
            "mixins": {},
        },
    }
    return json.dumps(body).encode()


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every GET with the context of its token: the least that an upstream can do."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    body = document(token.partition(b" ")[2].decode())
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if scope["query_string"] == b"cacheable":
        headers += [(b"cache-control", b"private, max-age=3600"), (b"vary", b"Authorization")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(*command: str, port: int) -> Iterator[None]:
    """Run a command that listens on a port of this machine, for as long as the block lasts."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        _wait_for(process, port)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} has ended")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen")


@contextlib.contextmanager
def upstream_server() -> Iterator[str]:
    """Serve `upstream`; give its URL."""
    port = free_port()
    uvicorn = (sys.executable, "-m", "uvicorn", "benchmarks.servers:upstream", "--log-level", "warning")
    with serving(*uvicorn, "--no-access-log", "--port", str(port), port=port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def emporix_server(latency: float = 0.0) -> Iterator[str]:
    """Serve FakeEmporix; give its URL."""
    port = free_port()
    fake = (sys.executable, "-m", "session_ctx_middleware.testing", "--latency", str(latency))
    with serving(*fake, "--port", str(port), port=port):
        yield f"http://127.0.0.1:{port}"


def redis_binary() -> str | None:
    """Return the Redis server that is installed, if there is one."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run an empty Redis that keeps nothing; give its URL."""
    binary = redis_binary()
    if binary is None:
        raise RuntimeError("there is no redis-server on PATH")
    port = free_port()
    with serving(binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", port=port):
        yield f"redis://127.0.0.1:{port}/0"
