"""The command line: ``python -m session_ctx_middleware.cli``.

``inspect`` shows a session context, ``doctor`` finds out how a tenant answers what Emporix' documentation leaves open,
``demo`` starts the example shop.
"""

from .commands import main

__all__ = ["main"]
