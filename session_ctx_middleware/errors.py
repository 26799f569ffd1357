"""Every error this package raises.

    SessionContextError
    ├── ConfigurationError        built with values that cannot work
    ├── ContextNotLoaded          a value was read before the context was loaded
    ├── ContextSealed             a change was recorded after the response had started
    ├── InvalidChange             a value that Emporix could not hold (also a ValueError)
    ├── UnknownField              a name that the session context does not have (also a LookupError)
    ├── ContextUnavailable        Emporix could not be asked, or did not answer in time
    │   └── NoToken               the request brought no token, so there is no session to ask about
    ├── CommitConflict            others kept changing the context until the attempts were used up
    ├── SharedCacheLeak           strict mode: a personal response was declared cacheable for everybody
    └── EmporixError              one call to Emporix did not do what it was asked to
        ├── EmporixNotAsked       this process did not call: too much is waiting, failing, or asked to pause
        ├── EmporixUnreachable    no answer: connection, timeout
        ├── EmporixFailed         5xx, or an answer that no rule expects
        ├── MalformedAnswer       an answer that is not what the API promises
        ├── TooManyRequests       429
        ├── ContextNotFound       404
        ├── CartNotFound          404 of the Cart Service
        ├── VersionConflict       409, 412
        ├── TokenRejected         401, and 403 on reading
        ├── LoginRefused          400, 401, 403, 404 on logging in
        └── ChangeRefused         400, 403, 413, 414, 415, 422, 431 on writing
            └── ContextFull       attributes that would make the context too large to be read

No text of an error contains a token, a cookie, a session id or a value of a document.
"""

from __future__ import annotations

__all__ = [
    "CartNotFound",
    "ChangeRefused",
    "CommitConflict",
    "ConfigurationError",
    "ContextFull",
    "ContextNotFound",
    "ContextNotLoaded",
    "ContextSealed",
    "ContextUnavailable",
    "EmporixError",
    "EmporixFailed",
    "EmporixNotAsked",
    "EmporixUnreachable",
    "InvalidChange",
    "LoginRefused",
    "MalformedAnswer",
    "NoToken",
    "SessionContextError",
    "SharedCacheLeak",
    "TokenRejected",
    "TooManyRequests",
    "UnknownField",
    "VersionConflict",
]


class SessionContextError(Exception):
    """Base of every error of this package."""


class ConfigurationError(SessionContextError):
    """The middleware, a client or a store was built with values that cannot work."""


class ContextNotLoaded(SessionContextError):
    """A value was read before the context was loaded."""

    def __init__(self) -> None:
        super().__init__(
            "The session context has not been loaded in this request. Write "
            "`await request.state.session_ctx` before reading from it, or build the middleware with "
            "`preload=True` if your templates and endpoints are synchronous."
        )


class ContextSealed(SessionContextError):
    """A change was recorded after the response had started, when no commit would have sent it."""

    def __init__(self) -> None:
        super().__init__(
            "The response has started, so this change would not be sent with it. Record changes before the "
            "response, or write `async with ctx.late_changes():` in streaming bodies and background tasks."
        )


class InvalidChange(SessionContextError, ValueError):
    """A value was recorded that the session context cannot hold."""


class UnknownField(SessionContextError, LookupError):
    """A field was named that the session context does not have."""


class ContextUnavailable(SessionContextError):
    """Emporix could not be asked, or did not answer in time."""


class NoToken(ContextUnavailable):
    """The request brought no token, so there is no session whose context could be read or changed."""

    def __init__(self) -> None:
        super().__init__(
            "No token was found in this request. Check SessionContextMiddleware(token=...): BearerToken() reads the "
            "Authorization header, CookieToken('name') a cookie; or answer as for a visitor without a session."
        )


class CommitConflict(SessionContextError):
    """Other writers kept changing the context until the attempts of this commit were used up."""


class SharedCacheLeak(SessionContextError):
    """A response that depends on the session context was declared cacheable for everybody."""


class EmporixError(SessionContextError):
    """One call to Emporix did not do what it was asked to.

    Args:
        operation: the name of the call, such as ``context.get``.
        status: the HTTP status, ``None`` where no answer came.
        reason: what went wrong, in words of our own; never text from the answer, which could quote data.
        retry_after: seconds that Emporix asked to be left alone, ``None`` where it did not.
    """

    def __init__(
        self,
        operation: str,
        status: int | None = None,
        reason: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        answer = "no answer" if status is None else f"status {status}"
        super().__init__(f"{operation}: {answer}" + (f", {reason}" if reason else ""))
        self.operation = operation
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    def again(self) -> EmporixError:
        """Return an equal error: one instance raised to many callers would collect all their tracebacks."""
        return type(self)(self.operation, self.status, self.reason, retry_after=self.retry_after)

    def __reduce__(self) -> tuple[type[EmporixError], tuple[object, ...]]:
        return type(self), (self.operation, self.status, self.reason)


class EmporixNotAsked(EmporixError):
    """No call was made, to protect Emporix and this process: nothing can have happened there."""


class EmporixUnreachable(EmporixError):
    """No answer came: the connection failed, broke or timed out."""


class EmporixFailed(EmporixError):
    """Emporix answered with a server error or a status that no rule expects, or something else in its place."""


class MalformedAnswer(EmporixError):
    """The answer is not what the API promises: not JSON, too large, or without a usable version."""


class TooManyRequests(EmporixError):
    """Emporix asks to be left alone for a while (429)."""


class ContextNotFound(EmporixError):
    """Emporix has no such context, or not in this version (404).

    The session id that the body of an authenticated 404 may carry is kept in ``session_id``, outside the text.
    """

    def __init__(
        self, operation: str, status: int | None = 404, reason: str = "", *, session_id: str | None = None
    ) -> None:
        super().__init__(operation, status, reason)
        self.session_id = session_id

    def again(self) -> ContextNotFound:
        """Return an equal error, as `EmporixError.again` does."""
        return type(self)(self.operation, self.status, self.reason, session_id=self.session_id)


class CartNotFound(EmporixError):
    """Emporix has no such cart: it was ordered, has ended, or is somebody else's (404)."""


class VersionConflict(EmporixError):
    """The version sent is not the current one (409, 412)."""


class TokenRejected(EmporixError):
    """Emporix does not accept the token (401, and 403 on reading)."""


class LoginRefused(EmporixError):
    """Emporix does not log this customer in: another password, another code, or nobody of that name."""


class ChangeRefused(EmporixError):
    """Emporix does not accept this change (400, 403, 422, or too large: 413, 414, 415, 431)."""


class ContextFull(ChangeRefused):
    """The attributes would make the context so large that no answer with it could be read; nothing was sent."""
