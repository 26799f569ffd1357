"""An error tracker that watches HTTP clients, as it does by itself where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import aiohttp.web
import httpx
import httpx2
import pytest
import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.transport import Transport

__all__ = ["tracked"]


class Tracked(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent.append(envelope.serialize().decode())


@contextmanager
def tracked(*integrations: Integration) -> Iterator[list[str]]:
    """Have Sentry watch, and yield what it would send."""
    with pytest.MonkeyPatch.context() as patch:
        for library in (httpx, httpx2):  # its integrations replace these, for good
            patch.setattr(library.AsyncClient, "send", library.AsyncClient.send)
            patch.setattr(library.Client, "send", library.Client.send)
        patch.setattr(aiohttp.ClientSession, "__init__", aiohttp.ClientSession.__init__)
        patch.setattr(aiohttp.web.Application, "_handle", aiohttp.web.Application._handle)
        for integration in integrations:
            type(integration).setup_once()
        transport = Tracked()
        client = sentry_sdk.Client(
            "https://key@sentry.test/1",
            transport=transport,
            traces_sample_rate=1.0,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=integrations,
        )
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            yield transport.sent
        client.close(timeout=0)
