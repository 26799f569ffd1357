"""Whoever reports an error with the local variables of its frames sends nothing of a shopper, and no secret, along."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from traceback import walk_tb
from types import FrameType
from typing import Any

import pytest

from session_ctx_middleware import (
    ConfigurationError,
    SessionContext,
    SessionContextError,
    SessionContextMiddleware,
    StorefrontToken,
    TokenRejected,
    UpstreamPolicy,
)
from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.frames import clear_frames
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .emporix.conftest import Upstream
from .support.asgi import middleware, never, scope_for
from .support.virtual_time import VirtualClock

TOKEN = "tokencanary" + "x" * 20
SECRETS = (
    "tokencanary",
    "sessioncanary",
    "valuecanary",
    "keycanary",
    "customercanary",
    "clientcanary",
    "servicecanary",
)
BODY = {"sessionId": "SessionCanary", "currency": "EUR", "context": {"k": "valuecanary"}, "metadata": {"version": 7}}


def spelled(value: object, depth: int = 0) -> str:
    """Return what an error tracker sends of a value: containers item by item, everything else by its `repr`."""
    if isinstance(value, str) or depth > 6:
        return str(value)
    if isinstance(value, bytes | bytearray):
        return str(bytes(value), "latin-1")
    if isinstance(value, Mapping):
        return "".join(f"{spelled(key, depth + 1)}={spelled(item, depth + 1)};" for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return "".join(spelled(item, depth + 1) for item in value)
    return repr(value)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what led to it, and what it consists of, whether it would be shown or not."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)
        for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from chain(each)


def frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of an error, but for those of tests: an application's are its own."""
    for each in chain(error):
        yield from (frame for frame, _ in walk_tb(each.__traceback__) if frame.f_globals["__name__"][:6] != "tests.")


def leaks(error: BaseException) -> list[str]:
    said = [
        f"{frame.f_code.co_name} {name}={text}"
        for frame in frames(error)
        for name, value in frame.f_locals.items()
        if any(secret in (text := spelled(value)).lower() for secret in SECRETS)
    ]
    told = [spelled([str(each), each.args]) for each in chain(error)]
    told += [spelled(vars(each)) for each in chain(error) if not isinstance(each, SessionContextError)]
    return said + [text for text in told if any(secret in text.lower() for secret in SECRETS)]


# What is tried, and what goes wrong

FAULTS = {
    "refused token": Fault(status=401),
    "refused change": Fault(status=422, body={"message": "valuecanary", "details": ["keycanary"]}),
    "conflict": Fault(status=409, body={"message": "SessionCanary"}),
    "failed": Fault(status=500, body=b"valuecanary"),
    "not JSON": Fault(body=b'{"sessionId": "SessionCanary", "valuecanary'),
    "not UTF-8": Fault(body=b'{"sessionId": "SessionCanary\xff"'),
    "no version": Fault(body=b'{"sessionId": "SessionCanary", "metadata": {"version": "valuecanary"}}'),
    "redirect": Fault(status=302, headers={"location": "https://evil.example/?t=SessionCanary"}),
    "lost": Fault(drop="before"),
    "lost answer": Fault(drop="after"),
    "silence": Fault(hang=True),
}


async def switch(ctx: SessionContext) -> None:
    ctx.switch(site_code="valuecanary", currency="USD")
    ctx.set_attribute("keycanary", {"a": ["valuecanary-2"]})
    await ctx.commit()


async def late(ctx: SessionContext) -> None:
    async with ctx.late_changes():
        ctx.set_attribute("keycanary", "valuecanary-3")


async def late_and_broken(ctx: SessionContext) -> None:
    async with ctx.late_changes():
        ctx.set_attribute("keycanary", "valuecanary-3")
        raise KeyError


async def conflicting(ctx: SessionContext) -> None:
    await ctx
    ctx.switch_site("valuecanary-4")
    await ctx.commit()


async def awaiting(ctx: SessionContext) -> None:
    await ctx


