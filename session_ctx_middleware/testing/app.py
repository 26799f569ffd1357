"""FakeEmporix: the platform as one ASGI application."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from . import accounts, control
from .answers import Answer, json_answer, refusal, unauthorized, unrouted
from .fake_carts import FakeCarts
from .fake_session import FakeSession, text
from .faults import Call, Calls, ConnectionDropped, Fault, Faults
from .grants import saas_grant
from .quirks import Quirks
from .records import Session
from .request import Incoming
from .routes import Route, check_pattern, find_route
from .transport import build_client, disconnected, drop_connection
from .world import ACCESS_SECONDS, CUSTOMER_SECONDS, FIELDS, World

__all__ = ["FakeEmporix"]


class FakeEmporix(FakeCarts):
    """An ASGI application that behaves like Emporix, quirks included.

    Args:
        tenant: the only tenant it knows.
        context_at: when a context appears: with the first cart, or after anonymous login.
        context_delay: seconds after anonymous login until it appears.
        latency: seconds that every call takes at least.
        replica_lag: seconds for which reading a context still answers what was before a write.
        same_values_raise_version: whether a PATCH that changes nothing raises the version.
        quirks: which reading is true where Emporix' sources contradict each other.
        more_sites: how many sites there are besides the two of the catalogue.
        seed: makes ids and tokens the same at every start; without it two starts never share one.
        now: seconds since the epoch; the system's clock by default.
    """

    storefront_client_id = accounts.STOREFRONT_CLIENT_ID
    client_id = accounts.CLIENT_ID
    client_secret = accounts.CLIENT_SECRET

    def __init__(
        self,
        tenant: str = "acme",
        *,
        context_at: Literal["cart", "login"] = "cart",
        context_delay: float = 0.0,
        latency: float = 0.0,
        replica_lag: float = 0.0,
        same_values_raise_version: bool = True,
        quirks: Quirks | None = None,
        more_sites: int = 0,
        seed: int | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        if context_at not in {"cart", "login"}:
            raise ValueError("FakeEmporix(context_at=...) is 'cart' or 'login'.")
        self.tenant = tenant
        self.latency = latency
        self.now = now or time.time
        self.calls = Calls()
        rng = random.SystemRandom() if seed is None else random.Random(seed)
        self._faults = Faults(rng)
        self._world = World(
            context_at=context_at,
            context_delay=context_delay,
            replica_lag=replica_lag,
            same_values_raise_version=same_values_raise_version,
            quirks=quirks or Quirks(),
            more_sites=more_sites,
            rng=rng,
            now=self._time,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    # What tests and demos look at

    def count(self, operation: str | None = None) -> int:
        """Return how many calls arrived: of an operation (``context.patch``), a service (``context``), or in all.

        Raises:
            ValueError: there is no such operation.
        """
        return self.calls.count(None if operation is None else check_pattern(operation))

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    def document(self, session_id: str) -> dict[str, Any] | None:
        """Return a copy of a session's context as it is now, `None` where there is none."""
        session = self._world.sessions.get(text(session_id, "session_id"))
        return None if session is None else copy.deepcopy(self._world.current(session))

    # What tests and demos do

    def fault(self, operation: str, fault: Fault, *, times: int | None = 1) -> None:
        """Let calls go wrong.

        Args:
            operation: an operation, a service, or ``*``.
            fault: how.
            times: how many calls; `None` until `clear_faults`.

        Raises:
            ValueError: there is no such operation.
        """
        self._faults.add(check_pattern(operation), fault, times)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def new_session(self, *, exists: bool = True, **fields: Any) -> FakeSession:
        """Begin an anonymous session without a call.

        Args:
            exists: whether it has a context.
            fields: ``site_code``, ``currency``, ``language``, ``target_location``, ``customer_id``, ``cart_id``,
                ``attributes`` of that context; `None` for a key that is absent.
        """
        session = self._world.new_session(appears=False)
        if exists:
            self._world.create(session, **_wire(fields))
        token = self._world.issue(session, 100 * 24 * ACCESS_SECONDS)
        return FakeSession(token, session.session_id, self._world.issue_refresh(session))

    def new_token(self, session_id: str) -> str:
        """Hand out another token of a session."""
        return self._world.issue(self._session(session_id), 100 * 24 * ACCESS_SECONDS)

    def login_code(self, email: str) -> str:
        """Return what stands for a customer once: the code of a social login, or of the mail that ends a sign-up.

        It is good as the subject token of a token exchange, too, and any number of times.

        Args:
            email: of the customer; somebody unknown gets an account with the login.
        """
        code = self._world.new_secret()
        self._world.codes[code] = email
        return code

    def assisted_buying(self, email: str) -> dict[str, str]:
        """Return the query with which the Management Dashboard opens a shop for a customer (assisted buying)."""
        customer, session = self._world.register(email), self._world.new_session()
        self._world.log_in(session, customer)
        return {
            "customerToken": self._world.issue(session, CUSTOMER_SECONDS, customer=customer),
            "customerTokenExpiresIn": str(CUSTOMER_SECONDS),
            "saasToken": saas_grant(self._world, customer)["saas_token"],
        }

    def create_context(self, session_id: str, **fields: Any) -> None:
        """Make a context appear, as if a cart had been created elsewhere; `fields` as in `new_session`."""
        self._world.create(self._session(session_id), **_wire(fields))

    def edit(self, session_id: str, **fields: Any) -> int:
        """Change a context as another writer would, by Emporix' names, and return the version that this makes."""
        return self._world.change(self._session(session_id), fields)

    def delete_context(self, session_id: str) -> None:
        """Make a context vanish."""
        self._world.delete(self._session(session_id))

    def recreate_context(self, session_id: str, **fields: Any) -> None:
        """Make a context vanish and appear anew: another creation time, version 1."""
        session = self._session(session_id)
        self._world.delete(session)
        self._world.create(session, **_wire(fields))

    def rewrite_context(self, session_id: str, document: Mapping[str, Any]) -> None:
        """Have a context be exactly this from now on, by Emporix' names.

        A backup that is restored does so, whose version is an earlier one; and whoever writes past the service's own
        checks, so that a value may be of any type.
        """
        self._world.rewrite(self._session(session_id), document)

    def revoke(self, token: str) -> None:
        """Refuse a token from now on."""
        self._world.access.pop(text(token, "token"), None)

    def client(self, module: Any, **options: Any) -> Any:
        """Return an ``AsyncClient`` of httpx or httpx2 whose calls arrive here, in this process.

        Args:
            module: `httpx` or `httpx2`.
            options: keywords of the client.
        """
        return build_client(self, module, options, self._time)

    # Inside

    def _time(self) -> float:
        return self.now()  # looked up each time: a test may set another clock

    def _session(self, session_id: str) -> Session:
        return self._world.sessions[text(session_id, "session_id")]

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw_path = scope.get("raw_path") or scope["path"].encode()
        path = raw_path.decode("latin-1").partition("?")[0]
        body = await _body(receive)
        if path.startswith("/_fake/"):
            await _send(send, control.answer(self, scope["method"], path, scope["query_string"], body))
            return
        found = find_route(scope["method"], path)
        if found is None:
            await _send(send, unrouted())
            return
        route, values = found
        call = Incoming(
            world=self._world,
            method=route.method,
            path=path,
            values=values,
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
            raw=body,
        )
        try:
            answer = await self._answer(route, call, receive)
        except ConnectionDropped:
            self._record(route, call, None)
            if not await drop_connection(receive):
                raise
            return
        except asyncio.CancelledError:
            self._record(route, call, None)
            raise
        self._record(route, call, answer.status)
        await _send(send, answer)

    async def _answer(self, route: Route, call: Incoming, receive: Receive) -> Answer:
        fault = self._faults.strike(route.operation) or Fault()
        await _pause(self.latency + fault.delay)
        if fault.hang:
            await disconnected(receive)
            raise ConnectionDropped("before")
        if fault.drop == "before":
            raise ConnectionDropped("before")
        if fault.status is not None and not fault.apply:
            return _faulty(fault, refusal(fault.status, fault.by))
        answer = self._serve(route, call)
        if fault.status is not None:
            answer = refusal(fault.status, fault.by)
        await _pause(fault.delay_after)
        if fault.drop == "after":
            raise ConnectionDropped("after")
        return _faulty(fault, answer)

    def _serve(self, route: Route, call: Incoming) -> Answer:
        tenant = call.values.get("tenant", call.query.get("tenant", self.tenant))
        return route.service(call) if tenant == self.tenant else unauthorized("Invalid tenant")

    def _record(self, route: Route, call: Incoming, status: int | None) -> None:
        session_id = None if call.session is None else call.session.session_id
        self.calls.append(
            Call(
                operation=route.operation,
                method=route.method,
                path=call.path,
                status=status,
                session_id=session_id or call.values.get("session_id"),
                body=call.json,
            )
        )


def _wire(fields: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(fields.keys() - FIELDS.keys())
    if unknown:
        raise TypeError(f"A context has no {', '.join(unknown)}. It has {', '.join(FIELDS)}.")
    return {FIELDS[name]: value for name, value in fields.items()}


def _faulty(fault: Fault, answer: Answer) -> Answer:
    headers = {**answer.headers, **fault.headers}
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    status = fault.status or answer.status
    if isinstance(fault.body, bytes):
        return Answer(status if fault.status else 200, fault.body, headers)
    if fault.body is not None:
        return json_answer(fault.body, status if fault.status else 200, headers)
    return Answer(status, answer.body, headers)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, answer: Answer) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    if answer.status != 204:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if answer.status == 204 else answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
