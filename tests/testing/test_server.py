"""FakeEmporix in a process of its own, behind real sockets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from session_ctx_middleware.testing import FakeEmporix, Fault
from session_ctx_middleware.testing.__main__ import main

from .conftest import ME, Platform, expect_fault, open_platform

pytestmark = pytest.mark.network


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets need real time."""
    return "asyncio"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _started(log: Path) -> Iterator[str]:
    """Start a server, which writes its standard error to a file; the address is what it is asked at."""
    port = _free_port()
    command = [sys.executable, "-m", "session_ctx_middleware.testing", "--port", str(port), "--context-at", "login"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL)
        try:
            for _ in range(1200):
                assert process.poll() is None, log.read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)
    assert log.read_text() == ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server, and what it writes to its standard error."""
    log = tmp_path_factory.mktemp("server") / "stderr"
    with _started(log) as url:
        yield url, log


@asynccontextmanager
async def _connected(url: str, library: Any) -> AsyncIterator[Platform]:
    """Call the server; what it was told to do wrong is forgotten first."""
    async with library.AsyncClient(base_url=url, timeout=60) as client:
        for resource in ("calls", "faults"):
            assert (await client.delete(f"/_fake/{resource}")).status_code == 204
        yield Platform(FakeEmporix(), client)


@pytest.fixture
async def remote(server: tuple[str, Path], http_library: Any) -> AsyncIterator[Platform]:
    """The server as its callers see it."""
    async with _connected(server[0], http_library) as platform:
        yield platform


@pytest.fixture(params=["in this process", "server"])
async def anywhere(
    request: pytest.FixtureRequest, server: tuple[str, Path], http_library: Any
) -> AsyncIterator[Platform]:
    """What is controlled in the same way behind sockets and without them."""
    here = open_platform(FakeEmporix(context_at="login"), http_library)
    async with _connected(server[0], http_library) if request.param == "server" else here as platform:
        yield platform


async def _fault(remote: Platform, **fields: Any) -> None:
    answer = await remote.call("POST", "/_fake/faults", json=fields)
    assert (answer.status_code, answer.content) == (204, b"")


async def _recorded(remote: Platform, operation: str) -> Any:
    return (await remote.call("GET", "/_fake/calls", params={"operation": operation})).json()


async def test_tells_that_it_is_there(anywhere: Platform) -> None:
    """The server tells that it is there."""
    answer = await anywhere.call("GET", "/_fake/health")
    assert (answer.status_code, answer.json()) == (200, {"tenant": "acme"})


async def test_two_starts_share_nothing(remote: Platform, http_library: Any, tmp_path: Path) -> None:
    """What one start has handed out, the next one does not hand out again: a browser may still have it."""
    with _started(tmp_path / "stderr") as url:
        async with _connected(url, http_library) as again:
            first, second = [await each.anonymous() for each in (remote, again)]

    names = ("access_token", "refresh_token", "sessionId")
    assert not {first[name] for name in names} & {second[name] for name in names}


async def test_a_session_works_over_sockets(remote: Platform) -> None:
    """A session works over sockets."""
    token = (await remote.anonymous(currency="CHF"))["access_token"]
    assert (await remote.patch(token, 1, context={"a/b": "1"})).status_code == 204
    answer = await remote.call("DELETE", f"{ME}/attributes/a%2Fb", token)
    assert (answer.status_code, answer.content) == (204, b"")
    context = await remote.context(token)
    assert (context["currency"], context["metadata"]["version"]) == ("CHF", 3)
    expect_fault(await remote.call("GET", ME, "unknown"), 401, "oauth.v2.InvalidAccessToken")


async def test_calls(anywhere: Platform) -> None:
    """Calls are looked at and forgotten."""
    session = await anywhere.anonymous()
    await anywhere.patch(session["access_token"], 1, currency="USD")
    recorded = await _recorded(anywhere, "context")
    assert recorded["count"] == 1
    (call,) = recorded["calls"]
    assert (call["operation"], call["status"], call["session_id"]) == ("context.patch", 204, session["sessionId"])
    assert call["body"] == {"currency": "USD", "metadata": {"version": 1}}
    assert (await anywhere.call("GET", "/_fake/calls")).json()["count"] == 2
    await anywhere.call("DELETE", "/_fake/calls")
    assert (await anywhere.call("GET", "/_fake/calls")).json() == {"count": 0, "calls": []}


async def test_contexts(anywhere: Platform) -> None:
    """Contexts are looked at and edited."""
    session = await anywhere.anonymous()
    control = f"/_fake/contexts/{session['sessionId']}"
    await anywhere.context(session["access_token"])
    assert (await anywhere.call("POST", control, json={"currency": "CHF"})).status_code == 204
    document = (await anywhere.call("GET", control)).json()
    assert (document["currency"], document["metadata"]["version"]) == ("CHF", 2)
    assert await anywhere.context(session["access_token"]) == document


async def test_session_without_a_login(anywhere: Platform) -> None:
    """A session is begun without a login."""
    answer = await anywhere.call("POST", "/_fake/sessions", json={"currency": "CHF"})
    assert answer.status_code == 201
    context = await anywhere.context(answer.json()["token"])
    assert (context["currency"], context["sessionId"]) == ("CHF", answer.json()["sessionId"])
    assert (await anywhere.call("POST", "/_fake/sessions", json={"colour": "red"})).status_code == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_context_of_nobody(method: str, anywhere: Platform) -> None:
    """The context of nobody is not found."""
    answer = await anywhere.call(method, "/_fake/contexts/nobody", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("PUT", "faults"), ("POST", "health")])
async def test_there_are_no_other_controls(method: str, path: str, anywhere: Platform) -> None:
    """There are no other controls."""
    assert (await anywhere.call(method, f"/_fake/{path}")).status_code == 404


async def test_faults(anywhere: Platform) -> None:
    """Faults are set and cleared from outside."""
    token = (await anywhere.anonymous())["access_token"]
    await _fault(anywhere, operation="context.get", status=503, body="<html>", retry_after=3, times=2)
    for _ in range(2):
        answer = await anywhere.call("GET", ME, token)
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "<html>", "3")
    assert (await anywhere.call("GET", ME, token)).status_code == 200
    await _fault(anywhere, status=500, body={"code": 500}, headers={"x-a": "b"}, times=None)
    for _ in range(3):
        answer = await anywhere.call("GET", ME, token)
        assert (answer.status_code, answer.json(), answer.headers["x-a"]) == (500, {"code": 500}, "b")
    await anywhere.call("DELETE", "/_fake/faults")
    assert (await anywhere.call("GET", ME, token)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[]",
        b'"text"',
        b'{"staus": 500}',
        b'{"status": "500"}',
        b'{"delay": "1"}',
        b'{"times": "1"}',
        b'{"operation": 1}',
        b'{"drop": "during"}',
        b'{"by": "nobody"}',
        b'{"headers": {"a": 1}}',
        b'{"headers": []}',
        b'{"body": [1]}',
    ],
)
async def test_bad_control_does_nothing(body: bytes, anywhere: Platform) -> None:
    """A control that makes no sense is a bad request, and does nothing."""
    answer = await anywhere.call("POST", "/_fake/faults", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    await anywhere.anonymous()
    assert (await anywhere.call("POST", "/_fake/contexts/nobody", content=b"{")).status_code == 400


@pytest.mark.parametrize(("drop", "version"), [("before", 1), ("after", 2)])
async def test_the_connection_really_breaks(drop: str, version: int, remote: Platform, http_library: Any) -> None:
    """The connection really breaks."""
    token = (await remote.anonymous())["access_token"]
    await remote.context(token)
    await _fault(remote, operation="context.patch", drop=drop)
    with pytest.raises((http_library.ReadError, http_library.RemoteProtocolError)):
        await remote.patch(token, 1, currency="USD")
    assert (await remote.context(token))["metadata"]["version"] == version
    recorded = await _recorded(remote, "context.patch")
    assert [call["status"] for call in recorded["calls"]] == [None]


async def test_hung_call_ends(remote: Platform, http_library: Any) -> None:
    """A hung call ends with the caller's patience."""
    token = (await remote.anonymous())["access_token"]
    await _fault(remote, operation="context.get", hang=True)
    with pytest.raises(http_library.ReadTimeout):
        await remote.call("GET", ME, token, timeout=http_library.Timeout(60, read=0.2))
    assert (await remote.call("GET", ME, token)).status_code == 200