STEPS: dict[str, Callable[[SessionContext], Awaitable[object]]] = {
    "await": awaiting,
    "load": lambda ctx: ctx.load(required=True),
    "switch": switch,
    "late": late,
    "late and broken": late_and_broken,
    "refresh": SessionContext.refresh,
    "conflicting": conflicting,
    "cart": lambda ctx: ctx.cart_created("keycanary"),
    "forget": SessionContext.forget,
    "load in a thread": lambda ctx: asyncio.to_thread(lambda: ctx.currency),
}


def recorded(step: Callable[[], object]) -> BaseException | None:
    try:
        step()
    except BaseException as error:
        return error
    return None


def prepared(emporix: FakeEmporix) -> str:
    """Let all that Emporix has to say be secret."""
    session = emporix.new_session(customer_id="customercanary", attributes={"keycanary": "valuecanary"})
    world = emporix._world
    world.sessions["SessionCanary"] = held = world.sessions.pop(session.session_id)
    held.session_id = "SessionCanary"
    emporix.edit("SessionCanary", sessionId="SessionCanary", siteCode="valuecanary")
    world.access[TOKEN] = world.access[session.token]
    return TOKEN


async def nowhere(_: object) -> None:
    """Send nothing to anybody."""


def token_of(_: object) -> StorefrontToken:
    return StorefrontToken(TOKEN, session_id="SessionCanary")


