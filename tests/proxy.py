"""A TCP proxy that cuts, swallows and stops: what happens on the way between two programs.

One thread a direction of a connection. `cut_after(up=k)` lets k more bytes go up (from the client
to the server) and then resets both ends; `down` counts the other way. `deaf` swallows what goes
that way; `stopped` keeps it.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

HOST = "127.0.0.1"
CHUNK = 65_536
Swallow = Callable[[bytes], bytes]


class Proxy:
    """Listens on `port` and carries everything to and from the target's port."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.passing = threading.Event()
        """While it is not set nothing passes."""
        self.passing.set()
        self.edit: dict[str, Swallow] = {}
        """By direction: what is made of the bytes that pass."""
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, *, up: int | None = None, down: int | None = None) -> None:
        """After so many more bytes that way the connection they are on is reset."""
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
                for way, source, sink in (("up", client, server), ("down", server, client)):
                    threading.Thread(
                        target=self._carry, args=(way, source, sink), daemon=True
                    ).start()

    def _carry(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self.passing.wait()
                data = self.edit.get(way, bytes)(data)
                part, is_cut = self._allow(way, data)
                if part:
                    sink.sendall(part)
                if is_cut:
                    break
        _reset(source, sink)

    def _allow(self, way: str, data: bytes) -> tuple[bytes, bool]:
        """What of it may pass, and whether that was the last."""
        with self._lock:
            left = self._left[way]
            if left is None:
                return data, False
            if len(data) < left:
                self._left[way] = left - len(data)
                return data, False
            self._left = {"up": None, "down": None}
            return data[:left], True


def _reset(*sockets: socket.socket) -> None:
    """Ends connections in a way that their peers notice at once."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
