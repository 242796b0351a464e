"""Sockets: bytes in as events, bytes out as the driver writes them.

One `Connection` a socket. Its outbound buffer has two marks, `write_buffer_bytes` and a quarter
of it: past the first the node is told that it is full, under the second that it drained, and in
between every few seconds while it shrinks, so that the node can tell slow from dead.
"""

import asyncio
import socket
from typing import cast

from chat.core.config import NodeConfig
from chat.core.events import (
    BytesReceived,
    ConnectionLost,
    ConnectionOpened,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.net.driver import Driver

PROGRESS_S = 5.0
"""How often a full buffer is looked at."""
CLOSE_S = 5.0
"""How long a connection that was closed may take to send what is buffered."""


class Connection(asyncio.Protocol):
    """One socket between a peer and the driver."""

    def __init__(
        self, driver: Driver, config: NodeConfig, progress_s: float, close_s: float
    ) -> None:
        self._driver = driver
        self._progress_s = progress_s
        self._close_s = close_s
        self._high_bytes = config.write_buffer_bytes
        self._low_bytes = config.write_buffer_bytes // 4
        self._number = 0
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._progress: asyncio.TimerHandle | None = None
        self._cut_off: asyncio.TimerHandle | None = None
        self._buffered_bytes = 0

    # ------------------------------------------------------------------ from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._high_bytes, low=self._low_bytes)
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self._transport.get_extra_info("peername")
        self._number = self._driver.connected(self)
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._driver.feed(ConnectionOpened(self._number, address))

    def data_received(self, data: bytes) -> None:
        self._driver.feed(BytesReceived(self._number, data))

    def pause_writing(self) -> None:
        self._buffered_bytes = self._transport.get_write_buffer_size()
        self._look_later()
        self._driver.feed(WriteBufferFull(self._number))

    def resume_writing(self) -> None:
        self._look_no_more()
        buffered_bytes = self._transport.get_write_buffer_size()
        self._driver.feed(WriteBufferDrained(self._number, buffered_bytes))

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_no_more()
        if self._cut_off is not None:
            self._cut_off.cancel()
        self._driver.disconnected(self._number)
        self._driver.feed(ConnectionLost(self._number))

    # ------------------------------------------------------------------ from the driver

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        """Sends what is buffered, then ends; a peer that takes too long is cut off."""
        if self._cut_off is None:
            self._cut_off = self._loop.call_later(self._close_s, self._transport.abort)
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    # ------------------------------------------------------------------ progress

    def _look_later(self) -> None:
        self._progress = self._loop.call_later(self._progress_s, self._look)

    def _look(self) -> None:
        before_bytes, self._buffered_bytes = (
            self._buffered_bytes,
            self._transport.get_write_buffer_size(),
        )
        self._look_later()
        if self._buffered_bytes < before_bytes:
            self._driver.feed(WriteBufferDrained(self._number, self._buffered_bytes))

    def _look_no_more(self) -> None:
        if self._progress is not None:
            self._progress.cancel()
            self._progress = None


async def listen(
    driver: Driver,
    config: NodeConfig,
    host: str,
    port: int,
    *,
    progress_s: float = PROGRESS_S,
    close_s: float = CLOSE_S,
) -> asyncio.Server:
    """Takes the port; nobody is let in before `start_serving`. Each of the two raises OSError if
    the port cannot be had."""
    return await asyncio.get_running_loop().create_server(
        lambda: Connection(driver, config, progress_s, close_s),
        host,
        port,
        backlog=1024,
        start_serving=False,
    )