@pytest.mark.parametrize("patience", [100.0, 0.3], ids=["patient", "cancelled"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("operation", ["context", "context.patch"])
async def test_context(emporix: FakeEmporix, http_library: Any, operation: str, fault: Fault, patience: float) -> None:
    """Every method of a context, whatever Emporix does, and when the application waits no longer."""
    prepared(emporix)
    emporix.fault(operation, fault, times=None)
    raised: list[BaseException] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        for name, step in STEPS.items():
            if name != "load in a thread":
                try:
                    async with asyncio.timeout(patience):
                        await step(scope["state"]["session_ctx"])
                except Exception as error:
                    raised.append(error)

    options = {"upstream": UpstreamPolicy(deadline=1.0, commit_deadline=2.0, max_attempts=2), "token": token_of}
    for _ in range(2):
        await middleware(page, emporix, http_library, **options)(scope_for(None), never, nowhere)

    assert len(raised) >= 2
    assert [leak for error in raised for leak in leaks(error)] == []


INVALID: list[Callable[[SessionContext], object]] = [
    lambda ctx: ctx.switch(site_code="valuecanary", currency="valuecanary"),
    lambda ctx: ctx.switch_site("value canary #" + "valuecanary"),
    lambda ctx: ctx.switch_currency("valuecanary"),
    lambda ctx: ctx.switch_language("valuecanary_"),
    lambda ctx: ctx.switch_location("valuecanary"),
    lambda ctx: ctx.set_attribute("keycanary" * 20, "valuecanary"),
    lambda ctx: ctx.set_attribute("keycanary", {"valuecanary": [float("nan")]}),
    lambda ctx: ctx.set_attribute("keycanary", "valuecanary" * 1000),
    lambda ctx: ctx.set_attribute("keycanary", "valuecanary\ud800"),
    lambda ctx: ctx.remove_attribute("keycanary\n"),
    lambda ctx: ctx.source("valuecanary"),
]


async def test_invalid_changes(emporix: FakeEmporix, http_library: Any) -> None:
    """A value that a context cannot hold is the shopper's all the same."""
    raised: list[BaseException | None] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await (ctx := scope["state"]["session_ctx"])
        raised.extend(recorded(lambda step=step: step(ctx)) for step in INVALID)  # type: ignore[misc]

    await middleware(page, emporix, http_library)(scope_for(prepared(emporix)), never, nowhere)

    assert all(raised)
    assert [leak for error in raised if error for leak in leaks(error)] == []


async def test_application_that_fails(emporix: FakeEmporix, http_library: Any) -> None:
    """An error of the application passes the middleware, whose frame has the headers of the request."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        ctx = await scope["state"]["session_ctx"]
        try:
            dict[str, str]()["first"]
        except KeyError:
            ctx.set_attribute("keycanary", "valuecanary")
            raise ValueError("second")  # noqa: B904 - the first one is its context

    app = middleware(middleware(page, emporix, http_library), emporix, http_library, preload=True)

    with pytest.raises(ValueError, match="second") as caught:
        await app(scope_for(prepared(emporix)), never, nowhere)

    assert leaks(caught.value) == []
    assert "page" in [frame.f_code.co_name for frame, _ in walk_tb(caught.value.__traceback__)]
    assert str(caught.value.__context__) == "'first'"


@pytest.mark.parametrize("preload", [True, False])
async def test_source_that_fails(emporix: FakeEmporix, http_library: Any, *, preload: bool) -> None:
    """A token source of the application keeps its own frame, and nothing else."""
    raised: list[tuple[list[str], list[str]]] = []

    async def source(_: object) -> str:
        raise LookupError("no such login")

    def note(error: BaseException) -> None:
        raised.append(([frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)], leaks(error)))

    async def page(scope: Any, receive: Any, send: Any) -> None:
        for name in ("await", "load in a thread", "switch", "late"):
            try:
                await STEPS[name](scope["state"]["session_ctx"])
            except LookupError as error:
                note(error)

    app = middleware(page, emporix, http_library, token=source, preload=preload)
    try:
        await app(scope_for(TOKEN), never, nowhere)
    except LookupError as error:
        note(error)

    assert len(raised) == (1 if preload else 4)
    assert "source" in raised[0][0]
    assert [leak for _, found in raised for leak in found] == []


async def test_end_of_a_request(emporix: FakeEmporix, http_library: Any) -> None:
    """A server that fails to send, and a browser that leaves: the note for the browser is in nobody's frame."""
    prepared(emporix)
    emporix.fault("context.patch", Fault(status=503), times=None)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        ctx = scope["state"]["session_ctx"]
        ctx.set_attribute("keycanary", "valuecanary")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def broken(message: Any) -> None:
        raise OSError("gone")

    app = middleware(page, emporix, http_library, token=token_of, secret_key="s" * 32)
    with pytest.raises(OSError, match="gone") as failed:
        await app(scope_for(None), never, broken)
    emporix.clear_faults()
    emporix.fault("context", Fault(hang=True), times=None)
    with pytest.raises(TimeoutError) as cancelled:
        async with asyncio.timeout(0.3):
            await app(scope_for(None), never, nowhere)

    assert leaks(failed.value) == []
    assert leaks(cancelled.value) == []


async def test_logged_exception(emporix: FakeEmporix, http_library: Any) -> None:
    """What the logging of an application gets to see, when it records frames."""
    prepared(emporix)
    emporix.fault("context.patch", Fault(status=401, body={"message": "valuecanary"}))
    seen: list[BaseException] = []

    class Tracker(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert record.exc_info is not None
            seen.extend([error] if (error := record.exc_info[1]) else [])

    log = logging.getLogger("an application")
    log.addHandler(tracker := Tracker())

    async def page(scope: Any, receive: Any, send: Any) -> None:
        try:
            await switch(scope["state"]["session_ctx"])
        except TokenRejected:
            log.exception("could not switch")

    try:
        await middleware(page, emporix, http_library, token=token_of)(scope_for(None), never, nowhere)
    finally:
        log.removeHandler(tracker)

    assert [type(error) for error in seen] == [TokenRejected]
    assert leaks(seen[0]) == []


# Platform clients

CALLS: dict[str, Callable[[Any, ManagedContextClient], Awaitable[object]]] = {
    "get": lambda own, _: own.get(TOKEN),
    "patch": lambda own, _: own.patch(TOKEN, {"context": {"keycanary": "valuecanary"}}),
    "patch that is no JSON": lambda own, _: own.patch(TOKEN, {"context": {"keycanary": {"valuecanary"}}}),
    "add": lambda own, _: own.add_attribute(TOKEN, "keycanary", "valuecanary"),
    "add an invalid one": lambda own, _: own.add_attribute(TOKEN, "keycanary", ["valuecanary"]),
    "remove": lambda own, _: own.remove_attribute(TOKEN, "keycanary"),
    "unusable token": lambda own, _: own.get("tokencanary\n"),
    "managed get": lambda _, managed: managed.get("SessionCanary"),
    "managed put": lambda _, managed: managed.put("SessionCanary", BODY, saas_token="tokencanary"),
    "managed put, unusable token": lambda _, managed: managed.put("SessionCanary", BODY, saas_token="tokencanary\n"),
    "managed add": lambda _, managed: managed.add_attribute("SessionCanary", "keycanary", {"a": "valuecanary"}),
    "managed remove": lambda _, managed: managed.remove_attribute("SessionCanary", "keycanary"),
}


class Unheard(BaseException):
    """What no HTTP client raises."""


WRONG: dict[str, Callable[[Upstream], object]] = {
    "refused": lambda upstream: upstream.answer(403, {"message": "valuecanary SessionCanary"}),
    "not found": lambda upstream: upstream.answer(404, {"message": "SessionCanary", "sessionId": "SessionCanary"}),
    "rejected": lambda upstream: upstream.answer(401, {"message": "valuecanary"}),
    "failed": lambda upstream: upstream.answer(500, b"valuecanary"),
    "garbage": lambda upstream: upstream.answer(200, b'{"sessionId": "SessionCanary", "valuecanary'),
    "too large": lambda upstream: upstream.answer(200, b"valuecanary" * 30_000),
    "broken": lambda upstream: upstream.fail(upstream.library.ReadError("valuecanary")),
    "hook of the application": lambda upstream: upstream.fail(ZeroDivisionError("hook")),
    "interrupted": lambda upstream: upstream.fail(Unheard()),  # type: ignore[arg-type]
    "cancelled": lambda upstream: upstream.fail(asyncio.CancelledError()),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_clients(http_library: Any, call: Callable[..., Awaitable[object]], wrong: Any) -> None:
    """Both clients of contexts, whatever Emporix, the HTTP library or a hook of the application does."""
    upstream = Upstream(http_library)
    upstream.oauth["access_token"] = "servicecanary"
    wrong(upstream)
    raised: BaseException | None = None

    async with http_library.AsyncClient(transport=http_library.MockTransport(upstream._handle)) as client:
        keywords = {"http_client": client, "clock": VirtualClock()}
        service = ServiceToken("acme", client_id="id", client_secret="clientcanary", **keywords)
        managed = ManagedContextClient("acme", service_token=service, **keywords)
        try:
            await call(OwnContextClient("acme", **keywords), managed)
        except BaseException as error:
            raised = error

    assert raised is not None or wrong is WRONG["garbage"] or wrong is WRONG["too large"]
    assert raised is None or leaks(raised) == []


@pytest.mark.parametrize("status", [200, 400, 429, 500])
async def test_service_token(http_library: Any, status: int) -> None:
    """The credentials of a service, and a token that it was not given."""
    upstream = Upstream(http_library)
    raised: list[BaseException] = []

    def handle(request: Any) -> Any:
        return http_library.Response(status, json={"access_token": "servicecanary\n", "error": "clientcanary"})

    async with http_library.AsyncClient(transport=http_library.MockTransport(handle)) as client:
        service = ServiceToken(
            "acme", client_id="id", client_secret="clientcanary", http_client=client, clock=VirtualClock()
        )
        for _ in range(2):
            try:
                await asyncio.gather(service.value(), service.value())
            except SessionContextError as error:
                raised.append(error)

    assert len(raised) == 2
    assert [leak for error in raised for leak in leaks(error)] == []
    assert upstream.token_requests == 0


SITE: Any = nowhere
WRONG_VALUES: list[Callable[[], object]] = [
    lambda: SessionContextMiddleware(SITE, tenant="no tenant", secret_key="clientcanary" * 3),
    lambda: SessionContextMiddleware(SITE, tenant="acme", secret_key=["clientcanary" * 3, "valuecanary"]),
    lambda: SessionContextMiddleware(SITE, tenant="acme", base_url="https://user:clientcanary@emporix.example"),
    lambda: ServiceToken("acme", client_id="id", client_secret="clientcanary", renew_before=-1),
    lambda: ServiceToken("acme", client_id="id", client_secret="clientcanary\n"),
    lambda: RedisStore("redis://:clientcanary@127.0.0.1/nowhere", budget=-1),
    lambda: RedisStore("nonsense://:clientcanary@127.0.0.1"),
    lambda: RedisStore("redis://127.0.0.1", encryption_key=b"clientcanary"),
]


@pytest.mark.parametrize("build", WRONG_VALUES, ids=range(len(WRONG_VALUES)))
def test_configuration(build: Callable[[], object]) -> None:
    """What is wrong with one value tells nothing of the secrets next to it."""
    error = recorded(build)

    assert isinstance(error, ConfigurationError)
    assert leaks(error) == []


# The device itself


def of_ours(source: str, name: str) -> Any:
    """Return a function as if a module of the package had it."""
    names: dict[str, Any] = {"__name__": "session_ctx_middleware.ours"}
    exec(source, names)
    return names[name]


READ = """
def read(raw):
    try:
        return raw.decode()
    except UnicodeError:
        raise RuntimeError("unreadable") from None
"""


def test_links_of_errors() -> None:
    """What the application was doing stays linked; what was raised and handled inside is left out."""

    def page() -> None:
        try:
            dict[str, str]()["the application's"]
        except KeyError:
            of_ours(READ, "read")(b"valuecanary\xff")

    error = recorded(page)
    assert error is not None
    assert leaks(error)

    assert clear_frames(error) is error
    assert leaks(error) == []
    assert [type(each) for each in chain(error)] == [RuntimeError, KeyError]
    assert error.__suppress_context__


@dataclass(frozen=True)
class Frozen(Exception):
    """An exception of an application, nothing of which can be set."""

    why: str


def test_frozen_exception() -> None:
    """Whatever exceptions an application has, they come through."""

    def page() -> None:
        try:
            of_ours(READ, "read")(b"valuecanary\xff")
        except RuntimeError:
            raise Frozen("closed")  # noqa: B904 - ours is its context

    error = recorded(page)
    assert isinstance(error, Frozen)
    ours = error.__context__
    assert leaks(error)

    assert leaks(clear_frames(error)) == []
    assert error.__context__ is ours


def test_groups_and_circles() -> None:
    """Groups are cleared member by member, and errors that lead to each other end."""
    fail = of_ours("def fail(secret):\n    raise LookupError\n", "fail")
    members = [recorded(lambda secret=secret: fail(secret)) for secret in SECRETS]  # type: ignore[misc]
    group = BaseExceptionGroup("several", [each for each in members if each])
    first, second = group.exceptions[:2]
    first.__context__, second.__context__ = None, first

    assert leaks(group)
    assert leaks(clear_frames(group)) == []
    first.__context__, second.__context__ = second, first
    assert clear_frames(group) is group


def test_many_errors_in_a_row() -> None:
    """However many errors led to the last one, as where a recursion has no end, that one leaves."""
    fail = of_ours("def fail(secret):\n    raise LookupError\n", "fail")
    first = recorded(lambda: fail(SECRETS[0]))
    assert first is not None
    errors: list[BaseException] = [first]
    for number in range(5_000):
        errors.append(KeyError(number))
        errors[-1].__context__ = errors[-2]

    try:
        cleared = clear_frames(errors[-1])
        assert cleared is errors[-1]
        assert leaks(first) == []
    finally:
        for each in errors:  # pytest would take them apart one inside the other
            each.__context__ = None


def test_every_public_method_is_covered() -> None:
    """A method that is added to one of these later is covered without another line."""
    for kind in (SessionContext, OwnContextClient, ManagedContextClient, ServiceToken):
        methods = {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}

        assert methods
        assert [name for name, value in methods.items() if not hasattr(value, "__wrapped__")] == []
