"""Several workers that share nothing are warned."""

from __future__ import annotations

import logging

import pytest
from starlette.applications import Starlette

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.processes import several_workers
from session_ctx_middleware.stores import MemoryStore


@pytest.mark.parametrize(
    ("environment", "name", "several"),
    [
        ({}, "MainProcess", False),
        ({"WEB_CONCURRENCY": "1"}, "MainProcess", False),
        ({"WEB_CONCURRENCY": "many"}, "MainProcess", False),
        ({"WEB_CONCURRENCY": "3"}, "MainProcess", True),
        ({}, "SpawnProcess-1", False),
        ({}, "SpawnProcess-2", True),
        ({}, "SpawnProcess-12", True),
        ({}, "Process-3", True),
    ],
)
def test_signs_of_other_workers(environment: dict[str, str], name: str, several: bool) -> None:
    """Signs of other workers are seen."""
    assert several_workers(environment, name) is several


class Knows:
    """A server that knows something of itself."""

    def __init__(self, **facts: object) -> None:
        vars(self).update(facts)

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)  # whatever it does there


@pytest.mark.parametrize(
    ("servers", "several"),
    [
        ([], None),
        ([None, Knows(), Knows(workers="4")], None),
        ([Knows(workers=1)], False),
        ([Knows(workers=4)], True),
        ([Knows(workers=1), Knows(workers=4)], True),  # gunicorn, and uvicorn inside one of its workers
        ([Knows(workers=4, should_reload=True)], False),
        ([Knows(workers=4, use_reloader=True)], False),
        ([Knows(workers=4, reload_on_changes=True)], False),
        ([Knows(workers=4, reload=True), Knows(workers=1)], False),
    ],
)
def test_servers_know_best(servers: list[object], several: bool | None) -> None:
    """What a server knows counts more than the environment and the name of the process."""
    for environment, name in (({"WEB_CONCURRENCY": "3"}, "SpawnProcess-2"), ({}, "MainProcess")):
        without = several_workers(environment, name, arguments=["app"], servers=[])
        assert several_workers(environment, name, arguments=["app"], servers=servers) is (
            without if several is None else several
        )


@pytest.mark.parametrize(
    ("command", "several"),
    [
        ("/usr/bin/uvicorn shop:app --workers 4", True),
        ("/usr/bin/uvicorn shop:app --workers=4", True),
        ("/usr/bin/uvicorn shop:app --workers 1", False),
        ("/usr/bin/uvicorn shop:app --workers 4 --reload", False),
        ("/usr/lib/python3/site-packages/uvicorn/__main__.py shop:app --workers 4", True),
        ("hypercorn -w 2 shop:app", True),
        ("gunicorn -w2 shop:app", True),
        ("gunicorn.exe -w 2 shop:app", True),
        ("gunicorn -w", None),
        ("granian --interface asgi --workers many shop:app", None),
        ("granian --interface asgi shop:app", None),
        ("fastapi run --workers 3", True),
        ("pytest -w 4 --workers 4", None),
        ("", None),
    ],
)
def test_command_line(command: str, several: bool | None) -> None:
    """What the command line of a server asks for counts, and that of nothing else."""
    for environment, name in (({"WEB_CONCURRENCY": "3"}, "SpawnProcess-2"), ({}, "MainProcess")):
        expected = bool(environment) if several is None else several
        assert several_workers(environment, name, arguments=command.split() or [""], servers=[]) is expected


@pytest.mark.parametrize("variable", ["WEB_CONCURRENCY", "GRANIAN_WORKERS", "UVICORN_WORKERS"])
def test_environment(variable: str) -> None:
    """Servers read their number of workers from variables of their own as well."""
    assert several_workers({variable: "2"}, "MainProcess", arguments=["app"], servers=[])
    assert not several_workers({variable: "1"}, "MainProcess", arguments=["app"], servers=[])


@pytest.mark.parametrize(
    ("options", "warned"),
    [({}, True), ({"secret_key": "s" * 32}, False), ({"store": MemoryStore(shared=True)}, False)],
)
def test_warning_names_the_remedy(
    options: dict[str, object], warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Workers that share nothing are told what to do."""
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    caplog.set_level(logging.WARNING, "session_ctx_middleware")

    SessionContextMiddleware(Starlette(), tenant="acme", **options)  # type: ignore[arg-type]

    assert ("secret_key" in caplog.text) is warned
