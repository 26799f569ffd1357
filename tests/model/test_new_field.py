"""A field more at Emporix is one line in the table of fields, and its public keyword."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import session_ctx_middleware

PACKAGE = Path(session_ctx_middleware.__file__).parent
SHOP = Path(__file__).with_name("channel_shop.py")

TABLE = (
    "model/fields.py",
    "FIELDS: Final = (\n",
    '    Field("channel", "channel", Kind.SWITCH, "[a-z]{1,16}", "a channel"),\n',
)
PROPERTY = '''
    @property
    def channel(self) -> str | None:
        """The effective channel."""
        return self._effective("channel")
'''
KEYWORD = (
    ("model/document.py", "    site_code: str | None = None\n", "    channel: str | None = None\n"),
    ("model/view.py", "    site_code: str | None = None\n", "    channel: str | None = None\n"),
    ("reading.py", '    """The attributes of a context, once it was loaded."""\n', PROPERTY),
    ("context.py", "        site_code: str | None = None,\n", "        channel: str | None = None,\n"),
    ("context.py", "            site_code=site_code,\n", "            channel=channel,\n"),
)
PLATFORM = (
    ("testing/world.py", '("siteCode", ', '"channel", '),
    ("testing/world.py", "FIELDS: Final[Mapping[str, str]] = {\n", '    "channel": "channel",\n'),
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the package that knows the field."""
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, after, line in (TABLE, *KEYWORD, *PLATFORM):
        text = (copy / name).read_text()
        assert text.count(after) == 1, f"{name} has changed: where does {line!r} go?"
        (copy / name).write_text(text.replace(after, after + line))
    return tmp_path


def seen_in(shop: Path) -> dict[str, Any]:
    child = (sys.executable, str(SHOP))
    environment = {**os.environ, "PYTHONPATH": str(shop), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(child, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_new_field(shop: Path) -> None:
    """It goes through GET, cache, PATCH, continuity cookie, defaults and a template."""
    seen = seen_in(shop)

    assert Path(seen["package"]).parent == shop / PACKAGE.name
    assert seen["GET"] == "app from the document"
    assert seen["cache"] == ["app from the document", 1]
    assert seen["default"] == "web from the default"
    assert seen["before"] == "app from the document"
    assert seen["refused"] == {"refused": "channel must be a channel."}
    assert seen["change"] == {"pending": {"channel": "kiosk"}, "source": "change", "channel": "kiosk"}
    assert seen["PATCH"] == ["kiosk", [{"channel": "kiosk", "metadata": {"version": 1}}]]
    assert seen["after"] == "kiosk from the document"
    assert seen["cookie"] == "kiosk from the document"
    assert seen["no cookie"] == "app from the document"
