"""How many examples Hypothesis tries."""

from __future__ import annotations

import os

__all__ = ["EXAMPLES"]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""How many examples a long run tries of each property; 0 for the short, repeatable run of every day."""
