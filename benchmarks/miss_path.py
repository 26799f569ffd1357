"""What a miss costs next to the bare GET of the same HTTP client, and what a switch costs next to one by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from session_ctx_middleware import CachePolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore

from .apps import PATH, TENANT, endpoint, make_scope, raw_headers, receive, send, touch
from .figures import Effort, Figure, Plot, Section
from .servers import emporix_server, upstream_server
from .timing import ALONE, Contender, Rounds, Spread, alternate, microseconds, over, ratio, ratios, short, spread

CALLS, SWITCHES = 50, 20
TURNS = 4
"""Rounds for each round of the effort: other processes are involved, so turns are short and many."""
POLICY = CachePolicy(stale_while_revalidate=0)
CURRENCIES = ("EUR", "USD", "CHF")
GOALS = {"aiohttp": 0.5, "httpx2": 1.0}
"""What a whole miss may cost next to an endpoint that makes the same GET by hand with httpx."""
COLUMNS = ("candidate", "whole request, µs (middle half)", "over the bare GET", "calls to Emporix")
METHOD = (
    "The upstream is a process of its own on the loopback interface, and answers at once. A miss is a request with a "
    "token that nobody has seen; the bare GET is an endpoint that gets the same URL with the same header through the "
    "same client, and does nothing with the answer. A switch is a POST that changes the currency, and the page after "
    "it; by hand these are GET, PATCH, and GET."
)

Handler = Callable[[Request], Awaitable[str]]


def run(effort: Effort) -> Section:
    """Measure misses with each client, and switches."""
    return asyncio.run(_run(effort))


async def _run(effort: Effort) -> Section:
    async with AsyncExitStack() as stack:
        url = stack.enter_context(upstream_server())
        clients = {name: await stack.enter_async_context(await make(stack)) for name, make in CLIENTS.items()}
        misses = await _misses(url, clients, effort)
        emporix = stack.enter_context(emporix_server())
        client = clients["httpx"]
        switches, calls = await _switches(emporix, client, effort)
    added = {name: over(misses[name], misses[f"{name}, bare GET"]) for name in clients}
    rows: list[tuple[str, str, str, str]] = []
    for name in clients:
        bare = misses[f"{name}, bare GET"]
        share = spread(ratios(added[name], bare))
        rows += [
            (f"{name}, bare GET", str(_in_microseconds(bare)), "", "1"),
            (f"{name}, miss", str(_in_microseconds(misses[name])), f"+{share}", "1"),
        ]
    for name, values in switches.items():
        relative = "" if name == BY_HAND else short(ratio(values, switches[BY_HAND])) + " of it by hand"
        rows.append((name, str(_in_microseconds(values)), relative, short(calls[name])))
    return Section(
        name="miss_path",
        title="A miss, and a switch",
        method=METHOD,
        columns=COLUMNS,
        rows=rows,
        figures=[
            Figure(
                f"miss with {name}, over the same GET by hand with httpx",
                ratio(misses[name], misses["httpx, bare GET"]),
                goal,
            )
            for name, goal in GOALS.items()
        ],
        plots=[_plot(clients, misses)],
        raw={"misses": dict(misses), "switches": dict(switches), "calls_of_a_switch": dict(calls)},
    )


def _in_microseconds(values: Any) -> Spread:
    return spread(microseconds(values))


def _plot(clients: Mapping[str, Any], misses: Rounds) -> Plot:
    series = {
        "bare GET": [_in_microseconds(misses[f"{name}, bare GET"]).median for name in clients],
        "miss": [_in_microseconds(misses[name]).median for name in clients],
    }
    return Plot("miss_path", "A miss, and the bare GET of the same client", tuple(clients), series, "µs")


async def _httpx(_: AsyncExitStack) -> Any:
    return import_module("httpx").AsyncClient()


async def _httpx2(_: AsyncExitStack) -> Any:
    return import_module("httpx2").AsyncClient()


async def _aiohttp(stack: AsyncExitStack) -> Any:
    return await stack.enter_async_context(import_module("aiohttp").ClientSession())


CLIENTS: Mapping[str, Callable[[AsyncExitStack], Awaitable[Any]]] = {
    "httpx": _httpx,
    "httpx2": _httpx2,
    "aiohttp": _aiohttp,
}


async def _misses(url: str, clients: Mapping[str, Any], effort: Effort) -> Rounds:
    tokens = (f"token-{number:024d}" for number in itertools.count())

    def prepare() -> Scope:
        return make_scope(raw_headers(next(tokens)))

    contenders = []
    middlewares = []
    for name, client in clients.items():
        ours = _middleware(endpoint(touch), url, client)
        middlewares.append(ours)
        contenders += [
            Contender(f"{name}, bare GET", _calling(endpoint(_bare_get(client, url + PATH))), prepare),
            Contender(name, _calling(ours), prepare),
        ]
    rounds = await _alternate(contenders, effort, CALLS)
    for middleware in middlewares:
        if middleware.stats()["hits"]:
            raise RuntimeError("these were not all misses")
        await middleware.aclose()
    return rounds


async def _alternate(contenders: Sequence[Contender], effort: Effort, calls: int) -> Rounds:
    return await alternate(contenders, rounds=TURNS * effort.rounds, calls=effort.times(calls), batch=ALONE)


def _middleware(app: ASGIApp, url: str, client: Any) -> SessionContextMiddleware:
    return SessionContextMiddleware(
        app, tenant=TENANT, base_url=url, http_client=client, cache=POLICY, store=MemoryStore()
    )


def _calling(app: ASGIApp) -> Callable[[Scope], Awaitable[None]]:
    async def call(scope: Scope) -> None:
        await app(scope, receive, send)
        await asyncio.sleep(0)  # what it has left for later counts as well

    return call


def _bare_get(client: Any, url: str) -> Handler:
    async def handler(request: Request) -> str:
        await client.get(url, headers={"Authorization": request.headers["authorization"]})
        return "EUR"

    async def handler_of_a_session(request: Request) -> str:
        async with client.get(url, headers={"Authorization": request.headers["authorization"]}) as response:
            await response.read()
        return "EUR"

    return handler if hasattr(client, "aclose") else handler_of_a_session


BY_HAND, OURS = "switch and next page, by hand", "switch and next page"


async def _switches(url: str, client: Any, effort: Effort) -> tuple[Rounds, dict[str, float]]:
    middleware = _middleware(endpoint(_switching), url, client)
    currencies = itertools.cycle(CURRENCIES)

    async def contender(name: str, app: ASGIApp) -> Contender:
        made = await client.post(f"{url}/_fake/sessions", json={"site_code": "main", "currency": "EUR"})
        raw = raw_headers(made.json()["token"])

        def prepare() -> list[Scope]:
            post, get = make_scope(raw), make_scope(raw)
            post["method"], post["query_string"] = "POST", next(currencies).encode()
            return [post, get]

        async def call(scopes: list[Scope]) -> None:
            for scope in scopes:
                await app(scope, receive, send)

        return Contender(name, call, prepare)

    by_hand = endpoint(_by_hand(client, url + PATH))
    contenders = [await contender(BY_HAND, by_hand), await contender(OURS, middleware)]
    rounds = await _alternate(contenders, effort, SWITCHES)
    calls: dict[str, float] = {}
    for each in contenders:
        await client.delete(f"{url}/_fake/calls")
        for _ in range(10):
            await each.call(each.prepare())
        calls[each.name] = (await client.get(f"{url}/_fake/calls")).json()["count"] / 10
    await middleware.aclose()
    return rounds, calls


async def _switching(request: Request) -> str:
    if request.method == "GET":
        return await touch(request)
    request.state.session_ctx.switch(currency=request.url.query)
    return ""


def _by_hand(client: Any, url: str) -> Handler:
    async def handler(request: Request) -> str:
        headers = {"Authorization": request.headers["authorization"]}
        found = (await client.get(url, headers=headers)).raise_for_status().json()
        if request.method == "POST":
            body = {"currency": request.url.query, "metadata": {"version": found["metadata"]["version"]}}
            (await client.patch(url, headers=headers, json=body)).raise_for_status()
        return str(found["currency"])

    return handler
