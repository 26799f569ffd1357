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
