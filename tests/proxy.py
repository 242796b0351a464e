"""A TCP proxy with faults: it resets connections, edits the bytes, or holds them.

Each direction of a connection has a thread. `cut_after(up=k)` forwards k more bytes up (from client
to server) and then resets both ends; `down` counts the other direction. `edit` changes the bytes of
a direction; while `passing` is not set, bytes are held.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

HOST = "127.0.0.1"
CHUNK = 65_536
Edit = Callable[[bytes], bytes]


class Proxy:
    """Listens on `port` and forwards connections to the target port."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.passing = threading.Event()
        """While it is not set, no byte is forwarded."""
        self.passing.set()
        self.edit: dict[str, Edit] = {}
        """By direction: a function that changes the bytes."""
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, *, up: int | None = None, down: int | None = None) -> None:
        """Resets the connection that carries the last of this many more bytes in a direction."""
        with self._lock:
            self._left = {"up": up, "down": down}

    def cut(self) -> None:
        """Resets all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _reset(*pair)

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self.passing.set()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self._target_port), 5)
                except OSError:
                    _reset(client)
                    continue
                server.settimeout(None)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._pairs.append((client, server))
                for direction, source, sink in (("up", client, server), ("down", server, client)):
                    threading.Thread(
                        target=self._forward, args=(direction, source, sink), daemon=True
                    ).start()

    def _forward(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self.passing.wait()
                data = self.edit.get(direction, bytes)(data)
                part, is_cut = self._allow(direction, data)
                if part:
                    sink.sendall(part)
                if is_cut:
                    break
        _reset(source, sink)

    def _allow(self, direction: str, data: bytes) -> tuple[bytes, bool]:
        """The part of the data to forward, and whether the connection is reset after it."""
        with self._lock:
            left = self._left[direction]
            if left is None:
                return data, False
            if len(data) < left:
                self._left[direction] = left - len(data)
                return data, False
            self._left = {"up": None, "down": None}
            return data[:left], True


def _reset(*sockets: socket.socket) -> None:
    """Closes connections with a reset, which the peers notice at once."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
