"""A whole node in this process: the real driver, store, password hasher, bus and sockets."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from chat.bus.base import Bus
from chat.bus.local import LocalBus
from chat.core.node import Node
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from chat.net.driver import Driver
from chat.net.password_hasher import PasswordHasher
from chat.net.proxy_protocol import Balancers
from chat.net.recorder import Recorder
from chat.net.tcp import CLOSE_S, NO_BALANCERS, PROGRESS_S, listen
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.service import StoreService

WAIT_S = 10.0
DEFAULTS = NodeConfig()


class WatchedNode(Node):
    """A node that keeps its events and effects, and whose events can be waited for."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self.events: list[AnyEvent] = []
        self.effects: list[AnyEffect] = []
        self._fed = asyncio.Event()

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        self.events.append(event)
        self._fed.set()
        effects = super().handle(event, now_ms)
        self.effects.extend(effects)
        return effects

    def received(self, *kinds: type[AnyEvent]) -> list[AnyEvent]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def receives(self, kind: type[AnyEvent], count: int = 1) -> list[AnyEvent]:
        """The events of that type, as soon as there are `count`."""
        async with asyncio.timeout(WAIT_S):
            while len(self.received(kind)) < count:
                self._fed.clear()
                await self._fed.wait()
        return self.received(kind)


class Peer:
    """The far end of a connection. It reads only when it is told to."""

    def __init__(self, raw: socket.socket) -> None:
        self._socket = raw
        self._buffer = b""

    async def write(self, data: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def ask(self, type: str, id: int, **fields: object) -> None:
        await self.write(json.dumps({"type": type, "id": id, **fields}).encode() + b"\n")

    async def read(self, most_bytes: int = 65_536) -> bytes:
        """The bytes that have come, as soon as any have; none at the end of the connection."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await asyncio.get_running_loop().sock_recv(self._socket, most_bytes)
            except ConnectionResetError:
                return b""

    async def line(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = await self.read()
            assert data, f"the connection ended after {self._buffer!r}"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    async def line_of(self, type: str) -> dict[str, Any]:
        """The next line of that type; lines before it are dropped."""
        while (line := await self.line())["type"] != type:
            pass
        return line

    async def rest(self) -> bytes:
        """All that comes until the connection ends."""
        while data := await self.read():
            self._buffer += data
        return self._buffer

    def shut_down(self) -> None:
        """Ends its output, and goes on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


class RunningNode:
    """A running node and its peers."""

    def __init__(self, node: WatchedNode, driver: Driver, port: int) -> None:
        self.node = node
        self.driver = driver
        self.port = port
        self._peers: list[Peer] = []

    async def connect(self, receive_bytes: int | None = None) -> Peer:
        """A peer that got its `welcome`; with `receive_bytes`, one with a small window."""
        raw = socket.socket()
        raw.setblocking(False)
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        peer = self.add(raw)
        assert (await peer.line())["type"] == "welcome"
        return peer

    def add(self, raw: socket.socket) -> Peer:
        """A peer on a connection that the caller made; it is closed with all others."""
        peer = Peer(raw)
        self._peers.append(peer)
        return peer

    async def log_in(self, name: str) -> Peer:
        """A peer that registered and logged in."""
        peer = await self.connect()
        await peer.ask("register", 1, name=name, password=f"secret-{name}")
        assert (await peer.line())["type"] == "registered"
        await peer.ask("login", 2, user=name, password=f"secret-{name}")
        assert (await peer.line())["type"] == "logged_in"
        return peer

    def hang_up(self) -> None:
        for peer in self._peers:
            peer.close()


@contextlib.asynccontextmanager
async def running_node(
    store: Path,
    config: NodeConfig = DEFAULTS,
    *,
    bus: Bus | None = None,
    node_type: type[WatchedNode] = WatchedNode,
    recording: Path | None = None,
    recorder_type: type[Recorder] = Recorder,
    balancers: Balancers = NO_BALANCERS,
    progress_s: float = PROGRESS_S,
    close_s: float = CLOSE_S,
    send_bytes: int | None = None,
) -> AsyncIterator[RunningNode]:
    """A node that is up; at the end all connections are closed and nothing is left running. With
    `send_bytes` its sockets hold no more than about that of what is to be sent; without, the system
    gives them more and more."""
    node = node_type(config)
    bus = bus or LocalBus()
    recorder = recorder_type(recording, config) if recording is not None else None
    driver = Driver(node, bus, recorder)
    driver.store = service = StoreService(lambda: open_sqlite(store), driver.answer_threadsafe)
    driver.password_hasher = hasher = PasswordHasher(driver.answer_threadsafe)
    service.start()
    server = await listen(
        driver,
        config,
        "127.0.0.1",
        0,
        balancers=balancers,
        progress_s=progress_s,
        close_s=close_s,
    )
    if send_bytes is not None:
        with socket.socket(fileno=os.dup(server.sockets[0].fileno())) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
    await server.start_serving()
    bus.start(driver.feed, service.cluster)
    up = RunningNode(node, driver, server.sockets[0].getsockname()[1])
    try:
        yield up
    finally:
        up.hang_up()
        server.close()
        await driver.drain(retry_after_ms=0, limit_ms=5_000)
        driver.stop()
        await bus.close()
        hasher.close()
        service.close()
        if recorder is not None:
            recorder.close()
