"""The files of a release: built, checked, and tested where they are installed. ``python -m tests.wheel``.

Every supported Python that this machine has gets an environment of its own, with the wheel and all of its extras. The
tests run from a copy, so that nobody imports the checkout by accident.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
from pathlib import Path
from typing import Final

from .commands import run
from .pythons import ROOT, present, project, supported

SUMMARY: Final = (__doc__ or "").partition("\n")[0]
WORK: Final = ROOT / "build" / "package"
QUICK: Final = "not slow and not network and not redis"
TESTS: Final = (
    "site_packages.py",
    "test_reading.py",
    "test_switching.py",
    "test_parking.py",
    "test_tokens.py",
    "test_frameworks.py",
    "test_switcher.py",
    "test_typing.py",
    "continuity/test_cookie.py",
    "continuity/test_encryption.py",
    "sessions/test_guests.py",
    "stores/test_memory_store.py",
    "templating",
    "testing/test_world.py",
)
"""A part of the tests that touches every extra, and every file of the wheel that is no Python."""


def main() -> int:
    """Build, check and test.

    Returns:
        The exit status; the files of the release are in `build/package/dist` then.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.wheel", description=SUMMARY)
    parser.add_argument("--build-only", action="store_true", help="build and check, install nothing")
    parser.add_argument("--python", choices=supported(), help="one version alone, which has to be here then")
    chosen = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    wheel = build()
    check(wheel)
    if not chosen.build_only:
        test_all(wheel, [chosen.python] if chosen.python else [])
    return 0


def build() -> Path:
    """Build the source distribution and, from it, the wheel; return the wheel.

    A wheel that is built from the checkout has to be the same, byte by byte.
    """
    dist, direct = WORK / "dist", WORK / "direct"
    run("build", "--installer", "uv", "--outdir", dist, ROOT)
    run("build", "--installer", "uv", "--wheel", "--outdir", direct, ROOT)
    (wheel,) = dist.glob("*.whl")
    if not filecmp.cmp(wheel, direct / wheel.name, shallow=False):
        sys.exit(f"Built from the source distribution, {wheel.name} is another one: compare {dist} and {direct}.")
    return wheel


def check(wheel: Path) -> None:
    """Check what an index would refuse or could not show, and what does not belong into a wheel."""
    run("twine", "check", "--strict", *sorted(wheel.parent.iterdir()))
    run("check_wheel_contents", wheel)


def test_all(wheel: Path, required: list[str]) -> None:
    """Test the wheel with each of these versions, or with all that are here, and say which are not."""
    pythons = present()
    missing = [version for version in required or supported() if version not in pythons]
    if required and missing:
        sys.exit(f"There is no Python {missing[0]} here.")
    for version in required or pythons:
        test(wheel, version, pythons[version])
    print("The installed wheel works", *(f"on {version}" for version in required or pythons), sep=", ")
    print("Not here, and not tested:", ", ".join(missing) or "none")


def test(wheel: Path, version: str, python: Path) -> None:
    """Install the wheel for one Python, and run the tests with it."""
    home = WORK / version
    shutil.rmtree(home, ignore_errors=True)
    environment = home / "venv"
    run("uv", "venv", "--quiet", "--python", python, environment)
    executable = environment / "bin" / "python"
    extras = ",".join(sorted(project()["project"]["optional-dependencies"]))
    run("uv", "pip", "install", "--quiet", "--python", executable, f"{wheel}[{extras}]", "--group", "installed")
    shutil.copytree(ROOT / "tests", home / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", home)
    named = [f"tests/{'wheel/' * (name == 'site_packages.py')}{name}" for name in TESTS]
    options = ("-q", "--numprocesses", "auto", "--dist", "worksteal", "-m", QUICK, "-p", "no:cacheprovider")
    run("pytest", *options, *named, python=executable, cwd=home)


if __name__ == "__main__":
    sys.exit(main())
