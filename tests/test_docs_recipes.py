"""The recipes of the page about observability: what they write is what the page says."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from sentry_sdk.integrations.logging import LoggingIntegration

from session_ctx_middleware import ContextEvent
from session_ctx_middleware.events import Events

from .support.sentry import tracked
from .test_docs import ROOT, run

LEAK = ContextEvent(name="leak.prevented", operation="respond", outcome="made private")


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the code of the page has made."""
    return run(ROOT / "docs" / "observability.md")


def test_logs_in_json(page: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is one JSON object, with the fields of the event."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(page["JsonLines"]())
    monkeypatch.setattr(logging.getLogger("session_ctx_middleware"), "handlers", [handler])

    Events().emit(LEAK)

    told = json.loads(lines.getvalue())
    assert told["session_ctx_name"] == "leak.prevented"
    assert told["session_ctx_operation"] == "respond"
    assert (told["level"], told["logger"]) == ("WARNING", "session_ctx_middleware")
    assert told["message"].startswith("leak.prevented made private (respond): ")


def test_issues_of_sentry(page: dict[str, Any]) -> None:
    """A warning that the hook knows is an issue, one for all of its kind; others are none."""
    with tracked() as sent:
        events = Events([page["to_sentry"]])
        for outcome in ("made private", "refused"):
            events.emit(ContextEvent(name="leak.prevented", operation="respond", outcome=outcome))
        events.emit(ContextEvent(name="commit.applied", operation="respond", outcome="applied"))
        text = "\n".join(sent)

    assert text.count('"fingerprint":["session_ctx_middleware","leak.prevented"]') == 2
    assert "leak.prevented made private" in text
    assert "commit.applied" not in text


def test_what_sentry_does_by_itself() -> None:
    """An error that is logged is an issue with the fields of the event, and the warnings before it are breadcrumbs."""
    with tracked(LoggingIntegration()) as sent:
        events = Events([lambda _: 1 / 0])
        events.emit(LEAK)
        text = "\n".join(sent)

    assert "hook.failed ZeroDivisionError" in text
    assert '"session_ctx_name":"hook.failed"' in text
    assert "leak.prevented made private" in text
