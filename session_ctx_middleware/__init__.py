"""The Emporix session context in every Starlette or FastAPI request, at the price of a dictionary look-up."""

from .access import SessionState, get_session_context
from .context import SessionContext
from .engine import Commit
from .errors import (
    CartNotFound,
    ChangeRefused,
    CommitConflict,
    ConfigurationError,
    ContextFull,
    ContextNotFound,
    ContextNotLoaded,
    ContextSealed,
    ContextUnavailable,
    EmporixError,
    EmporixFailed,
    EmporixNotAsked,
    EmporixUnreachable,
    InvalidChange,
    LoginRefused,
    MalformedAnswer,
    NoToken,
    SessionContextError,
    SharedCacheLeak,
    TokenRejected,
    TooManyRequests,
    UnknownField,
    VersionConflict,
)
from .events import ContextEvent
from .middleware import SessionContextMiddleware
from .model.document import ContextDocument
from .model.transition import Transition
from .model.view import ContextDefaults
from .policies import CachePolicy, ContinuityPolicy, UpstreamPolicy
from .tokens import BearerToken, CookieToken, StorefrontToken

__all__ = [
    "BearerToken",
    "CachePolicy",
    "CartNotFound",
    "ChangeRefused",
    "Commit",
    "CommitConflict",
    "ConfigurationError",
    "ContextDefaults",
    "ContextDocument",
    "ContextEvent",
    "ContextFull",
    "ContextNotFound",
    "ContextNotLoaded",
    "ContextSealed",
    "ContextUnavailable",
    "ContinuityPolicy",
    "CookieToken",
    "EmporixError",
    "EmporixFailed",
    "EmporixNotAsked",
    "EmporixUnreachable",
    "InvalidChange",
    "LoginRefused",
    "MalformedAnswer",
    "NoToken",
    "SessionContext",
    "SessionContextError",
    "SessionContextMiddleware",
    "SessionState",
    "SharedCacheLeak",
    "StorefrontToken",
    "TokenRejected",
    "TooManyRequests",
    "Transition",
    "UnknownField",
    "UpstreamPolicy",
    "VersionConflict",
    "get_session_context",
]
