"""The browser: the Chromium of the machine, started on a closed network; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Final, Literal

__all__ = [
    "FLAGS",
    "HEIGHT",
    "LARGE_TEXT",
    "PATIENCE_MS",
    "SCHEMES",
    "WANTED",
    "Scheme",
    "executable",
    "is_required",
    "user_agent",
]

Scheme = Literal["light", "dark"]
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
HEIGHT: Final = 900
PATIENCE_MS: Final = 30_000
"""How long a page may take, and what is expected of it: a busy machine is no defect."""
NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
WANTED: Final = (
    "No Chromium was found. Install the package chromium, or name another one: make browser CHROMIUM=/path/to/chrome"
)
_QUIET: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The sandbox of Chromium works for everybody but root.
_AS_ROOT: Final = ("--no-sandbox",) if getattr(os, "geteuid", lambda: 1)() == 0 else ()
FLAGS: Final[Sequence[str]] = (*_QUIET, *_AS_ROOT)
LARGE_TEXT: Final = "--blink-settings=defaultFontSize=32"
"""Text of 200 %, as somebody sets it who does not see well; what counts in rem, media queries included, grows."""


def executable() -> str | None:
    """Return the path of a Chromium: the one that the environment names, or one that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def is_required() -> bool:
    """Tell whether a machine without a browser is one that fails, as that of the gate does."""
    return bool(os.environ.get("BROWSER_REQUIRED"))


def user_agent(version: str) -> str:
    """Return what a shopper's browser of a version calls itself, on a desk.

    Args:
        version: such as ``156.0.8078.108``.
    """
    system = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    return f"{system} Chrome/{version.partition('.')[0]}.0.0.0 Safari/537.36"
