"""The overview tells the truth: its ways, its table of invariants, and the words of the glossary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "session_ctx_middleware"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ABLATION = (ROOT / "tests" / "simulation" / "test_ablation.py").read_text("utf-8")


def section(title: str) -> str:
    """Return the text below a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def stops(title: str) -> list[str]:
    """Return the files that a way passes, in order."""
    return re.findall(r"^ *\d+\. `([\w/]+\.py)`", section(title), re.MULTILINE)


@pytest.mark.parametrize("way", ["A read", "A change"])
def test_way_never_turns_back(way: str) -> None:
    """Who follows a way opens each file once, and all of them exist."""
    files = stops(way)

    assert len(files) > 10
    assert files[0] == "middleware.py"
    assert len(set(files)) == len(files)
    assert [file for file in files if not (PACKAGE / file).exists()] == []


def test_every_guard_is_explained() -> None:
    """The table of invariants names each guard that a test switches off, and no other."""
    named = re.findall(r"`(no_\w+)`", section("Invariants"))
    guards = re.findall(r"^def (no_\w+)\(", ABLATION, re.MULTILINE)

    assert sorted(named) == sorted(guards)


def test_every_name_exists() -> None:
    """What the overview calls by name is there."""
    source = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    names = {name for table in ("Who owns what", "Invariants") for name in re.findall(r"`([\w.]+)`", section(table))}

    missing = {
        name
        for name in names - {"cachetools", "singleflight"}
        if not name.startswith(("no_", "tests"))
        if not all(re.search(rf"(?:class|def|^    ){' ?'}{part}\b", source, re.MULTILINE) for part in name.split("."))
    }
    assert missing == set()


def test_glossary_is_in_order() -> None:
    """The glossary is sorted, explains each word once, and its words are used."""
    words = re.findall(r"^\| ([a-z ]+) \|", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    words.remove("word")
    source = "\n".join(path.read_text("utf-8").lower() for path in PACKAGE.rglob("*.py"))

    assert words == sorted(set(words))
    assert [word for word in words if word.replace(" ", "_") not in source and word not in source] == []
