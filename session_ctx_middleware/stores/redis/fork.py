"""What a forked process must not do: use, or close, connections that belong to its parent."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["HasConnections", "after_fork"]


class HasConnections(Protocol):
    """Something with connections."""

    def reset_after_fork(self) -> object:
        """Begin anew in the child, and return everything that belongs to the parent."""
        ...


_stores: Final[WeakSet[HasConnections]] = WeakSet()
_inherited: Final[list[object]] = []


def after_fork(store: HasConnections) -> None:
    """Let a store begin anew in every process that is forked from now on."""
    _stores.add(store)


def _in_child() -> None:
    # Kept for good: closing these, which is what happens when they are collected, would write to the parent's TLS
    # connections and take its sockets out of its selector.
    _inherited.extend(store.reset_after_fork() for store in list(_stores))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
