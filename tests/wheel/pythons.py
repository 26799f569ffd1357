"""Which Pythons the project is for, and where this machine has them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "present", "project", "supported"]

ROOT = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    """Return what `pyproject.toml` says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def supported() -> list[str]:
    """Return the versions that the project promises to run on, oldest first."""
    found = re.findall(r"Python :: (3\.\d+)\b", "\n".join(project()["project"]["classifiers"]))
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def present() -> dict[str, Path]:
    """Return where each of these versions is, without those that this machine lacks."""
    found = {
        version: next(filter(lambda path: _is(path, version), _candidates(version)), None) for version in supported()
    }
    return {version: path for version, path in found.items() if path is not None}


def _candidates(version: str) -> Iterator[Path]:
    on_the_path = shutil.which(f"python{version}")
    if on_the_path:
        yield Path(on_the_path)
    # A shim of pyenv is on the path for every version, and works for those alone that are switched on.
    yield from _newest_first((Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"), version)


def _newest_first(directory: Path, version: str) -> list[Path]:
    homes = [home for home in directory.glob(f"{version}.*") if home.name.rpartition(".")[2].isdecimal()]
    return [home / "bin" / "python" for home in sorted(homes, key=lambda home: -int(home.name.rpartition(".")[2]))]


def _is(path: Path, version: str) -> bool:
    command = [str(path), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return str(answer.stdout).strip() == version
