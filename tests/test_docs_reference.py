"""The reference says of every name of `SessionContext` what its docstring says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from session_ctx_middleware import Commit, ContextDocument, SessionContext

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"
ORDER = (
    ("Load", ("load", "refresh", "is_loaded", "has_token")),
    ("Read what holds", ("site_code", "currency", "language", "target_location", "attributes", "source", "to_dict")),
    ("Read what Emporix has", ("document", "version", "session_id", "customer_id", "cart_id")),
    (
        "Know where one stands",
        ("exists", "is_logged_in", "is_stale", "is_degraded", "is_rejected", "pending", "price_criteria", "middleware"),
    ),
    (
        "Record",
        (
            *("switch", "switch_site", "switch_currency", "switch_language", "switch_location"),
            *("set_attribute", "remove_attribute", "discard", "late_changes"),
        ),
    ),
    ("Send", ("commit", "cart_created", "carts_follow", "cart_outcome", "open_cart", "forget", "adopt")),
    ("Share pages", ("share_by_variant",)),
    ("Call Emporix", ("auth",)),
)


def function(name: str) -> Any:
    """Return what has the docstring and the signature of a member."""
    member = inspect.getattr_static(SessionContext, name)
    return member.fget if isinstance(member, property) else inspect.unwrap(member)


def cell(text: str) -> str:
    """Return a text as it is written in a table."""
    return " ".join(text.replace("``", "`").replace("|", r"\|").split())


def called(name: str) -> str:
    """Return how a member is written where it is used."""
    if isinstance(inspect.getattr_static(SessionContext, name), property):
        return f"`{name}`"
    signature = inspect.signature(function(name))
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    text = re.sub(r"'([^']*)'", r"\1", str(signature.replace(parameters=parameters, return_annotation=signature.empty)))
    way = "await " if inspect.iscoroutinefunction(function(name)) else "async with " if name == "late_changes" else ""
    return cell(f"`{way}{name}{text}`")


def row(name: str) -> str:
    """Return the row of a member: how to write it, its type, the first sentence of its docstring, and its errors."""
    documentation = inspect.getdoc(function(name)) or ""
    returned = str(function(name).__annotations__["return"]).strip("'")
    kind = {"Self": "SessionContext", "Monitored": "SessionContextMiddleware"}.get(returned, returned)
    kind = kind.replace("AsyncIterator[SessionContext]", "SessionContext")
    raises = re.findall(r"^    (\w+): ", documentation.partition("Raises:\n")[2], re.MULTILINE)
    summary = documentation.partition("\n")[0].removesuffix(".")
    errors = ", ".join(f"`{each}`" for each in raises)
    return f"| {called(name)} | `{cell(kind)}` | {cell(summary)} | {errors} |".replace("| `None` |", "| |")


@pytest.mark.parametrize(("heading", "names"), ORDER, ids=lambda each: each if isinstance(each, str) else "")
def test_reference(heading: str, names: tuple[str, ...]) -> None:
    """A section has a row for each of its names, as the code has it."""
    section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]

    assert rows == [row(name) for name in names]


def test_nothing_is_missing() -> None:
    """Every public name is in a section, and every outcome of a commit and field of a document is named."""
    text = PAGE.read_text("utf-8")

    assert sorted(name for _, names in ORDER for name in names) == [
        name for name in dir(SessionContext) if not name.startswith("_")
    ]
    assert {each.name for each in Commit} == set(re.findall(r"^\| `Commit\.(\w+)` \|", text, re.MULTILINE))
    fields = text.partition("\n## ContextDocument\n")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", fields, re.MULTILINE)) == set(ContextDocument.__dataclass_fields__)
