"""How the code may hang together: read from the syntax trees of the package."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import session_ctx_middleware

PACKAGE = "session_ctx_middleware"
ROOT = Path(session_ctx_middleware.__file__).parent

# From the bottom to the top: a module imports from its own layer and from those below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cbor", "errors", "clock", "cookies", "frames", "lifespan", "timers"),
    (
        "breaker",
        "checks",
        "health",
        "observing",
        "platform_time",
        "processes",
        "remedies",
        "remedy",
        "session_remedies",
        "tasks",
    ),
    ("hooks",),
    ("events",),
    ("credentials", "hybrid_clock", "model"),
    (
        *("addresses", "http_cache", "invalid_changes", "navigation", "policies"),
        *("same_origin", "sealing", "server_timing", "sources", "tokens"),
    ),
    ("emporix", "stores"),
    ("engine", "sessions"),
    ("compaction", "document_codec", "note_codec"),
    ("brought_notes", "on_their_way"),
    ("continuity", "document_cookie"),
    ("resolution", "token_watch", "variants"),
    ("assembly", "dependencies", "forms", "recording", "reports"),
    ("privacy",),
    ("carrying",),
    ("lifecycle",),
    ("own_calls",),
    ("following",),
    ("cart_merging",),
    ("moving",),
    ("shared_pages",),
    ("reading",),
    ("context",),
    ("access", "sited", "watching"),
    ("debug_panel",),
    ("middleware",),
    ("__init__", "cli", "fastapi", "links", "switcher", "telemetry", "templating", "testing"),
)
PURE = frozenset({"asyncio", "time", "random", "threading", "socket"})
MAX_LINES = 345
MAX_MEDIAN = 10
MAX_FIELDS = 14
ONE_SCREEN = 30
# A filter of the logging module changes the record that it is given; only Python 3.12 lets it return another one.
# Starlette has no other way to have the middleware of an application built anew.
FOREIGN_BY_PROTOCOL = {
    (f"{PACKAGE}.emporix.transport.redaction", "record.args"),
    (f"{PACKAGE}.testing.plugin", "built.middleware_stack"),
}


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the package, by its dotted name."""
    trees = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def absolute(module: str, node: ast.ImportFrom) -> str:
    """Return what a ``from ... import`` names, absolutely."""
    if not node.level:
        return node.module or ""
    base = module.split(".")[: -node.level]
    return ".".join([*base, *((node.module or "").split(".") if node.module else [])])


def imported(module: str) -> set[str]:
    """Return the modules of the package that a module imports, for whatever purpose."""
    found = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.ImportFrom):
            target = absolute(module, node)
            for alias in node.names:
                for name in (f"{target}.{alias.name}", f"{target}.{alias.name}.__init__", target, f"{target}.__init__"):
                    if name in modules():
                        found.add(name)
                        break
    return found


def external(module: str) -> set[str]:
    """Return the top-level packages outside this one that a module imports."""
    names = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def layer(module: str) -> int:
    """Return the number of a module's layer."""
    part = module.split(".")[1]
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines the body of a function takes, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def fields(owner: ast.ClassDef) -> set[str]:
    """Return the fields of a class: annotated in its body, or set on `self` in `__init__`."""
    own = {
        item.target.id for item in owner.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            own |= {
                node.attr
                for node in ast.walk(method)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value)
            }
    return own


def is_self(node: ast.AST) -> bool:
    """Tell whether an expression is the object itself, or its class."""
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def test_no_import_circle() -> None:
    """No module imports itself by way of others, not even for annotations."""
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " imports ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in imported(module):
                visit(other, (*way, module))
            done.add(module)

    for module in modules():
        visit(module, ())


@pytest.mark.parametrize("module", modules())
def test_one_direction(module: str) -> None:
    """Imports go from the edges to the model, never back."""
    above = {other for other in imported(module) if layer(other) > layer(module)}

    assert not above


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith(f"{PACKAGE}.model.")])
def test_model_is_pure(module: str) -> None:
    """What a context is needs neither I/O nor a clock."""
    assert not external(module) & PURE
    assert not {other for other in imported(module) if other.rpartition(".")[2] in {"clock", "tasks"}}
    assert not [node for node in ast.walk(modules()[module]) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


def test_consistency_is_pure() -> None:
    """The module that decides knows no clock, no store and no task."""
    module = f"{PACKAGE}.engine.consistency"

    assert imported(module) == {
        f"{PACKAGE}.engine.incarnations",
        f"{PACKAGE}.engine.made",
        f"{PACKAGE}.engine.notes",
        f"{PACKAGE}.engine.required",
        f"{PACKAGE}.engine.verdict",
        f"{PACKAGE}.model.changes",
        f"{PACKAGE}.model.document",
        f"{PACKAGE}.model.fields",
        f"{PACKAGE}.model.operation",
    }
    assert not external(module) & PURE
    assert not [node for node in ast.walk(modules()[module]) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith(f"{PACKAGE}.engine.")])
def test_engine_knows_no_framework(module: str) -> None:
    """The engine knows neither ASGI nor an HTTP library, and Emporix by a protocol alone."""
    assert not external(module) & {"starlette", "fastapi", "httpx", "httpx2", "aiohttp", "redis", "jwt"}
    assert not {other for other in imported(module) if other.startswith(f"{PACKAGE}.emporix")}


@pytest.mark.parametrize("module", modules())
def test_one_owner(module: str) -> None:
    """Nobody assigns or deletes the fields of another object."""
    foreign = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and not is_self(node.value)
        if (module, ast.unparse(node)) not in FOREIGN_BY_PROTOCOL
    ]
    foreign += [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"setattr", "delattr", "object.__setattr__"}
        if not is_self(node.args[0])
    ]

    assert not foreign


@pytest.mark.parametrize("module", modules())
def test_no_private_imports(module: str) -> None:
    """What begins with an underscore stays in its module."""
    private = {
        alias.name
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
        if alias.name.startswith("_")
    }

    assert not private


@pytest.mark.parametrize("module", modules())
def test_module_size(module: str) -> None:
    """A module is one idea: about 300 lines at most."""
    path = ROOT.parent / Path(*module.split(".")).with_suffix(".py")

    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_function_size() -> None:
    """The median function has at most ten lines, and the middleware's entry fits on one screen."""
    sizes = [code_lines(function) for tree in modules().values() for function in functions(tree)]
    entry = next(each for each in functions(modules()[f"{PACKAGE}.middleware"]) if each.name == "__call__")

    assert statistics.median(sizes) <= MAX_MEDIAN
    assert code_lines(entry) <= ONE_SCREEN


@pytest.mark.parametrize("module", [name for name in modules() if f"{PACKAGE}.engine" in name])
def test_class_size(module: str) -> None:
    """No class of the engine has more than 14 fields, and its docstring tells of each public one."""
    for owner in ast.walk(modules()[module]):
        if isinstance(owner, ast.ClassDef) and not any("Enum" in ast.unparse(base) for base in owner.bases):
            own, text = fields(owner), ast.get_docstring(owner) or ""
            assert len(own) <= MAX_FIELDS, owner.name
            assert not {name for name in own if not name.startswith("_") and f"{name}:" not in text}, owner.name
