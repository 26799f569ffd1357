"""Telling whether this process is one of several that serve the same shop."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["several_workers"]

# uvicorn, hypercorn and granian start their workers so; the second one knows that it is not alone.
_WORKER: Final = re.compile(r"(?:Spawn|Fork|ForkServer)?Process-(?:[2-9]|\d{2,})")


def several_workers(environment: Mapping[str, str] = os.environ, name: str | None = None) -> bool:
    """Tell whether there are signs of other workers: no server says so for sure.

    Args:
        environment: ``WEB_CONCURRENCY`` is what servers and platforms set.
        name: of this process, its own by default.
    """
    workers = environment.get("WEB_CONCURRENCY", "")
    if workers.isdecimal() and int(workers) > 1:
        return True
    return _WORKER.fullmatch(name or multiprocessing.current_process().name) is not None
