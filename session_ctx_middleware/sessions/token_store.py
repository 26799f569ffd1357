"""Where the tokens of shoppers may be kept instead of in their browsers, and how workers agree on who refreshes one."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from ..checks import with_methods

__all__ = ["HasTokens", "TokenStore", "token_store", "token_store_of"]

METHODS: Final = ("load", "save", "claim")
WANTED: Final = (
    "StorefrontSessions(keep=...) must be 'cookie', or a store such as RedisStore('redis://...') or MemoryStore(); "
    "session_ctx_middleware.sessions.TokenStore says what one of your own has to do."
)


class TokenStore(Protocol):
    """Keeps sealed texts for all workers of a shop: whoever reads them learns nothing, and a key is a hash.

    Everything here may fail or take its time: pages wait half a second at most, and go on without. Implementations
    forget by themselves what has lived its time, and are used by every event loop of the process. One that has
    connections may have a coroutine method ``aclose``, which closes those of the running event loop.
    """

    async def load(self, key: str) -> str | None:
        """Return the text that is kept under a key, `None` where there is none.

        Args:
            key: up to 128 letters, digits, ``.`` and ``-``.
        """
        ...

    async def save(self, key: str, sealed: str, lifetime: float) -> None:
        """Keep a text in place of the one that is there.

        Args:
            key: as for `load`.
            sealed: up to 64 KiB of ASCII, some hundred bytes mostly.
            lifetime: seconds until it is to be forgotten; 0 forgets at once what is there.
        """
        ...

    async def claim(self, key: str, seconds: float) -> bool:
        """Tell whether a key, which has nothing to do with those of texts, is the caller's alone from now on.

        Of all processes that ask at the same moment, one gets `True`.

        Args:
            key: as for `load`.
            seconds: for which everybody else gets `False`.
        """
        ...


@runtime_checkable
class HasTokens(Protocol):
    """A store of contexts that keeps tokens as well: `MemoryStore`, `RedisStore`."""

    @property
    def tokens(self) -> TokenStore:
        """Keeps them."""
        ...


def token_store(keep: object) -> TokenStore:
    """Return what a shop has configured to keep tokens.

    Raises:
        ConfigurationError: it cannot.
    """
    found: Any = keep.tokens if _has_tokens(keep) else keep
    with_methods(found, METHODS, WANTED)
    store: TokenStore = found
    return store


def token_store_of(store: object) -> TokenStore | None:
    """Return what keeps tokens beside contexts in a store, `None` where it keeps none."""
    return store.tokens if _has_tokens(store) else None


def _has_tokens(store: object) -> TypeGuard[HasTokens]:
    # Somebody's own store may have something else of this name.
    return isinstance(store, HasTokens) and all(callable(getattr(store.tokens, name, None)) for name in METHODS)
