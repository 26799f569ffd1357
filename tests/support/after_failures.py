"""What a test that failed has left open is its own affair: the next test must not fail for it."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator

import pytest

__all__ = ["pytest_runtest_protocol"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Collect what hangs on a failure, with nobody listening: sockets and nodes that the test came not to close."""
    failed_before = item.session.testsfailed
    result = yield
    if item.session.testsfailed > failed_before:
        # The last failure is kept for debuggers, and with it every local variable on its way.
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            if hasattr(sys, name):
                delattr(sys, name)
        with warnings.catch_warnings(action="ignore"):
            gc.collect()
    return result
