"""Requests per second over real sockets: uvicorn with a shop that reads the context, against the same shop without."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from jinja2 import Template
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from session_ctx_middleware import SessionContextMiddleware

from .figures import Effort, Figure, Plot, Section
from .processes import Server, serve, serve_platform

__all__ = ["application", "run"]

KIND: Final = "BENCHMARK_KIND"
PLATFORM: Final = "BENCHMARK_PLATFORM"
LATENCY: Final = 0.05
SECONDS: Final = 3.0
CONNECTIONS: Final = 16
FEWER: Final = 3
"""Times as few rounds with the other engines: processor time varies little."""
CONNECTIONS_OF_SEVERAL: Final = 256
"""uvicorn's workers leave Nagle's algorithm on, so that each answer on asyncio takes 40 ms; more of them fill it up."""
SESSIONS: Final = 199
ONE_IN: Final = 20
GOAL: Final = 0.45
ENGINES: Final = (("h11", "asyncio"), ("h11", "uvloop"), ("httptools", "asyncio"), ("httptools", "uvloop"))
"""Parser of HTTP and event loop; the first one serves all cases, the others those that a goal is about."""

PAGE: Final = Template(
    """<!doctype html><html lang="{{ language }}"><head><title>Shop</title></head><body>
<header><p>{{ site }} / {{ currency }} / {{ language }} / {{ location }}</p><a href="/cart/{{ cart }}">Cart</a></header>
<main>{% for number in range(30) %}<article><h2>Product {{ number }}</h2>
<p>Delivered to {{ location }} within three days, at no extra cost.</p><b>{{ 10 + number }}.00 {{ currency }}</b>
</article>{% endfor %}</main></body></html>""",
    autoescape=True,
)


@dataclass(frozen=True, slots=True)
class Constant:
    """What the bare shop shows instead of a context."""

    site_code: str = "main"
    currency: str = "EUR"
    language: str = "en"
    target_location: str = "DE"
    cart_id: str = "0123456789abcdef01234567"


CONSTANT: Final = Constant()


def application() -> Starlette:
    """Build the shop: with or without the middleware, as the environment says."""
    if os.environ[KIND] in BARE:
        return Starlette(
            routes=[
                Route("/page", _bare_page),
                Route("/text", _bare_text),
                Route("/key", _key),
                Route("/session", _session_page),
            ],
            middleware=BARE[os.environ[KIND]],
        )
    middleware = Middleware(SessionContextMiddleware, tenant="acme", base_url=os.environ[PLATFORM])
    routes = [Route("/page", _page), Route("/text", _text), Route("/switch", _switch, methods=["POST"])]
    return Starlette(routes=routes, middleware=[middleware])


class NoOp:
    """The least that an ASGI middleware can be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self.app(scope, receive, send)


BARE: Final[dict[str, list[Middleware]]] = {
    "bare": [],
    "no-op": [Middleware(NoOp)],
    "session": [Middleware(SessionMiddleware, secret_key="0123456789abcdef0123456789abcdef")],
}


async def _key(request: Request) -> Response:
    """Read one key, and write it the first time: SessionMiddleware signs and sends its cookie again each time."""
    return PlainTextResponse(request.session.setdefault("currency", CONSTANT.currency))


async def _session_page(request: Request) -> Response:
    """Render the page with the key that `_key` reads."""
    return _render(Constant(currency=request.session.setdefault("currency", CONSTANT.currency)))


async def _bare_page(_: Request) -> Response:
    return _render(CONSTANT)


async def _bare_text(_: Request) -> Response:
    return PlainTextResponse(CONSTANT.currency)


async def _page(request: Request) -> Response:
    return _render(await request.state.session_ctx)


async def _text(request: Request) -> Response:
    return PlainTextResponse((await request.state.session_ctx).currency)


async def _switch(request: Request) -> Response:
    request.state.session_ctx.switch(currency=request.query_params["currency"])
    return PlainTextResponse("switched")


def _render(ctx: Any) -> Response:
    return HTMLResponse(
        PAGE.render(
            site=ctx.site_code,
            currency=ctx.currency,
            language=ctx.language,
            location=ctx.target_location,
            cart=ctx.cart_id,
        )
    )


