"""Whether a tag may be released: ``python -m tests.wheel.release v1.2.3``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from .pythons import ROOT, project

__all__ = ["problems"]


def problems(tag: str, described: dict[str, Any], changelog: str) -> Iterator[str]:
    """Yield what is missing, and what to do about it.

    Args:
        tag: what was tagged.
        described: what `pyproject.toml` says.
        changelog: the text of `CHANGELOG.md`.
    """
    version = described["project"]["version"]
    if tag != f"v{version}":
        yield f"The tag is {tag}, and the version in pyproject.toml {version}: make them agree."
    if not described["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]:
        yield "Fill in the address of the repository in pyproject.toml, [tool.hatch.metadata.hooks.custom]."
    if f"\n## {version}" not in changelog:
        yield f"CHANGELOG.md has no section {version}: rename the one of what is unreleased."


def main() -> int:
    """Print the problems.

    Returns:
        The exit status.
    """
    found = list(problems(sys.argv[1], project(), (ROOT / "CHANGELOG.md").read_text("utf-8")))
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
