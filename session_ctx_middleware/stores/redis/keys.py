"""Where things are in Redis."""

from __future__ import annotations

__all__ = ["Keys"]


class Keys:
    """The names of all keys, and of the channel.

    Args:
        namespace: what all of them begin with.
    """

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{namespace}:v1:"
        self.sequence = f"{self._prefix}seq"
        self.channel = f"{self._prefix}notices"
        # A key, and a channel to which nobody listens: whether one may write and publish.
        self.probe = f"{self._prefix}probe"

    def document(self, name: str) -> str:
        """Return the key of a document and its floor."""
        return f"{self._prefix}{name}"

    def parked(self, name: str) -> str:
        """Return the key of parked changes."""
        return f"{self._prefix}parked:{name}"

    def tokens(self, name: str) -> str:
        """Return the key of a sealed session."""
        return f"{self._prefix}tokens:{name}"

    def claim(self, name: str) -> str:
        """Return the key that says that somebody is at work."""
        return f"{self._prefix}claim:{name}"
