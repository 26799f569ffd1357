"""FakeEmporix as a process, and the ways to look into it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import httpx

from ..support.redis_server import free_port
from .fleet import Program

__all__ = ["Platform", "Visit"]

RUNS: Final = re.compile(r"(FakeEmporix) for tenant")
PATIENCE: Final = 30.0


class Visit:
    """A shopper's session at Emporix.

    Args:
        token: of the shopper.
        session_id: by which Emporix knows it.
    """

    def __init__(self, token: str, session_id: str) -> None:
        self.token = token
        self.session_id = session_id


class Platform:
    """A running FakeEmporix.

    Args:
        log: a file for what it prints.
    """

    def __init__(self, log: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._program = Program(["session_ctx_middleware.testing", "--port", str(port)], log)
        self._program.wait_for(RUNS)
        transport = httpx.HTTPTransport(retries=8)  # it listens a moment after it has said so
        self._client = httpx.Client(base_url=self.address, transport=transport, timeout=PATIENCE, trust_env=False)
        self._client.get("/_fake/health").raise_for_status()

    def new_visit(self, **fields: object) -> Visit:
        """Begin a session; see `FakeEmporix.new_session`."""
        answer = self._client.post("/_fake/sessions", json=fields).raise_for_status().json()
        return Visit(answer["token"], answer["sessionId"])

    def document(self, visit: Visit) -> dict[str, Any]:
        """Return the context as it is now."""
        document: dict[str, Any] = self._client.get(f"/_fake/contexts/{visit.session_id}").raise_for_status().json()
        return document

    def patches(self, visit: Visit) -> list[int | None]:
        """Return what became of each PATCH of this session so far."""
        calls = self._client.get("/_fake/calls", params={"operation": "context.patch"}).raise_for_status().json()
        return [call["status"] for call in calls["calls"] if call["session_id"] == visit.session_id]

    def fault(self, operation: str, **fault: object) -> None:
        """Let all calls of an operation go wrong until `heal`; see `Fault`."""
        body = {"operation": operation, "times": None, **fault}
        self._client.post("/_fake/faults", json=body).raise_for_status()

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._client.delete("/_fake/faults").raise_for_status()

    def create_cart(self, visit: Visit) -> None:
        """Put something into a cart: the context appears."""
        headers = {"Authorization": f"Bearer {visit.token}"}
        cart = {"siteCode": "main", "currency": "EUR"}
        self._client.post("/cart/acme/carts", json=cart, headers=headers).raise_for_status()

    def stop(self) -> None:
        """Stop it."""
        self._client.close()
        self._program.stop()
