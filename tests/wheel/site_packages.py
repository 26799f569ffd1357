"""Whether tests import the installed package, and not a checkout that lies beside them.

`python -m tests.wheel` runs this with the others. Where the package is installed from a checkout, it fails.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path

import session_ctx_middleware


def test_every_module_was_installed() -> None:
    """All that has been imported of the package lies in site-packages."""
    installed = Path(sysconfig.get_path("purelib")).resolve() / session_ctx_middleware.__name__
    files = [
        Path(module.__file__ or "").resolve()
        for name, module in sys.modules.items()
        if name.partition(".")[0] == session_ctx_middleware.__name__
    ]

    assert [file for file in files if not file.is_relative_to(installed)] == []
    assert installed / "__init__.py" in files


def test_plugin_is_found() -> None:
    """Pytest finds the fixtures for shops by the name that the wheel gives it."""
    (plugin,) = entry_points(group="pytest11", name=session_ctx_middleware.__name__)

    assert {"emporix_fake", "emporix_client", "emporix_context"} <= set(plugin.load().__all__)
