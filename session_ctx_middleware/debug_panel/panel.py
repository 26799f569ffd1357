"""The debug panel: keeps what the last requests did with their contexts, and shows it to browsers on this machine."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access import SCOPE_KEY
from ..checks import flag, whole
from ..clock import Clock
from ..context import SessionContext
from ..errors import ConfigurationError, SessionContextError
from ..events import ContextEvent, Events
from ..observing import Call
from ..same_origin import local_target
from ..watching import Watcher
from .answers import page_of
from .attribution import OwnedCall
from .page import Shown
from .records import RequestRecord
from .visitors import Visitors, host_name
from .watched import Watched, watched

__all__ = ["DebugPanel"]

MOST_REQUESTS: Final = 500
CALLS_OF_ONE: Final = 8
MOST_ELSEWHERE: Final = 20
LINK: Final = b"x-debug-token-link"
"""The header field in which Symfony's profiler tells developers where a request is shown."""
SHOWN: Final = frozenset({"GET", "HEAD"})

_current: ContextVar[RequestRecord | None] = ContextVar("session_ctx_debug_panel", default=None)


class DebugPanel(Watcher):
    """A page that shows what the last requests did with their session contexts: ``debug_panel=DebugPanel()``.

    For browsers on this machine alone; for everybody else it is not there. It keeps the values of site, currency,
    language and location, names of fields, and the ends of cart ids: no token, cookie, session id or value of an
    attribute. Give one object to several middlewares, and it shows the requests of all of them.

    Args:
        path: where the page is.
        hosts: host names besides ``localhost``, ``*.localhost`` and loopback addresses under which it may be asked for.
        requests: how many requests it keeps, at most 500.
        behind_proxy: whether a proxy on this machine stands in between; then the addresses that it names as its
            clients have to be of this machine, and one that names none has to serve nobody else.

    Raises:
        ConfigurationError: a value cannot work.
    """

    def __init__(
        self,
        path: str = "/__session_ctx",
        *,
        hosts: Collection[str] = (),
        requests: int = 50,
        behind_proxy: bool = False,
    ) -> None:
        self.path: Final = _checked_path(path)
        self._visitors = Visitors(_checked_hosts(hosts), flag(behind_proxy, "behind_proxy=..."))
        kept = whole(requests, "requests", at_most=MOST_REQUESTS)
        self._records: deque[RequestRecord] = deque(maxlen=kept)
        self._calls: deque[OwnedCall] = deque(maxlen=kept * CALLS_OF_ONE)
        self._elsewhere: deque[ContextEvent] = deque(maxlen=MOST_ELSEWHERE)
        self._numbers = itertools.count(1)
        self._untouched = 0
        self._key = secrets.token_bytes(32)
        self._told = False
        self.hooks = (self._tell,)
        self.on_call = self._call

    # What the middleware asks

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an application that shows the panel, and else what it did."""
        return _Application(app, self)

    def context(self, kind: type[SessionContext]) -> type[SessionContext]:
        """Return a class of contexts that note what is done with them."""
        return watched(kind, self)

    def begins(self, events: Events) -> None:
        """Tell operators that the panel is on, once."""
        if not self._told:
            self._told = True
            events.emit(ContextEvent(name="panel.on", operation="start", outcome="local clients"))

    # What the contexts ask

    def begin(self, tenant: str, clock: Clock) -> RequestRecord:
        """Return a record of a request that begins now."""
        outer = _current.get()
        inside = outer if outer is not None and outer.ended is None else None
        record = RequestRecord(next(self._numbers), tenant, clock, inside)
        # Not taken back where the request ends: what becomes of its changes is told after that.
        _current.set(record)
        return record

    def keep(self, record: RequestRecord) -> None:
        """List a record: its request has touched its context."""
        if not record.is_listed:
            record.list()
            self._records.append(record)

    @contextmanager
    def following(self, record: RequestRecord) -> Iterator[None]:
        """Take what is told inside the block for what a request has brought about."""
        before = _current.get()
        _current.set(record)
        try:
            yield
        finally:  # not by its token: what is cut short may end in another context
            _current.set(before)

    def owner(self, token: str) -> bytes:
        """Return what stands for a token, in this panel only."""
        return blake2b(token.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    # What the application asks

    def serves(self, scope: Scope) -> bool:
        """Tell whether this asks for the page, and may."""
        path: str = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        return path == self.path and scope.get("method") in SHOWN and self._visitors.admit(scope)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page."""
        shown = Shown(
            middleware=scope[SCOPE_KEY].middleware,
            records=[*self._records],
            calls=[*self._calls],
            elsewhere=[*self._elsewhere],
            untouched=self._untouched,
        )
        await page_of(shown)(scope, receive, send)

    def link_to(self, record: RequestRecord, scope: Scope) -> bytes | None:
        """Return where a request is shown, to who may see it."""
        if not record.is_listed or not self._visitors.admit(scope):
            return None
        host = Request(scope).headers["host"]
        root: str = scope.get("root_path", "")
        return f"{scope['scheme']}://{host}{quote(root + self.path)}#r{record.number}".encode("latin-1")

    def pass_over(self, record: RequestRecord) -> None:
        """Take no further note of a request: it is one for the page."""
        _current.set(record.outer)

    def ends(self, record: RequestRecord) -> None:
        """Note that a request has ended."""
        self._untouched += not record.is_listed
        if record.outer is not None:
            _current.set(record.outer)

    # What happens

    def _tell(self, event: ContextEvent) -> None:
        record = _current.get()
        if record is None:
            self._elsewhere.append(event)
        else:
            record.tell(event)

    def _call(self, call: Call, token: str | None) -> None:
        owner = None if token is None else self.owner(token)
        self._calls.append(OwnedCall(call, owner, _current.get()))


