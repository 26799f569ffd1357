"""The job that sets an attribute in many sessions: what it does, leaves, and goes on with."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from examples.attribute_job import Job
from session_ctx_middleware.emporix import ManagedContextClient, ServiceToken
from session_ctx_middleware.testing import FakeEmporix, Fault


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        """Wait for nothing."""

    monkeypatch.setattr("examples.attribute_job.asyncio.sleep", at_once)


async def test_goes_on(emporix: FakeEmporix, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be set is left for the next time, and what is done is not done again."""
    sessions = [emporix.new_session() for _ in range(30)]
    ids = [each.session_id for each in sessions]
    emporix.delete_context(ids[3])
    done = tmp_path / "done"

    async def run() -> Job:
        async with emporix.client(httpx2, base_url="http://127.0.0.1:8900") as client:
            service = ServiceToken(
                "acme",
                client_id=emporix.client_id,
                client_secret=emporix.client_secret,
                base_url="http://127.0.0.1:8900",
                http_client=client,
            )
            contexts = ManagedContextClient(
                "acme", service_token=service, base_url="http://127.0.0.1:8900", http_client=client
            )
            job = Job(contexts, "campaign", "spring", done)
            await job.run([*ids, ids[0]])
            return job

    emporix.fault("managed.attribute_add", Fault(status=503), times=9)
    first = await run()
    assert first.outcomes.total() == 30
    assert first.outcomes["left"]
    emporix.clear_calls()

    second = await run()

    assert second.outcomes["left"] == 0
    assert emporix.count("managed.attribute_add") == first.outcomes["left"]
    for each in ids[:3] + ids[4:]:
        assert (emporix.document(each) or {})["context"] == {"campaign": "spring"}
    assert (await run()).outcomes.total() == 0
    assert "nothing to do" in capsys.readouterr().out
