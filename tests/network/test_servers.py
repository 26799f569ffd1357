"""Real servers with one worker and with several: only those that share nothing are warned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support.redis_server import free_port

pytestmark = pytest.mark.network

PATIENCE = 90.0
WARNING = "Several workers share nothing"
EAGER = "app = SessionContextMiddleware(hello, tenant='acme')"
LAZY = "app = Starlette(routes=[Mount('/', hello)], middleware=[Middleware(SessionContextMiddleware, tenant='acme')])"
SHOP = """
import logging, os, pathlib
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from session_ctx_middleware import SessionContextMiddleware

LOG = pathlib.Path(__file__).with_suffix(".log")

class ToFile(logging.Handler):
    def emit(self, record):
        with LOG.open("a") as log:
            log.write(record.getMessage() + "\\n")

logging.getLogger("session_ctx_middleware").addHandler(ToFile())
hello = PlainTextResponse("hello")
{app}
with LOG.open("a") as log:
    log.write("imported\\n")
"""

UVICORN = ("uvicorn", "shop:app", "--lifespan", "on", "--port", "{port}")
HYPERCORN = ("hypercorn", "shop:app", "--bind", "127.0.0.1:{port}")
GUNICORN = ("gunicorn", "shop:app", "--bind", "127.0.0.1:{port}")
GRANIAN = ("granian", "--interface", "asgi", "--port", "{port}", "shop:app")
CASES = {
    "uvicorn": (UVICORN, False),
    "uvicorn with two": ((*UVICORN, "--workers", "2"), True),
    "hypercorn": (HYPERCORN, False),
    "hypercorn with two": ((*HYPERCORN, "-w", "2"), True),
    "hypercorn that reloads": ((*HYPERCORN, "--reload"), False),
    "gunicorn": ((*GUNICORN, "-k", "uvicorn_worker.UvicornWorker"), False),
    "gunicorn with two": ((*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "-w", "2"), True),
    "gunicorn with two, of the old class": ((*GUNICORN, "-k", "uvicorn.workers.UvicornWorker", "-w", "2"), True),
    "gunicorn with two, preloaded": ((*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "-w", "2", "--preload"), True),
    "granian": (GRANIAN, False),
    "granian with two": ((*GRANIAN, "--workers", "2"), True),
}


@contextmanager
def served(directory: Path, command: tuple[str, ...], app: str, **environment: str) -> Iterator[Path]:
    """Run a server around a shop; give the file that says what happened in it."""
    (directory / "shop.py").write_text(SHOP.format(app=app), "utf-8")
    arguments = [part.format(port=free_port()) for part in command]
    path = os.pathsep.join([str(directory), str(Path(__file__).parents[2])])
    with (directory / "server.log").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *arguments],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            yield directory / "shop.log"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(log: Path, words: str, times: int = 1) -> str:
    """Wait until a file says something; return all that it says."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        text = log.read_text("utf-8") if log.exists() else ""
        if text.count(words) >= times:
            return text
        time.sleep(0.05)
    raise AssertionError(f"{words!r} was not written in time: {(log.parent / 'server.log').read_text('utf-8')}")


@pytest.mark.parametrize("case", CASES)
def test_warning(case: str, tmp_path: Path) -> None:
    """C5: Several workers are warned, whoever starts them; one is not."""
    command, several = CASES[case]
    with served(tmp_path, command, EAGER) as log:
        text = until(log, "imported")
    assert (WARNING in text) is several


@pytest.mark.parametrize("case", ["uvicorn with two", "gunicorn with two", "granian with two"])
def test_warning_at_the_start_of_the_application(case: str, tmp_path: Path) -> None:
    """C5: Frameworks build their middleware when the application starts, inside the server's event loop."""
    with served(tmp_path, CASES[case][0], LAZY) as log:
        until(log, WARNING)


def test_no_warning_after_a_reload(tmp_path: Path) -> None:
    """C5: A server that has reloaded the code is in its second process, and alone all the same."""
    with served(tmp_path, (*UVICORN, "--reload"), EAGER, WEB_CONCURRENCY="3") as log:
        until(log, "imported")
        shop = tmp_path / "shop.py"
        for again in range(int(PATIENCE)):
            shop.write_text(f"{SHOP.format(app=EAGER)}\n# {again}\n", "utf-8")
            time.sleep(1.0)
            if log.read_text("utf-8").count("imported") > 1:
                break
        text = until(log, "imported", 2)
    assert WARNING not in text
