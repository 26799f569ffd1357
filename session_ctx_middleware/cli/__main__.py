"""``python -m session_ctx_middleware.cli``."""

from . import main

if __name__ == "__main__":
    raise SystemExit(main())
