"""The body of an answer: 256 KiB at most, counted as it is unpacked."""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["ACCEPTED", "MAX_BODY", "Body"]

MAX_BODY: Final = 256 * 1024
ACCEPTED: Final = "gzip"
"""What requests accept as encoding (RFC 9110, section 12.5.3): what can be unpacked a little at a time."""

TOO_LARGE: Final = f"larger than {MAX_BODY // 1024} KiB"
UNKNOWN: Final = "encoded in a way that was not asked for"
GZIP: Final = 16 + zlib.MAX_WBITS


class Body:
    """Collects a body piece by piece.

    HTTP libraries unpack a whole piece at once: 64 KiB of it can become 64 MiB of zeros, and more in other encodings.

    Args:
        encoding: the header ``Content-Encoding``.
        length: the header ``Content-Length``.

    Attributes:
        flaw: why it is of no use, `None` where it is.
    """

    __slots__ = ("_data", "_unpack", "flaw")

    def __init__(self, encoding: str | None, length: str | None) -> None:
        self._data = bytearray()
        self._unpack: zlib._Decompress | None = None
        self.flaw: str | None = None
        if encoding and encoding.lower() != "identity":
            self._unpack_from(encoding.strip().lower())
        if length is not None and length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY:
            self.flaw = TOO_LARGE

    def _unpack_from(self, encoding: str) -> None:
        if encoding in {"gzip", "x-gzip"}:
            self._unpack = zlib.decompressobj(GZIP)
        else:  # also packed twice: a few bytes could become any number before they can be counted
            self.flaw = UNKNOWN

    def add(self, piece: bytes) -> bool:
        """Take a piece.

        Returns:
            Whether there is any use in the next one.

        Raises:
            EOFError: it is not packed as it says.
        """
        if self._unpack is not None:
            piece = self._unpacked(self._unpack, piece)
        self._data += piece
        if len(self._data) > MAX_BODY:
            self.flaw = TOO_LARGE
        return self.flaw is None

    def finished(self) -> bytes | None:
        """Return the whole of it, `None` where it has a flaw.

        Raises:
            EOFError: it ends before what it packs does.
        """
        if self.flaw is not None:
            return None
        if self._unpack is not None and self._data and not self._unpack.eof:
            raise EOFError
        return bytes(self._data)

    def _unpacked(self, unpack: zlib._Decompress, piece: bytes) -> bytes:
        try:
            return unpack.decompress(piece, MAX_BODY + 1 - len(self._data))
        except zlib.error:
            raise EOFError from None
