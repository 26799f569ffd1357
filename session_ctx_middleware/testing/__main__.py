"""FakeEmporix as a server: ``python -m session_ctx_middleware.testing --port 8900``."""

from __future__ import annotations

import argparse
import sys

from .app import FakeEmporix
from .quirks import Quirks


def main(arguments: list[str] | None = None) -> int:
    """Serve FakeEmporix until interrupted.

    Args:
        arguments: of the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m session_ctx_middleware.testing", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--tenant", default="acme")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--context-at", choices=("cart", "login"), default="cart")
    parser.add_argument("--context-delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--quirk", action="append", default=[], metavar="NAME=VALUE", help="see the class Quirks")
    options = parser.parse_args(arguments)
    try:
        quirks = Quirks.parse(options.quirk)
    except ValueError as error:
        parser.error(str(error))
    try:
        import uvicorn
    except ImportError:
        sys.stderr.write("FakeEmporix needs a server: pip install 'session-ctx-middleware[testing]'\n")
        return 2
    emporix = FakeEmporix(
        options.tenant,
        context_at=options.context_at,
        context_delay=options.context_delay,
        latency=options.latency,
        quirks=quirks,
    )
    sys.stdout.write(
        f"FakeEmporix for tenant {options.tenant} on http://{options.host}:{options.port} "
        f"(client_id={emporix.storefront_client_id})\n"
    )
    sys.stdout.flush()
    uvicorn.run(emporix, host=options.host, port=options.port, log_level="warning")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