class _Application:
    """What the middleware calls in place of the application.

    Args:
        app: the application.
        panel: that shows what it did.
    """

    def __init__(self, app: ASGIApp, panel: DebugPanel) -> None:
        self.app = app
        self._panel = panel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = scope.get(SCOPE_KEY)
        record = context.recorded_for(self._panel) if isinstance(context, Watched) else None
        if not isinstance(context, Watched) or record is None or record.has_begun:
            await self.app(scope, receive, send)  # a start of the server, or a middleware inside one for the same shop
        elif scope["type"] == "http" and self._panel.serves(scope):
            self._panel.pass_over(record)
            await self._panel.serve(scope, receive, send)
        else:
            await self._follow(context, record, scope, receive, send)

    async def _follow(
        self, context: Watched, record: RequestRecord, scope: Scope, receive: Receive, send: Send
    ) -> None:
        record.begin(scope)
        error: BaseException | None = None
        try:
            await self.app(scope, receive, self._linking(record, scope, send))
        except BaseException as raised:
            error = raised
            raise
        finally:
            if isinstance(error, SessionContextError):
                self._panel.keep(record)
            record.end(scope, context.facts(), error)
            self._panel.ends(record)

    def _linking(self, record: RequestRecord, scope: Scope, send: Send) -> Send:
        if scope["type"] != "http":
            return send
        asked = {**scope}  # routers change it

        async def send_wrapper(message: Message) -> None:
            link = self._panel.link_to(record, asked) if message["type"] == "http.response.start" else None
            if link is not None:
                message = {**message, "headers": [*message.get("headers", ()), (LINK, link)]}
            await send(message)

        return send_wrapper


def _checked_path(path: object) -> str:
    if isinstance(path, str) and path.strip("/") and "?" not in path and local_target(path, "") == path:
        return path
    raise ConfigurationError("DebugPanel(path) must be a path of this shop, such as '/__session_ctx'.")


def _checked_hosts(hosts: object) -> frozenset[str]:
    several = list(hosts) if isinstance(hosts, Collection) and not isinstance(hosts, str) else [None]
    names = [host_name(host) if isinstance(host, str) else None for host in several]
    if None in names:
        raise ConfigurationError("DebugPanel(hosts=...) must be a list of host names, such as ['shop.test'].")
    return frozenset(name for name in names if name is not None)
