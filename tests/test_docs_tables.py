"""The tables of the docs say what the code says: keywords, fields, defaults, errors, events, counters and names."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import inspect
import logging
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import session_ctx_middleware as package
from session_ctx_middleware import errors, events
from session_ctx_middleware.engine import Commit, CommitResult, Stats
from session_ctx_middleware.health import Health
from session_ctx_middleware.remedies import KINDS as EVENTS
from session_ctx_middleware.stores.redis import RedisStore

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "session_ctx_middleware").rglob("*.py"))
# What a page says instead of `None`, where that stands for something that is built later.
BUILT_LATER = {"own", "in this process", "the system's", "ours wins"} | {
    f"`{name}()`" for name in ("CachePolicy", "ContinuityPolicy", "UpstreamPolicy")
}
PUBLIC = (
    "",
    ".debug_panel",
    ".emporix",
    ".fastapi",
    ".health",
    ".links",
    ".resolution",
    ".sessions",
    ".stores",
    ".stores.redis",
    ".switcher",
    ".telemetry",
    ".templating",
    ".testing",
    ".testing.store_rules",
)
PAGES_ABOUT_NAMES = runpy.run_path(str(ROOT / "docs" / "build_site.py"))["MODULES"]
FOREIGN = {"AsyncClient", "ClientSession", "SameSite"}  # of httpx, of aiohttp, of cookies
POLICIES = (package.ContextDefaults, package.ContinuityPolicy, package.CachePolicy, package.UpstreamPolicy)
KINDS = (package.SessionContextMiddleware, *POLICIES)


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def table(page: str, head: str) -> list[list[str]]:
    """Return the cells of the rows of the table whose first heading is `head`."""
    _, found, rest = text(page).partition(f"\n| {head} |")
    assert found, f"{page} has no table {head}"
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def bare(cell: str) -> str:
    """Return a name without its backticks."""
    return cell.strip("`")


def value_of(cell: str) -> Any:
    """Return the default that a cell names; a call, such as `BearerToken()`, as its text."""
    if cell == "required":
        return inspect.Parameter.empty
    if cell in BUILT_LATER:
        return None
    if not cell.startswith("`"):
        return float(cell.removesuffix(" s").replace(",", ""))
    node = ast.parse(bare(cell), mode="eval").body
    return bare(cell) if isinstance(node, ast.Call) else ast.literal_eval(node)


def keywords(kind: type) -> dict[str, Any]:
    """Return the keywords of a class and their defaults; objects as a call without arguments."""
    parameters = list(inspect.signature(kind).parameters.values())
    plain = (str, bytes, float, int, tuple, type(None), type)
    return {
        each.name: each.default if isinstance(each.default, plain) else f"{type(each.default).__name__}()"
        for each in parameters
        if each.name != "app"
        if (kind, each.name) != (RedisStore, "clock")  # only for tests
    }


def said(page: str, head: str) -> Mapping[str, Any]:
    return {bare(row[0]): value_of(row[1]) for row in table(page, head)}


@pytest.mark.parametrize(
    ("page", "head", "kind"),
    [
        ("docs/configuration.md", "keyword", package.SessionContextMiddleware),
        *(("docs/configuration.md", f"`{kind.__name__}`", kind) for kind in POLICIES),
        ("docs/workers.md", "argument", RedisStore),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_defaults(page: str, head: str, kind: type) -> None:
    """A table of keywords has all of them, in the order of the code, with their defaults."""
    assert list(said(page, head).items()) == list(keywords(kind).items())


@pytest.mark.parametrize("kind", KINDS)
def test_docstrings(kind: type) -> None:
    """The docstring of a class has the same keywords as its table."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    named = re.findall(r"^    (\w+): ", section, re.MULTILINE)

    assert [name for name in named if name != "app"] == list(keywords(kind))


def tree_of(kind: type, depth: int = 0) -> list[tuple[str, int]]:
    """Return the names of a class and its subclasses in this package, with their depth, parents first."""
    found = [(kind.__name__, depth)]
    for child in vars(errors).values():
        if isinstance(child, type) and child.__bases__[0] is kind:
            found += tree_of(child, depth + 1)
    return found


