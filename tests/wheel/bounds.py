"""The tests with the oldest releases of what is needed, or with the newest: ``python -m tests.wheel.bounds lowest``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final, Literal

from .commands import run
from .pythons import ROOT, project

SUMMARY: Final = (__doc__ or "").partition("\n")[0]
WORK: Final = ROOT / "build" / "bounds"
QUICK: Final = "not slow and not nginx"
# Starlette's TestClient of then, with the anyio of today.
OF_THEN: Final = ("-W", "ignore:The anyio.abc.BlockingPortal alias:DeprecationWarning")
WITHOUT_FASTAPI: Final = (
    "reading",
    "switching",
    "request_end",
    "conflicts",
    "parking",
    "http_cache",
    "tokens",
    "reporting",
)


def main() -> int:
    """Install from the bounds that `pyproject.toml` names, and run the tests.

    FastAPI wants a newer Starlette than this package does: the oldest one of all gets a part of the tests to itself.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.wheel.bounds", description=SUMMARY)
    parser.add_argument("bound", choices=("lowest", "newest"))
    parser.add_argument("options", nargs="*", help="for pytest, after --")
    chosen = parser.parse_args()
    python = WORK / chosen.bound / "bin" / "python"
    run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, python.parent.parent)
    _install(python, _resolved(chosen.bound, "--all-extras"))
    parallel = ("--numprocesses", "auto", "--dist", "worksteal")
    warnings = OF_THEN if chosen.bound == "lowest" else ()
    run("pytest", *parallel, "-m", QUICK, *warnings, *chosen.options, python=python)
    if chosen.bound == "lowest":
        core = _resolved(chosen.bound)
        run("uv", "pip", "install", "--quiet", "--python", python, "--no-deps", "--requirements", core)
        run("pytest", *parallel, *(f"tests/test_{name}.py" for name in WITHOUT_FASTAPI), *warnings, python=python)
    return 0


def _resolved(bound: Literal["lowest", "newest"], *extras: str) -> Path:
    """Return a file with the releases of what the package names, and of nothing that only these need."""
    resolution = "lowest-direct" if bound == "lowest" else "highest"
    file = WORK / f"{bound}{'' if extras else '-core'}.txt"
    options = (
        "--quiet",
        "--upgrade",
        "--no-header",
        "--no-annotate",
        "--resolution",
        resolution,
        "--output-file",
        file,
    )
    run("uv", "pip", "compile", "pyproject.toml", *extras, *options, "--python", sys.executable)
    named = project()["project"]
    optional = [entry for entries in named["optional-dependencies"].values() for entry in entries]
    names = {_name(entry) for entry in [*named["dependencies"], *(optional if extras else ())]}
    lines = [line for line in file.read_text("utf-8").splitlines() if _name(line) in names]
    file.write_text("\n".join([*lines, ""]), "utf-8")
    print(*lines, sep="\n")
    return file


def _install(python: Path, overrides: Path) -> None:
    """Install the checkout with these releases, whatever the tests would rather have."""
    package = ("--requirements", "pyproject.toml", "--all-extras", "--editable", ".", "--group", "test")
    run("uv", "pip", "install", "--quiet", "--python", python, *package, "--overrides", overrides)


def _name(requirement: str) -> str:
    return requirement.partition("=")[0].partition(">")[0].partition("<")[0].strip().lower()


if __name__ == "__main__":
    sys.exit(main())
