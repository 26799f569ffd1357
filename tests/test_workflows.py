"""What the workflow files of the repository's host do is what the gate does, with every Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .wheel.pythons import project, supported
from .wheel.release import problems

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")


def job(name: str) -> str:
    """Return the lines of a job."""
    (found,) = re.findall(rf"^  {name}:\n((?:    .*\n|\n)+)", CI, re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """An action is named by the hash of a commit, with its version beside it for people and for Dependabot."""
    uses = re.findall(r"uses: *(.+)", path.read_text("utf-8"))

    assert uses
    assert [each for each in uses if not PINNED.fullmatch(each)] == []


def test_one_hash_for_one_action() -> None:
    """No workflow was forgotten when another one got a newer action."""
    uses = {each for path in WORKFLOWS for each in re.findall(r"uses: *(\S+)", path.read_text("utf-8"))}

    assert len(uses) == len({each.partition("@")[0] for each in uses})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_bounded(path: Path) -> None:
    """Nothing may write, but for what a job says itself; nothing runs on for hours, and nothing keeps credentials."""
    text = path.read_text("utf-8")

    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
    assert re.search(r"^concurrency:\n  group: ", text, re.MULTILINE)
    assert text.count("timeout-minutes: ") == text.count("runs-on: ")
    assert text.count("persist-credentials: false") == text.count("uses: actions/checkout@")
    assert set(re.findall(r": (write.*)", text)) <= {"write  # for the index to see which workflow this is"}


def test_gate_runs_with_every_python() -> None:
    """The gate of the workflow is that of the repository, with each Python that is promised."""
    named = re.search(r"python: \[(.+)\]", job("gate"))

    assert named
    assert re.findall(r"[\d.]+", named[1]) == supported()
    assert re.findall(r"- run: (.+)", job("gate")) == [".ci/run"]
    assert sorted(re.findall(r"^ +(3\.\d+)$", job("package"), re.MULTILINE)) == supported()


def test_bounds_are_tested() -> None:
    """The oldest dependencies run with the oldest Python, the newest ones with the newest."""
    pairs = re.findall(r'bound: (\w+)\n +python: "(.+)"', job("bounds"))

    assert pairs == [("lowest", supported()[0]), ("newest", supported()[-1])]


def test_commands_exist() -> None:
    """What workflows and gate run are commands of the Makefile."""
    rules = re.findall(r"^([\w -]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    known = {target for rule in rules for target in rule.split()}
    gate = set(re.findall(r"^(?:\w+=\w+ )?make (\S+)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE))
    named = set(
        re.findall(r"run: make (\w\S*)$", "\n".join(path.read_text("utf-8") for path in WORKFLOWS), re.MULTILINE)
    )

    others = re.findall(r"command: \[(.+), (.+)\]", job("others"))

    assert gate == {"lint", "types", "docs", "package", "test-all", "browser"}
    assert named == {"package"}
    assert others == [("compat-matrix", "compat-suites")]
    assert gate | named | {"lowest", "newest"} <= known


def test_python_is_promised_once() -> None:
    """Requirement, classifiers and the targets of tools begin with the same Python."""
    described, oldest = project(), supported()[0]

    assert described["project"]["requires-python"] == f">={oldest}"
    assert described["tool"]["mypy"]["python_version"] == described["tool"]["pyright"]["pythonVersion"] == oldest
    assert described["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


@pytest.mark.parametrize(
    ("tag", "repository", "changelog", "said"),
    [
        ("v0.1.0", "https://host.example/shop", "# Changelog\n\n## 0.1.0 (2030-01-01)\n", []),
        ("v0.2.0", "https://host.example/shop", "# Changelog\n\n## 0.1.0\n", ["The tag is v0.2.0"]),
        ("v0.1.0", "", "# Changelog\n\n## 0.1.0\n", ["Fill in the address"]),
        (
            "v0.1.0",
            "https://host.example/shop",
            "# Changelog\n\n## Unreleased\n",
            ["CHANGELOG.md has no section 0.1.0"],
        ),
    ],
    ids=["ready", "another tag", "no address", "no section"],
)
def test_what_a_release_needs(tag: str, repository: str, changelog: str, said: list[str]) -> None:
    """A tag is not published while something of it is missing."""
    described = {
        "project": {"version": "0.1.0"},
        "tool": {"hatch": {"metadata": {"hooks": {"custom": {"repository": repository}}}}},
    }
    found = list(problems(tag, described, changelog))

    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))
