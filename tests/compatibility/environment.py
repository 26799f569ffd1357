"""An environment with the newest release of a project and what its tests need, as the project itself declares that."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "Environment"]

ROOT: Final = Path(__file__).parents[2]


class Environment:
    """The newest release of a project, as its source distribution, and a virtual environment for its tests.

    Args:
        project: its name at the package index.
        extras: of the project.
        group: the dependency group of its ``pyproject.toml`` that its tests need.
        directory: for both; what is there from an earlier run is used again where it is still the newest.
    """

    def __init__(self, project: str, extras: str, group: str, directory: Path) -> None:
        self._directory = directory.resolve()
        self._python = self._directory / "venv" / "bin" / "python"
        if not self._python.exists():
            venv.create(self._directory / "venv", with_pip=True)
            self._pip("install", "--upgrade", "pip>=25.1")
        self.source = self._unpacked(project)
        self.version = self.source.name.removeprefix(f"{project}-")
        release = f"{project}[{extras}]=={self.version}"
        self._pip("install", release, "--group", f"{self.source}/pyproject.toml:{group}", "--editable", str(ROOT))

    def pytest(self, *arguments: str, environment: Mapping[str, str]) -> int:
        """Run pytest in the source of the project; return its exit status."""
        command = [str(self._python), "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=self.source, env=dict(environment), check=False).returncode

    def _unpacked(self, project: str) -> Path:
        sources = self._directory / "source"
        # The tests are in the source distribution alone. To know its name, pip builds its metadata.
        self._pip("download", "--no-deps", "--no-binary", project, "--dest", str(sources), project)
        newest = max(sources.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
        with tarfile.open(newest) as archive:
            archive.extractall(sources, filter="data")
        return sources / newest.name.removesuffix(".tar.gz")

    def _pip(self, *arguments: str) -> None:
        subprocess.run([str(self._python), "-m", "pip", "--quiet", *arguments], stdout=sys.stderr, check=True)
