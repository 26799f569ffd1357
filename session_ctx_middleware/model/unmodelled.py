"""What FastAPI is told where an endpoint annotates something of the session context as data of its own."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import ConfigurationError

__all__ = ["Unmodelled"]


class Unmodelled:
    """Refuses to be a model of pydantic, which asks when the application is built, and says what to write instead."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> NoReturn:
        raise ConfigurationError(
            f"{cls.__name__} is no model of pydantic. For a parameter write ctx: SessionCtx (of "
            "session_ctx_middleware.fastapi), without Depends, | None or a default; to return it, leave the annotation "
            "of the return value out, or write @app.get(..., response_model=None)."
        )
