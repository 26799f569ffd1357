"""The files for type checkers leave out no public name."""

from __future__ import annotations

import re
from pathlib import Path

import session_ctx_middleware

HERE = Path(__file__).parent


def test_every_name_is_used_rightly() -> None:
    """A name that is exported has its types checked from outside."""
    used = set(re.findall(r"\bpackage\.(\w+)", (HERE / "rightly.py").read_text("utf-8")))

    assert used == set(session_ctx_middleware.__all__)


def test_every_mistake_is_one_for_both() -> None:
    """Each mistake is expected of mypy and of pyright, which complain of an expectation that is not met."""
    lines = (HERE / "wrongly.py").read_text("utf-8").splitlines()
    mistakes = [line for line in lines if "ignore[" in line]

    assert len(mistakes) > 30
    assert [
        line for line in mistakes if line.count("# type: ignore[") != 1 or line.count("# pyright: ignore[") != 1
    ] == []
