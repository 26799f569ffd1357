"""What is combined: every server with a Starlette shop, and every framework with several servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["COLUMNS", "COMBINATIONS", "YES", "Combination", "Server"]

COLUMNS: Final = ("read", "switch", "stream", "WebSocket", "SIGTERM")
YES: Final = "yes"


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as it is started.

    Args:
        name: as in the table.
        arguments: a Python module and its command line, with ``{shop}`` and ``{port}``.
        http2: whether browsers speak HTTP/2 to it, without TLS and from the first byte.
        http2_sockets: whether WebSockets go over HTTP/2, too.
        packages: whose versions are of interest.
    """

    name: str
    arguments: tuple[str, ...]
    http2: bool = False
    http2_sockets: bool = False
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Combination:
    """A server and the shop of a framework.

    Args:
        server: the server.
        framework: its name, and that of the module in `shops`.
        findings: what is not ``yes``, and what it is instead, by the name of the check.
    """

    server: Server
    framework: str
    findings: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the combination is called."""
        return f"{self.server.name} with {self.framework}"

    @property
    def expected(self) -> tuple[str, ...]:
        """What each check finds."""
        return tuple(self.findings.get(check, YES) for check in COLUMNS)

    def command(self, port: int) -> list[str]:
        """Return the module and the command line that start it."""
        shop = f"tests.compatibility.shops.{self.framework.lower()}_shop:app"
        return [part.format(shop=shop, port=port) for part in self.server.arguments]


_UVICORN: Final = ("uvicorn", "{shop}", "--port", "{port}", "--no-access-log")
_HYPERCORN: Final = ("hypercorn", "{shop}", "--bind", "127.0.0.1:{port}")
_GRANIAN: Final = ("granian", "{shop}", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}")
_GUNICORN: Final = ("gunicorn", "{shop}", "--bind", "127.0.0.1:{port}", "-k")

H11: Final = Server("uvicorn, h11", (*_UVICORN, "--http", "h11"), packages=("uvicorn", "h11"))
HTTPTOOLS: Final = Server("uvicorn, httptools", (*_UVICORN, "--http", "httptools"), packages=("uvicorn", "httptools"))
HYPERCORN: Final = Server("hypercorn, HTTP/1.1", _HYPERCORN, packages=("hypercorn", "h11"))
HYPERCORN_H2: Final = Server(
    "hypercorn, HTTP/2", _HYPERCORN, http2=True, http2_sockets=True, packages=("hypercorn", "h2")
)
GRANIAN: Final = Server("granian, HTTP/1.1", (*_GRANIAN, "--http", "1"), packages=("granian",))
GRANIAN_H2: Final = Server("granian, HTTP/2", (*_GRANIAN, "--http", "auto"), http2=True, packages=("granian",))
GUNICORN: Final = Server(
    "gunicorn, uvicorn's worker", (*_GUNICORN, "uvicorn_worker.UvicornWorker"), packages=("gunicorn", "uvicorn-worker")
)
GUNICORN_ASGI: Final = Server("gunicorn, its own worker", (*_GUNICORN, "asgi"), packages=("gunicorn",))
DAPHNE: Final = Server("daphne", ("daphne", "{shop}", "--port", "{port}", "--verbosity", "0"), packages=("daphne",))

SERVERS: Final = (H11, HTTPTOOLS, HYPERCORN, HYPERCORN_H2, GRANIAN, GRANIAN_H2, GUNICORN, GUNICORN_ASGI, DAPHNE)
OTHERS: Final = ("FastAPI", "Litestar", "Quart", "Django", "BlackSheep")
LOST: Final = {"SIGTERM": "lost, unanswered"}
"""daphne cancels what runs, and its event loop ends (https://github.com/django/daphne/issues/264)."""
UNANSWERED: Final = {"SIGTERM": "arrives, unanswered"}
"""After GOAWAY granian goes on with what runs; the browser of this matrix cannot: h2 takes that for the end."""
FINDINGS: Final = {DAPHNE: LOST, GRANIAN_H2: UNANSWERED}
COMBINATIONS: Final = (
    *(Combination(server, "Starlette", FINDINGS.get(server, {})) for server in SERVERS),
    *(Combination(server, framework) for framework in OTHERS for server in (HTTPTOOLS, HYPERCORN, GRANIAN)),
    Combination(DAPHNE, "Django", LOST),
)
