"""Runs the modules that do the work."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from .pythons import ROOT

__all__ = ["run"]


def run(module: str, *arguments: str | Path, python: str | Path = sys.executable, cwd: Path = ROOT) -> None:
    """Run a module of an environment, tell how long it took, and end this process where it fails."""
    command = [python, "-m", module, *arguments]
    began = time.monotonic()
    done = subprocess.run(command, cwd=cwd, check=False)
    print(f"{time.monotonic() - began:6.1f} s  {module} {arguments[0]}", flush=True)
    if done.returncode:
        sys.exit(f"This failed: {' '.join(map(str, command))}")
