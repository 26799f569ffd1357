"""A large JSON object that nobody can change: its values are frozen when they are first read, key by key."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any, Final

from .frozen_json import EMPTY, FrozenDict, Json

__all__ = ["LazyDict"]


class LazyDict(FrozenDict[Json]):
    """A `FrozenDict` that does not look at the values of the parsed object it is made of until somebody reads them.

    Freezing takes several times as long as parsing does, and of a large object few keys are read.
    """

    __slots__ = ()

    def __getitem__(self, key: str) -> Json:
        value = dict.__getitem__(self, key)
        return self._frozen(key, value) if type(value) in _PARSED else value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, `default` where there is none."""
        return self[key] if key in self else default  # noqa: SIM401

    def __iter__(self) -> Iterator[str]:
        # Also for those who copy: a `dict` that has an `__iter__` of its own is not copied past `__getitem__`.
        self._settle()
        return dict.__iter__(self)

    def values(self) -> ValuesView[Json]:  # type: ignore[override]
        """Return the values, frozen."""
        self._settle()
        return dict.values(self)

    def items(self) -> ItemsView[str, Json]:  # type: ignore[override]
        """Return keys and values, frozen."""
        self._settle()
        return dict.items(self)

    def copy(self) -> dict[str, Json]:
        """Return a plain `dict` of the frozen values."""
        self._settle()
        return dict.copy(self)

    def __or__(self, other: Any) -> Any:
        self._settle()
        return dict.__or__(self, other)

    def __ror__(self, other: Any) -> Any:
        self._settle()
        return dict.__ror__(self, other)

    def __eq__(self, other: object) -> bool:
        for each in (self, other):
            if isinstance(each, LazyDict):
                each._settle()
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = None  # type: ignore[assignment]

    def _settle(self) -> None:
        for key, value in dict.items(self):
            if type(value) in _PARSED:
                self._frozen(key, value)

    def _frozen(self, key: str, value: object) -> Json:
        frozen = _lazily(value)
        dict.__setitem__(self, key, frozen)  # of two threads that do so, either one's will do
        return frozen


def _lazily(value: Any) -> Json:
    if type(value) is dict:
        return LazyDict(value) if value else EMPTY
    return tuple(map(_lazily, value)) if type(value) is list else value


_PARSED: Final = frozenset({dict, list})
