"""What every `ContextStore`, and every `TokenStore`, has to do, as functions to run against yours.

    import pytest
    from session_ctx_middleware.testing.store_rules import store_rules

    @pytest.mark.anyio
    @pytest.mark.parametrize("rule", store_rules(), ids=lambda rule: rule.__name__)
    async def test_my_store(rule):
        async def make_store():
            return MyStore(...)  # a new object on the same data each time: another worker

        await rule(make_store)

A rule ends with an `AssertionError` where the store breaks it. Rules use names of their own, so that one database
serves them all; they do not close the stores they made. Where a rule has to wait, it waits for some tenths of a second.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ...clock import Clock, SystemClock
from .checks import MakeStore
from .documents import DocumentRules
from .links import LinkRules
from .notices import NoticeRules
from .parking import ParkingRules
from .tokens import MakeTokenStore, TokenRules

__all__ = ["MakeStore", "MakeTokenStore", "Rule", "TokenRule", "store_rules", "token_store_rules"]

Rule: TypeAlias = Callable[[MakeStore], Awaitable[None]]
TokenRule: TypeAlias = Callable[[MakeTokenStore], Awaitable[None]]

KINDS: Final = (DocumentRules, ParkingRules, LinkRules, NoticeRules)


def store_rules(clock: Clock | None = None) -> list[Rule]:
    """Return the rules.

    Args:
        clock: of the stores under test, where it is not the system's.

    Returns:
        Asynchronous functions with telling names; each takes a function that makes one more store on the same data.
    """
    kinds = [(kind, kind(clock or SystemClock())) for kind in KINDS]
    return [getattr(rules, name) for kind, rules in kinds for name in vars(kind) if not name.startswith("_")]


def token_store_rules(clock: Clock | None = None) -> list[TokenRule]:
    """Return the rules of stores that `StorefrontSessions` keeps tokens in; as for `store_rules`.

    Args:
        clock: of the stores under test, where it is not the system's.
    """
    rules = TokenRules(clock or SystemClock())
    return [getattr(rules, name) for name in vars(TokenRules) if not name.startswith("_")]