# In this process


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_server_in_this_process(drop: Any, http_library: Any) -> None:
    """A server in this process breaks connections too."""
    emporix = FakeEmporix()
    running = uvicorn.Server(uvicorn.Config(emporix, log_level="error", lifespan="on"))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    task = asyncio.ensure_future(running.serve(sockets=[listener]))
    emporix.fault("site", Fault(drop=drop))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/site/acme/sites"
    async with http_library.AsyncClient() as client:
        while not running.started:
            await asyncio.sleep(0.01)
        with pytest.raises((http_library.ReadError, http_library.RemoteProtocolError)):
            await client.get(url)
        assert (await client.get(url)).status_code == 401
    running.should_exit = True
    await task
    assert [call.status for call in emporix.calls] == [None, 401]


def test_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line builds what it says."""
    served: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: served.append((app, options)))
    assert main(["--host", "127.0.0.2", "--port", "1", "--tenant", "shop", "--latency", "0.5"]) == 0
    ((app, options),) = served
    assert (app.tenant, app.latency) == ("shop", 0.5)
    assert (options["host"], options["port"]) == ("127.0.0.2", 1)
    assert "http://127.0.0.2:1 (client_id=storefront)" in capsys.readouterr().out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says what each option is for."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert (ended.value.code, "Args:" in told) == (0, False)
    assert "base_url=http://127.0.0.1:8900" in told
    assert "where it listens (8900)" in told


def test_impossible_tenant(capsys: pytest.CaptureFixture[str]) -> None:
    """A tenant that no shop could be built for is wrong use."""
    with pytest.raises(SystemExit):
        main(["--tenant", "ACME"])
    assert "lower-case" in capsys.readouterr().err


def test_missing_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a server, the command says what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main([]) == 2
    assert "session-ctx-middleware[testing]" in capsys.readouterr().err
