"""FakeEmporix as a server: ``python -m session_ctx_middleware.testing --port 8900``."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from ..emporix.address import check_tenant
from ..errors import ConfigurationError
from .app import FakeEmporix
from .quirks import Quirks

PROGRAM: Final = "python -m session_ctx_middleware.testing"
DESCRIPTION: Final = (
    "Serve FakeEmporix, Emporix in memory, until Ctrl-C: for a shop built with base_url=http://127.0.0.1:8900."
)
EPILOG: Final = (
    "POST /_fake/sessions makes a shopper's token, GET /_fake/calls lists calls, POST /_fake/faults breaks some."
)


def main(arguments: list[str] | None = None) -> int:
    """Serve FakeEmporix until interrupted.

    Args:
        arguments: of the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (%(default)s)")
    parser.add_argument("--port", type=int, default=8900, help="where it listens (%(default)s)")
    parser.add_argument("--tenant", default="acme", help="the only one that there is (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before each answer (none)")
    parser.add_argument(
        "--context-at",
        choices=("cart", "login"),
        default="cart",
        help="what a session gets its context with: the first cart, as at Emporix, or the login (%(default)s)",
    )
    parser.add_argument(
        "--context-delay", type=float, default=0.0, metavar="SECONDS", help="from then until it is there (none)"
    )
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another reading where Emporix' sources contradict each other; any number of times, see the class Quirks",
    )
    options = parser.parse_args(arguments)
    try:
        quirks = Quirks.parse(options.quirk)
        check_tenant(options.tenant)
    except (ValueError, ConfigurationError) as error:
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
