"""A WebSocket over HTTP/2 (RFC 8441): enough of a client to say something and to hear the answers."""

from __future__ import annotations

import socket
from collections import deque
from typing import Final, Self

import h2.config
import h2.connection
import h2.events
from wsproto.frame_protocol import FrameProtocol

__all__ = ["HTTP2Socket"]

SECONDS: Final = 30.0
BYTES: Final = 65_536


class HTTP2Socket:
    """An open WebSocket.

    Args:
        port: where the server listens, on this machine.
        path: of the WebSocket.
        headers: sent along.

    Raises:
        ConnectionError: the server does not open it.
    """

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._frames = FrameProtocol(client=True, extensions=[])
        self._heard: deque[str] = deque()
        self._open = False
        try:
            self._stream = self._connect(port, path, headers)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _connect(self, port: int, path: str, headers: dict[str, str]) -> int:
        self._http.initiate_connection()
        self._flush()
        while not self._http.remote_settings.enable_connect_protocol:
            self._receive()
        stream = self._http.get_next_available_stream_id()
        request = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":scheme": "http",
            ":path": path,
            ":authority": f"127.0.0.1:{port}",
            "sec-websocket-version": "13",
            **headers,
        }
        self._http.send_headers(stream, list(request.items()))
        self._flush()
        while not self._open:
            self._receive()
        return stream

    def send(self, text: str) -> None:
        """Say something."""
        self._http.send_data(self._stream, bytes(self._frames.send_data(text, fin=True)))
        self._flush()

    def recv(self) -> str:
        """Return what is heard next."""
        while not self._heard:
            self._receive()
        return self._heard.popleft()

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _receive(self) -> None:
        data = self._socket.recv(BYTES)
        if not data:
            raise ConnectionError("the server has closed the connection")
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self._opened({str(name): str(value) for name, value in event.headers or ()})
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ConnectionError(f"the server has ended it: {event}")
            elif isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                self._frames.receive_bytes(event.data or b"")
                self._heard.extend(str(frame.payload) for frame in self._frames.received_frames())
        self._flush()

    def _opened(self, headers: dict[str, str]) -> None:
        if headers[":status"] != "200":
            raise ConnectionError(f"the server answers {headers[':status']}")
        self._open = True
