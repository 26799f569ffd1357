"""Both ends of the wire: a server that sends whatever a test says, a proxy, and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["ANSWER", "DOCUMENT", "Authority", "Peer", "TinyProxy", "answer"]

DOCUMENT = b'{"metadata":{"version":3},"currency":"EUR"}'
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LONG_AHEAD = datetime(2090, 1, 1, tzinfo=UTC)

Handle = Callable[["Peer", bytes, asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: bytes = b"", *fields: bytes) -> bytes:
    """Return an answer in bytes."""
    return b"\r\n".join([b"HTTP/1.1 " + status.encode(), b"content-length: %d" % len(body), *fields, b"", body])


ANSWER = answer("200 OK", DOCUMENT, b"content-type: application/json")


async def send(peer: Peer, _request: bytes, writer: asyncio.StreamWriter) -> None:
    """Send the answer of the moment."""
    writer.write(peer.answer)
    if peer.closes:
        writer.close()


class Peer:
    """A server that answers each request by a function; it remembers what it was sent.

    Args:
        handle: makes the answers, by default `answer` of the moment.
        tls: for https.
    """

    def __init__(self, handle: Handle = send, *, tls: ssl.SSLContext | None = None) -> None:
        self._handle = handle
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()
        self.answer = ANSWER
        self.closes = False
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://localhost:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if b"content-length:" in line), 0)
                self.requests.append(head + await reader.readexactly(length))
                await self._handle(self, self.requests[-1], writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


class TinyProxy:
    """A proxy for https (RFC 9110, section 9.3.6), behind which every host is one port of this machine.

    Args:
        port: that port.
        refuses: answer 407 to everybody.
    """

    def __init__(self, port: int, *, refuses: bool = False) -> None:
        self._port = port
        self._refuses = refuses
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[bytes] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        while self._tasks:
            await asyncio.sleep(0.001)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self._refuses:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            else:
                await self._pass_on(reader, writer)
        writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, forth), _copy(back, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.transport.abort()


class Authority:
    """Signs certificates of servers.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of a test")])
        usage = x509.BasicConstraints(ca=True, path_length=None)
        certificate = _certificate(self._name, self._name, (self._key, self._key), LONG_AHEAD, usage)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.file = folder / "authority.pem"
        self.file.write_bytes(pem)
        self.directory = folder / "authorities"
        self.directory.mkdir()
        (self.directory / f"{self._hash()}.0").write_bytes(pem)

    def server(self, host: str, *, ends: datetime = LONG_AHEAD) -> ssl.SSLContext:
        """Return what a server of this name uses."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        certificate = _certificate(name, self._name, (key, self._key), ends, names)
        file = self._folder / f"{host}-{ends.year}.pem"
        no_password = serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, pkcs8, no_password)
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _hash(self) -> str:
        """Return the name that OpenSSL looks for in a directory: of one lower-case field, its own DER will do."""
        inner = self._name.public_bytes()[2:]
        return hashlib.sha1(inner, usedforsecurity=False).digest()[3::-1].hex()


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    keys: tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey],
    ends: datetime,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    key, signer = keys
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(LONG_AGO, ends - timedelta(days=1)))
        .not_valid_after(ends)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())
