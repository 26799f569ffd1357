"""The list of threats names tests that exist, for every threat that it has to name."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "security.md"
THREATS = (
    *("Theft", "Fixation", "Cookie tossing", "Duplicated cookies", "Cross-tenant", "Cross-host", "Forged claims"),
    *("Login CSRF", "Assisted buying", "Refresh races", "Replay after logout"),
)


def rows() -> list[list[str]]:
    table = PAGE.read_text("utf-8").partition("| threat |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table]


@cache
def found_in(path: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_every_line_has_its_tests(row: list[str]) -> None:
    """A line names a threat, what stands against it, and tests that exist."""
    _, stands, tests = row
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", tests)

    assert stands
    assert named
    assert re.sub(r"`[^`]+`|, ", "", tests) == ""
    for path, name in named:
        assert (name in found_in(path)) if name else found_in(path), f"{path}::{name}"


def test_no_threat_is_missing() -> None:
    """The threats that every shop has to ask about are there, in bold."""
    assert [name for name in THREATS if f"**{name}**" not in PAGE.read_text("utf-8")] == []


@pytest.mark.parametrize("page", ["SECURITY.md", "README.md", "docs/tokens.md"])
def test_it_is_found(page: str) -> None:
    """Whoever looks for it finds it."""
    assert re.search(r"\]\((docs/)?security\.md\)", (ROOT / page).read_text("utf-8"))
