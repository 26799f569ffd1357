"""Five questions to a shop behind a real server: does it read, switch, stream, keep a WebSocket, end in good order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.sync.client import connect

from session_ctx_middleware.testing import Fault
from session_ctx_middleware.testing.fake_session import FakeSession

from ..network.backend import Network
from ..support.redis_server import free_port
from ..workers.fleet import SETTINGS, Program
from .combinations import YES, Combination
from .http2_socket import HTTP2Socket

__all__ = ["CHECKS", "check"]

SECONDS: Final = 30.0
GRACE: Final = 20.0
"""Seconds that a server may take to end, once its last request is answered; each has a limit of its own below this."""
LATE: Final = 0.5
"""Seconds that Emporix takes over the PATCH in which a server is told to end."""
TICK: Final = 0.02


class Finding(Exception):
    """What is neither well nor a surprise; its text is what the table says."""


class Visit:
    """A shopper at a shop, whose context is in EUR to begin with.

    Args:
        port: where the shop listens.
        combination: what is behind that.
        network: Emporix.
        process: of the server.
    """

    def __init__(self, port: int, combination: Combination, network: Network, process: Program) -> None:
        self.network = network
        self.process = process
        self.session: FakeSession = network.emporix.new_session(currency="EUR", language="en")
        self._port = port
        self._http2_sockets = combination.server.http2_sockets
        self._browser: Final = browser(port, http2=combination.server.http2, token=self.session.token)

    def close(self) -> None:
        """Leave."""
        self._browser.close()

    def page(self) -> dict[str, Any]:
        """Look at the page."""
        shown: dict[str, Any] = self._browser.get("/page").raise_for_status().json()
        return shown

    def post(self, path: str, **query: str) -> str:
        """Send a form; return the answer."""
        return self._browser.post(path, params=query).raise_for_status().text

    @contextmanager
    def stream(self, **query: str) -> Iterator[Iterator[str]]:
        """Open a page that comes in pieces."""
        with self._browser.stream("GET", "/stream", params=query) as answer:
            yield answer.raise_for_status().iter_text()

    @contextmanager
    def socket(self) -> Iterator[Any]:
        """Open a WebSocket."""
        headers = {"authorization": f"Bearer {self.session.token}"}
        if self._http2_sockets:
            with HTTP2Socket(self._port, "/socket", headers) as socket:
                yield socket
        else:
            with connect(f"ws://127.0.0.1:{self._port}/socket", additional_headers=headers, proxy=None) as socket:
                yield socket

    @property
    def document(self) -> dict[str, Any]:
        """The context at Emporix."""
        return self.network.emporix.document(self.session.session_id) or {}

    @property
    def patches(self) -> list[tuple[int | None, object]]:
        """What became of each PATCH so far, and the version that it named."""
        mine = [call for call in self.network.emporix.calls if call.session_id == self.session.session_id]
        return [(call.status, _version(call.body)) for call in mine if call.operation == "context.patch"]


def browser(port: int, *, http2: bool, token: str | None = None) -> httpx.Client:
    """Return a client that speaks one version of HTTP."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        http1=not http2,
        http2=http2,
        headers=None if token is None else {"authorization": f"Bearer {token}"},
        timeout=SECONDS,
        trust_env=False,
    )


def reads(visit: Visit) -> None:
    """The page shows what Emporix has, and asks once."""
    assert [visit.page()["currency"], visit.page()["currency"]] == ["EUR", "EUR"]
    assert visit.network.emporix.count("context.get") == 1


def switches(visit: Visit) -> None:
    """The change is at Emporix, under the version that was read, when the answer is here."""
    assert visit.post("/switch", currency="USD") == "done"
    assert (visit.patches, visit.document["currency"]) == ([(204, 1)], "USD")
    assert visit.page()["currency"] == "USD"


def streams(visit: Visit) -> None:
    """The beginning is here before there is an end, and the change at Emporix by then, once."""
    with visit.stream(currency="USD", gate=visit.session.session_id) as pieces:
        text = next(pieces)
        assert (text, visit.patches) == ("first;", [(204, 1)])
        visit.post("/open", gate=visit.session.session_id)
        assert "".join(pieces) == "last"
    assert visit.patches == [(204, 1)]


def keeps_a_socket(visit: Visit) -> None:
    """The context is read in the handshake, and changed while the socket is open."""
    with visit.socket() as socket:
        assert socket.recv() == "EUR"
        socket.send("USD")
        assert socket.recv() == "APPLIED"
    assert (visit.patches, visit.document["currency"]) == ([(204, 1)], "USD")


def ends_in_good_order(visit: Visit) -> None:
    """A change is brought to its end though the server is told to end, and so is the server.

    The PATCH is slow, and in vain: somebody else has written meanwhile. So the shop still has to read and to send once
    more after it was told to end.
    """
    visit.page()
    visit.network.emporix.edit(visit.session.session_id, language="de")
    visit.network.emporix.fault("context.patch", Fault(delay=LATE))
    with ThreadPoolExecutor(1) as browser:
        sending = browser.submit(visit.post, "/switch", currency="USD")
        until(lambda: visit.network.proxy.requests["PATCH"] == 1)
        visit.process.terminate()
        unanswered = sending.exception() is not None
        visit.close()  # as browsers do whom a server tells that it goes away
        visit.process.wait(GRACE)
    if [status for status, _ in visit.patches] != [404, 204]:
        raise Finding("lost, unanswered" if unanswered else "lost")
    assert (visit.document["currency"], visit.document["language"]) == ("USD", "de")
    if unanswered:
        raise Finding("arrives, unanswered")


CHECKS: Final[Mapping[str, Callable[[Visit], None]]] = {
    "read": reads,
    "switch": switches,
    "stream": streams,
    "WebSocket": keeps_a_socket,
    "SIGTERM": ends_in_good_order,
}


def check(combination: Combination, network: Network, directory: Path) -> Iterator[tuple[str, str]]:
    """Start a server, and ask all questions; yield the name of each, and what it found: ``yes`` where all is well."""
    port = free_port()
    process = Program(
        combination.command(port), directory / "server.log", {SETTINGS: json.dumps({"base_url": network.address})}
    )
    try:
        begin(port, process, http2=combination.server.http2)
        for name, question in CHECKS.items():
            network.proxy.requests.clear()
            network.emporix.clear_calls()
            visit = Visit(port, combination, network, process)
            try:
                question(visit)
            except Finding as finding:
                yield name, str(finding)
            except Exception as error:
                yield name, f"{type(error).__name__}: {error}"
            else:
                yield name, YES
            finally:
                visit.close()
    finally:
        process.stop()


def begin(port: int, process: Program, *, http2: bool) -> None:
    """Wait until a server answers."""

    def answers() -> bool:
        assert process.is_running, process.log
        try:
            with browser(port, http2=http2) as client:
                return client.get("/page").is_success
        except httpx.TransportError:
            return False

    until(answers, lambda: process.log)


def until(condition: Callable[[], bool], otherwise: Callable[[], str] = lambda: "it never happened") -> None:
    """Wait for what another process will bring about."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, otherwise()
        time.sleep(TICK)


def _version(body: object) -> object:
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return metadata.get("version") if isinstance(metadata, dict) else None