SCRIPT: Final = """
local path, every, kind = "%(path)s", %(every)d, "%(kind)s"
local number, currencies = 0, {"CHF", "USD", "GBP", "EUR"}
function request()
  number = number + 1
  local token, method, target = "t" .. (number %% %(sessions)d), "GET", path
  if every > 0 and number %% every == 0 then
    if kind == "miss" then
      token = "new%(round)d-" .. number
    else
      method, target = "POST", "/switch?currency=" .. currencies[math.floor(number / every / %(sessions)d) %% 4 + 1]
    end
  end
  return wrk.format(method, target, {["Authorization"] = "Bearer " .. token})
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{"requests": %%d, "duration": %%d, "errors": %%d, "p50": %%d, "p99": %%d, "p999": %%d}\\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(slots=True)
class Case:
    """One row: a way to load the shop, and what its rounds have brought.

    Args:
        title: what it is.
        path: the page.
        workers: processes of the server.
        kind: a name in `BARE`, ``hit``, ``miss`` or ``switch``; the last two with every 20th request.
        engine: parser of HTTP and event loop.
        results: of wrk, one of each round; times are microseconds.
    """

    title: str
    path: str
    workers: int
    kind: str
    engine: tuple[str, str] = ENGINES[0]
    results: list[dict[str, float]] = field(default_factory=list)

    @property
    def server(self) -> str:
        """Return which of the applications is loaded."""
        return self.kind if self.kind in BARE else "shop"

    def rates(self) -> list[float]:
        """Return requests per second, of each round."""
        return [result["requests"] / result["duration"] * 1e6 for result in self.results]

    def cpu(self) -> float:
        """Return microseconds of processor time per request, in the server; the median over the rounds."""
        return statistics.median(result["cpu"] / result["requests"] for result in self.results)

    def median(self, name: str) -> float:
        """Return the median over the rounds in milliseconds."""
        return statistics.median(result[name] for result in self.results) / 1000


def _cases(effort: Effort) -> list[list[Case]]:
    """Return groups; the first case of each is what the others are compared with, round by round."""
    one = _promised()
    text = [Case("plain text, bare", "/text", 1, "bare"), Case("plain text, cached context", "/text", 1, "hit")]
    text += [
        Case("plain text, no-op middleware", "/text", 1, "no-op"),
        Case("plain text, SessionMiddleware", "/key", 1, "session"),
    ]
    if effort.quick:
        return [one, text]
    one += [Case("page, 5 % misses", "/page", 1, "miss"), Case("page, 5 % switches", "/page", 1, "switch")]
    two = [Case("page, bare", "/page", 2, "bare"), Case("page, cached context", "/page", 2, "hit")]
    return [one, text, two, *(_promised(engine) for engine in ENGINES[1:] if find_spec(engine[1]))]


def _promised(engine: tuple[str, str] = ENGINES[0]) -> list[Case]:
    """Return the cases that the goal is about."""
    return [
        Case("page, bare", "/page", 1, "bare", engine),
        Case("page, cached context", "/page", 1, "hit", engine),
        Case("page, SessionMiddleware", "/session", 1, "session", engine),
    ]


def _load(server: Server, case: Case, number: int, seconds: float) -> dict[str, float]:
    """Run wrk for some seconds."""
    options = {
        "path": case.path,
        "every": ONE_IN if case.kind in {"miss", "switch"} else 0,
        "kind": case.kind,
        "round": number,
        "sessions": SESSIONS,
    }
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "load.lua"
        script.write_text(SCRIPT % options, "utf-8")
        connections = CONNECTIONS if case.workers == 1 else CONNECTIONS_OF_SEVERAL
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), server.url]
        before = server.cpu_seconds()
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        used = server.cpu_seconds() - before
    result: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return {**result, "cpu": used * 1e6}


def _measure(groups: Sequence[Sequence[Case]], rounds: int, seconds: float) -> None:
    """Let the cases of each group take turns, beginning with another one each round."""
    with ExitStack() as stack:
        platform = stack.enter_context(serve_platform(LATENCY))
        for group in groups:
            with ExitStack() as servers:
                running = {
                    kind: servers.enter_context(_serve(kind, group[0], platform))
                    for kind in dict.fromkeys(case.server for case in group)
                }
                for case in group:
                    _load(running[case.server], case, rounds, 1)
                for number in range(rounds if group[0].engine == ENGINES[0] else max(1, rounds // FEWER)):
                    for case in group if number % 2 == 0 else reversed(group):
                        case.results.append(_load(running[case.server], case, number, seconds))


def _serve(kind: str, case: Case, platform: str) -> Any:
    environment = {KIND: kind, PLATFORM: platform}
    target, (parser, loop) = "benchmarks.end_to_end:application", case.engine
    return serve(target, workers=case.workers, environment=environment, parser=parser, loop=loop)


def _ratios(case: Case, bare: Case) -> list[float]:
    return [mine / other for mine, other in zip(case.rates(), bare.rates(), strict=True)]


def run(effort: Effort) -> Section:
    """Load the servers in turns."""
    title = "Requests per second over real sockets"
    if shutil.which("wrk") is None:
        return Section("end_to_end", title, "Not measured: install wrk (apt install wrk, brew install wrk).", (), ())
    groups, seconds = _cases(effort), max(1.0, SECONDS * effort.scale)
    _measure(groups, effort.rounds, seconds)
    pairs = [(case, group[0]) for group in groups for case in group]
    return Section(
        name="end_to_end",
        title=title,
        method=_method(seconds, effort.rounds),
        columns=(
            "shop",
            "server",
            "workers",
            "requests/s",
            "of bare",
            "range",
            "CPU us",
            "of bare, by CPU",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "errors",
        ),
        rows=[_row(case, bare) for case, bare in pairs],
        figures=[
            Figure(
                f"end to end ({', '.join(group[0].engine)}): processor time added, of SessionMiddleware's", share, GOAL
            )
            for group, share in ((group, _added(group)) for group in groups)
            if share is not None
        ],
        plots=[_plot(groups)],
        raw={f"{case.title}, {case.workers}, {', '.join(case.engine)}": case.results for case, _ in pairs},
    )


def _method(seconds: float, rounds: int) -> str:
    return (
        f"uvicorn, no access log; wrk on the same machine, {CONNECTIONS} connections "
        f"({CONNECTIONS_OF_SEVERAL} to several workers, which answer 40 ms late on asyncio), {SESSIONS} sessions, "
        f"upstream of {LATENCY * 1000:g} ms. Bare and cached shop take turns of {seconds:g} s, {rounds} rounds: "
        "medians, and the ratios of each round. CPU is processor time of the server per request, which other "
        f"load changes least. The page is a Jinja2 template ({len(_render(CONSTANT).body):,} bytes), which shows "
        "constants in the bare shop."
    )


def _added(group: Sequence[Case]) -> float | None:
    """Return what the middleware adds of what SessionMiddleware does, `None` where pages have not been measured so."""
    cpu = {case.kind: case.cpu() for case in group if case.title.startswith("page")}
    if not {"bare", "hit", "session"} <= cpu.keys():
        return None
    return (cpu["hit"] - cpu["bare"]) / (cpu["session"] - cpu["bare"])


def _row(case: Case, bare: Case) -> Sequence[str | float | int]:
    ratios = _ratios(case, bare)
    return (
        case.title,
        ", ".join(case.engine),
        case.workers,
        round(statistics.median(case.rates())),
        f"{statistics.median(ratios):.1%}",
        f"{min(ratios):.1%}-{max(ratios):.1%}",
        round(case.cpu(), 1),
        f"{bare.cpu() / case.cpu():.1%}",
        *(round(case.median(name), 2) for name in ("p50", "p99", "p999")),
        sum(result["errors"] for result in case.results),
    )


def _plot(groups: Sequence[Sequence[Case]]) -> Plot:
    cases = [case for group in groups for case in group if case.engine == ENGINES[0]]
    labels = [f"{case.title} ({case.workers})" for case in cases]
    rates: Mapping[str, Sequence[float]] = {"requests/s": [statistics.median(case.rates()) for case in cases]}
    return Plot("end-to-end", "Requests per second (workers)", labels, rates, "requests/s")
