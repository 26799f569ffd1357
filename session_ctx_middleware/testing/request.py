"""One call, as the services see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from .answers import Answer, expired, unauthorized
from .records import Session, Token
from .world import World

__all__ = ["Incoming"]


@dataclass(frozen=True, repr=False)
class Incoming:
    """A call after routing.

    Args:
        world: the platform's state.
        method: the HTTP method.
        path: the path as it was sent, without the query.
        values: what the route found in the path.
        query: the query parameters.
        headers: names in lower case.
        raw: the body.
    """

    world: World
    method: str
    path: str
    values: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes = field(default=b"")

    @cached_property
    def token(self) -> Token | None:
        """The valid bearer token of the call."""
        return self.world.valid(self.world.access, self._bearer)

    @property
    def session(self) -> Session | None:
        """The session of the token."""
        return None if self.token is None else self.token.session

    def unauthorized(self) -> Answer:
        """Refuse the bearer token, or that there is none."""
        return expired() if self._bearer in self.world.access and self.token is None else unauthorized()

    @property
    def _bearer(self) -> str:
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value if scheme.lower() == "bearer" else ""

    @cached_property
    def json(self) -> Any:
        """The body as JSON, `None` where it is none."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    @property
    def data(self) -> dict[str, Any]:
        """The body as a JSON object, empty where it is none."""
        return self.json if isinstance(self.json, dict) else {}

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return the objects in a list of the body."""
        value = self.data.get(name)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return {key: values[0] for key, values in parse_qs(self.raw.decode("utf-8", "replace")).items()}
