"""What can be asked for on the command line, and how it is answered."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from ..emporix import OwnContextClient
from ..emporix.address import BASE_URL
from ..errors import ConfigurationError, ContextNotFound, EmporixError, SessionContextError, TokenRejected
from .demo import Trouble, run_demo
from .doctor import Finding, check_up
from .probes import Settings

__all__ = ["main"]

TOKEN: Final = "EMPORIX_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD: Final = "EMPORIX_PASSWORD"  # noqa: S105 - the name of a variable
WRONG_USE: Final = 2
FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line.

    Returns:
        The exit status: 0, 1 where Emporix could not be asked, 2 where the command was not understood.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except Trouble as trouble:
        return _failed(f"demo: {trouble}", FAILED)
    except ConfigurationError as error:
        return _failed(str(error), WRONG_USE)
    except SessionContextError as error:
        return _failed(f"{str(error).rstrip('.')}. {_hint(error)}".strip(), FAILED)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m session_ctx_middleware.cli",
        description="Looks at contexts of an Emporix tenant, and shows an example shop.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser(
        "inspect",
        help="show the session context of a shopper",
        description=f"Shows a session context. The shopper's token is taken from the variable {TOKEN}, or from "
        "standard input, never from the command line, where others would see it.",
    )
    _add_place(inspect)
    inspect.set_defaults(run=_waited_for(_inspect))
    doctor = commands.add_parser(
        "doctor",
        help="find out how a tenant answers what the documentation leaves open",
        description="Begins an anonymous session, and a cart where contexts need one, asks what the documentation of "
        "Emporix leaves open, and deletes the cart. The status is 0 whatever is found.",
    )
    _add_place(doctor)
    doctor.add_argument("--client-id", required=True, help="of the storefront, from the Developer Portal")
    doctor.add_argument("--check-config", action="store_true", help="only see whether the values below are offered")
    for name in ("site-code", "currency", "language", "target-location"):
        doctor.add_argument(f"--{name}", help="what a session begins with")
    doctor.add_argument("--email", help=f"of a customer of your own; the password is taken from {PASSWORD}")
    doctor.set_defaults(run=_waited_for(_doctor))
    demo = commands.add_parser(
        "demo",
        help="start the example shop on a fake Emporix, or on yours",
        description="Starts the example shop, and FakeEmporix behind it. With EMPORIX_TENANT and EMPORIX_CLIENT_ID in "
        "the environment, the shop talks to that tenant instead.",
    )
    demo.add_argument("--port", type=_port, default="8000", help="of the shop (%(default)s)")
    demo.set_defaults(run=_demo)
    return parser


def _waited_for(command: Callable[[argparse.Namespace], Coroutine[Any, Any, int]]) -> Callable[..., int]:
    return lambda options: asyncio.run(command(options))


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")


def _demo(options: argparse.Namespace) -> int:
    run_demo(options.port, os.environ)
    return 0


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, help="the name of the tenant")
    parser.add_argument("--base-url", default=BASE_URL, help="where Emporix is (%(default)s)")
    parser.add_argument("--json", action="store_true", help="answer as JSON")


async def _inspect(options: argparse.Namespace) -> int:
    token = os.environ.get(TOKEN) or ("" if sys.stdin.isatty() else sys.stdin.readline().strip())
    if not token:
        raise ConfigurationError(f"Put the shopper's token into the variable {TOKEN}, or into standard input.")
    async with OwnContextClient(options.tenant, base_url=options.base_url) as contexts:
        document = (await contexts.get(token)).to_dict()
    _write(json.dumps(document, indent=2, default=str) if options.json else _table(document))
    return 0


async def _doctor(options: argparse.Namespace) -> int:
    seeds = {name: getattr(options, name) for name in ("site_code", "currency", "language", "target_location")}
    settings = Settings(
        options.tenant,
        options.client_id,
        options.base_url,
        {name: value for name, value in seeds.items() if value is not None},
    )
    if options.email and not os.environ.get(PASSWORD):
        raise ConfigurationError(f"Put the customer's password into the variable {PASSWORD}.")
    customer = (options.email, os.environ[PASSWORD]) if options.email else None
    findings: list[Finding] = []
    async for finding in check_up(settings, config_only=options.check_config, customer=customer):
        findings.append(finding)
        if not options.json:
            _write(f"{finding.question:<58} {finding.answer}" + (f"\n    {finding.remark}" if finding.remark else ""))
    if options.json:
        _write(json.dumps({finding.name: finding.answer for finding in findings}, indent=2))
    return 0


def _table(document: Mapping[str, object]) -> str:
    flat = {name: value for name, value in document.items() if not isinstance(value, Mapping)}
    for name, value in document.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, Mapping) else {}
    width = max(map(len, flat), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in flat.items())


def _hint(error: SessionContextError) -> str:
    if isinstance(error, ContextNotFound):
        return "The session has no context yet: most tenants make one with the first cart."
    if isinstance(error, TokenRejected):
        return "Is the token (or the client id) one of this tenant, and has it not ended?"
    return "Check --tenant, --base-url and the network." if isinstance(error, EmporixError) else ""


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _failed(text: str, status: int) -> int:
    sys.stderr.write(text + "\n")
    return status