def test_tree_of_errors() -> None:
    """The docstring of the module draws the classes as they are."""
    drawn = re.findall(r"^    ([ │├└─]*)(\w+)", errors.__doc__ or "", re.MULTILINE)

    assert [(name, len(lines) // 4) for lines, name in drawn] == tree_of(errors.SessionContextError)


def test_table_of_errors() -> None:
    """Each error has a row but the two base classes; what a client raises is a subclass of `EmporixError`."""
    rows = {bare(row[0]): row[1] for row in table("docs/errors.md", "error")}
    bases = {"SessionContextError", "EmporixError"}

    assert set(rows) == set(errors.__all__) - bases
    assert set(errors.__all__) <= set(package.__all__)
    of_clients = [vars(errors)[name] for name, raised_by in rows.items() if "clients" in raised_by]
    assert all(issubclass(error, errors.EmporixError) for error in of_clients)
    assert all(f"`{name}`" in text("docs/errors.md") for name in bases)


def strings(path: Path) -> set[str]:
    """Return the texts in a module."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_emitted() -> None:
    """Every event that is described is emitted; no other one is, and none that is not described would go out."""
    said = {each for path in SOURCES if not path.stem.endswith("remedies") for each in strings(path)}
    commits = {f"commit.{CommitResult(commit).outcome}" for commit in Commit if commit is not Commit.NOTHING}
    commits |= {f"commit.{CommitResult(error=error).outcome}" for error in (errors.ChangeRefused(""), errors.NoToken())}
    ends = {kind.over for kind in EVENTS.values()} - {""}

    assert set(EVENTS) - said - commits - ends == set()
    assert {kind.over for kind in EVENTS.values() if kind.over} <= set(EVENTS)
    families = {name.partition(".")[0] for name in EVENTS} - {"cart", "context", "store"}
    named = {each for each in said if re.fullmatch(r"[a-z]+\.[a-z]+", each) and each.partition(".")[0] in families}
    assert named <= set(EVENTS)


def test_events() -> None:
    """The table has every event, with the level of its log line."""
    rows = {bare(row[0]): row[1] for row in table("docs/observability.md", "event")}

    assert rows == {name: logging.getLevelName(kind.level).lower() for name, kind in EVENTS.items()}


def test_remedies() -> None:
    """Whatever is more than debug output says what it means, in words that are followed by a full stop."""
    for name, kind in EVENTS.items():
        for text_ in (kind.remedy, *kind.remedies.values()):
            assert bool(text_) is (kind.level > logging.DEBUG), name
            assert not text_.endswith("."), name


def test_fields() -> None:
    """The table of log fields has those that records have."""
    prefix = "session_ctx_"
    named = [bare(row[0]) for row in table("docs/observability.md", "field")]

    assert named == [prefix + field.name for field in dataclasses.fields(events.ContextEvent)]


def test_events_elsewhere() -> None:
    """No other page names an event that does not exist."""
    known, families = set(EVENTS), {name.partition(".")[0] for name in EVENTS}
    for page in (ROOT / "docs").glob("*.md"):
        named = {name for name in re.findall(r"`([a-z]+\.[a-z]+)`", page.read_text("utf-8")) if name[-3:] != ".py"}

        assert {name for name in named if name.partition(".")[0] in families - {"context"}} <= known, page.name
    assert set(re.findall(r"event `([a-z.]+)`", text("README.md"))) <= known


def test_counters() -> None:
    """The table has the counters that are not named as an event is; those are that event's."""
    counters = list(dataclasses.asdict(Stats()) | events.Events().counters())

    assert [bare(row[0]) for row in table("docs/observability.md", "counter")] == [
        name for name in counters if "." not in name
    ]
    assert {name for name in counters if "." in name} < set(EVENTS)


def test_health() -> None:
    """The table has the fields of `Health`."""
    assert [bare(row[0]) for row in table("docs/observability.md", "`Health`")] == [
        field.name for field in dataclasses.fields(Health)
    ]


def test_context() -> None:
    """The quick start names everything that a request's context offers."""
    section = text("docs/quickstart.md").partition("## What a request can do\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", section))

    assert named == {name for name in dir(package.SessionContext) if not name.startswith("_")}


def test_public_names() -> None:
    """The pages for users name what can be imported, and all of it."""
    modules = [importlib.import_module(package.__name__ + part) for part in PUBLIC]
    public = {name for module in modules for name in module.__all__}
    pages = "\n".join(text(page) for page in ("README.md", "CHANGELOG.md", "docs/configuration.md", "docs/errors.md"))
    pages += text("docs/quickstart.md") + text("docs/tokens.md") + text("docs/workers.md")
    named = set(re.findall(r"`[\w.]*?\b((?:[A-Z][a-z]+){2,})\b[^`]*`", pages))

    assert {name for name in named - public - FOREIGN if not hasattr(builtins, name)} == set()
    assert {name for name in package.__all__ if not re.search(rf"\b{name}\b", pages)} == set()


def test_pages_about_names() -> None:
    """The site has a page for every public module."""
    assert {*PUBLIC, ".testing.plugin"} == {*PAGES_ABOUT_NAMES}
