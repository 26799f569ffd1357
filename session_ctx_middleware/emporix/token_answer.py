"""What token endpoints answer (RFC 6749, section 5.1), in all the spellings that Emporix uses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..checks import is_visible
from ..errors import MalformedAnswer
from ..model.personal import Personal

__all__ = ["SHORT_LIFE", "TokenAnswer", "ValidToken", "json_object", "seconds_in"]

SHORT_LIFE: Final = 60.0
"""Seconds for which a token is used whose answer does not say how long it lives; one that ends before is refused."""
MAX_SESSION_ID: Final = 256


@dataclass(frozen=True, slots=True, repr=False)
class TokenAnswer(Personal):
    """What a token endpoint has answered.

    Args:
        access_token: goes behind ``Bearer``.
        expires_in: seconds for which the access token is good; a minute where the answer does not say.
        refresh_token: gets the next access token, `None` where there is none.
        refresh_expires_in: seconds for which that is good, `None` where the answer does not say.
        session_id: of the Emporix session, `None` where the answer does not say.
        saas_token: of a customer, for carts and orders; `None` where there is none.
    """

    access_token: str
    expires_in: float
    refresh_token: str | None = None
    refresh_expires_in: float | None = None
    session_id: str | None = None
    saas_token: str | None = None

    def _outline(self) -> str:
        return f"expires_in={self.expires_in:g}"

    @classmethod
    def parse(cls, operation: str, data: Mapping[str, object], status: int | None = None) -> TokenAnswer:
        """Return what an answer says; both spellings of each name are known, and numbers may be texts.

        Args:
            operation: the name of the call, for the error.
            data: the JSON object.
            status: of the answer, for the error.

        Raises:
            MalformedAnswer: there is no access token in it that can be sent.
        """
        access = _text(data, "access_token", "accessToken")
        if access is None:
            raise MalformedAnswer(operation, status, "no usable access token")
        return cls(
            access,
            seconds_in(data, "expires_in", "expiresIn") or SHORT_LIFE,
            _text(data, "refresh_token", "refreshToken"),
            seconds_in(data, "refresh_token_expires_in", "refreshTokenExpiresIn"),
            _session_id(data),
            _text(data, "saas_token", "saasToken"),
        )


@dataclass(frozen=True, slots=True, repr=False)
class ValidToken(Personal):
    """What a customer's token is good for.

    Args:
        session_id: of the Emporix session, `None` where the answer does not say.
        email: of the customer, `None` where the answer does not say.
        legal_entity_id: the company that the customer acts for; `None` for nobody else.
        expires_in: seconds for which the token is good, `None` where the answer does not say.
    """

    session_id: str | None = None
    email: str | None = None
    legal_entity_id: str | None = None
    expires_in: float | None = None

    def _outline(self) -> str:
        return "" if self.expires_in is None else f"expires_in={self.expires_in:g}"

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> ValidToken:
        """Return what an answer says; what is not a text, or empty, is as good as missing.

        Args:
            data: the JSON object.
        """
        email = data.get("email")
        return cls(
            _session_id(data),
            email if isinstance(email, str) and email else None,
            _text(data, "legalEntityId"),
            seconds_in(data, "expires_in", "expiresIn"),
        )


def json_object(body: bytes | None) -> Mapping[str, object]:
    """Return the JSON object that a body holds, an empty one where it holds none."""
    try:
        # Lenient on purpose: a NaN as the life of a token is as good as none.
        data = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _text(data: Mapping[str, object], *names: str) -> str | None:
    return next((value for name in names if is_visible(value := data.get(name))), None)


def _session_id(data: Mapping[str, object]) -> str | None:
    texts = [value for name in ("sessionId", "session_id") if isinstance(value := data.get(name), str)]
    return next((text for text in texts if 0 < len(text) <= MAX_SESSION_ID and text.isprintable()), None)


def seconds_in(data: Mapping[str, object], *names: str) -> float | None:
    """Return how long a token lives (``expires_in``, RFC 6749, section 5.1), `None` where nothing usable says so.

    Args:
        data: of the answer.
        names: under which it may stand, as a number or as a text.
    """
    for name in names:
        value = data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            seconds = float(value)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None
