"""TCP: the bytes of a socket become events, and what the driver writes goes out.

There is one `Connection` for each socket. Its outbound buffer has two marks, `write_buffer_bytes`
and a quarter of it. Above the first, WriteBufferFull is fed; below the second, WriteBufferDrained;
in between, WriteBufferDrained every few seconds while the buffer shrinks, so that the node can tell
a slow peer from a dead one.

When a peer shuts its side down (`nc -N` does), EndOfInput is fed, and the socket stays open until
the node closes it.

A connection from a trusted balancer begins with a PROXY header. Its ConnectionOpened is fed when
the header has come, with the address in it; if none comes in time, the connection is aborted and
the node never sees it. On other connections a header is not looked for, so a peer cannot claim an
address.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from chat.core.ports.events import (
    BytesReceived,
    ConnectionLost,
    ConnectionOpened,
    EndOfInput,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.core.state.config import NodeConfig
from chat.net.driver import Driver
from chat.net.proxy_protocol import BadHeader, Balancers, parse_header

PROGRESS_S = 5.0
"""How often a full buffer is checked for progress."""
CLOSE_S = 5.0
"""How long the rest of a buffer may take to be sent once either side has closed."""
FULL_WARNING_S = 60.0
"""How often it is logged at most that there is no room for another connection."""
BACKLOG = 4_096
"""Connections that wait to be accepted. The kernel drops the first packet of any beyond, and a
client, or a balancer, tries again a second later; so there is room for a reconnect storm. Linux
takes no more than net.core.somaxconn, which is as much."""
NO_BALANCERS = Balancers()

_log = logging.getLogger(__name__)


class FullWarning:
    """Logs that the node has as many connections as it may, but not for each that it refuses."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._silent_until_s = 0.0

    def look(self, connections: int, now_s: float) -> None:
        """There are that many connections now."""
        if connections > self._connections and now_s >= self._silent_until_s:
            self._silent_until_s = now_s + FULL_WARNING_S
            _log.warning(
                "All %d connections of this node are in use, so new ones are refused with `busy`;"
                " raise the limit of open files (ulimit -n), or --connections.",
                self._connections,
            )


class Connection(asyncio.Protocol):
    """One socket between a peer and the driver."""

    __slots__ = (
        "_abort_timer",
        "_balancers",
        "_buffered_bytes",
        "_close_s",
        "_driver",
        "_full_warning",
        "_header",
        "_header_s",
        "_header_timer",
        "_high_bytes",
        "_loop",
        "_low_bytes",
        "_number",
        "_peer",
        "_progress",
        "_progress_s",
        "_transport",
        "write",
    )
    write: Callable[[bytes], None]
    """The transport's own, so that a write costs one call less."""

    def __init__(
        self,
        driver: Driver,
        config: NodeConfig,
        balancers: Balancers,
        full_warning: FullWarning,
        progress_s: float,
        close_s: float,
    ) -> None:
        self._driver = driver
        self._full_warning = full_warning
        self._balancers = balancers
        self._header_s = config.login_ms / 1000
        self._progress_s = progress_s
        self._close_s = close_s
        self._high_bytes = config.write_buffer_bytes
        self._low_bytes = config.write_buffer_bytes // 4
        self._number = 0
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._progress: asyncio.TimerHandle | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._buffered_bytes = 0
        self._peer = ""
        self._header: bytearray | None = None
        """The received part of a PROXY header; None if no header is expected."""
        self._header_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        self._transport.set_write_buffer_limits(high=self._high_bytes, low=self._low_bytes)
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self._transport.get_extra_info("peername")
        self._number = self._driver.connected(self)
        self._full_warning.look(len(self._driver), self._loop.time())
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        if self._balancers.trusts(self._peer):
            self._header = bytearray()
            self._header_timer = self._loop.call_later(self._header_s, self._no_header)
        else:
            self._driver.feed(ConnectionOpened(self._number, self._peer))

    def data_received(self, data: bytes) -> None:
        if self._header is not None:
            self._header += data
            data = self._take_header(self._header)
        if data:
            self._driver.feed(BytesReceived(self._number, data))

    def eof_received(self) -> bool:
        """Whether the socket stays open: the node closes it, unless it has not heard of it yet."""
        if self._header is not None:
            return False
        self._driver.feed(EndOfInput(self._number))
        return True

    def pause_writing(self) -> None:
        self._buffered_bytes = self._transport.get_write_buffer_size()
        self._check_progress_later()
        self._driver.feed(WriteBufferFull(self._number))

    def resume_writing(self) -> None:
        self._stop_progress_checks()
        buffered_bytes = self._transport.get_write_buffer_size()
        self._driver.feed(WriteBufferDrained(self._number, buffered_bytes))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_progress_checks()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._driver.disconnected(self._number)
        if self._header is None:
            self._driver.feed(ConnectionLost(self._number))
        else:
            self._stop_header_timer()

    # ------------------------------------------------------------------ the PROXY header

    def _take_header(self, received: bytearray) -> bytes:
        """Opens the connection once its header is complete; gives the bytes behind it."""
        try:
            header = parse_header(received)
        except BadHeader as error:
            _log.warning("Closed a connection from %s: bad PROXY header: %s", self._peer, error)
            self._transport.abort()
            return b""
        if header is None:
            return b""
        self._header = None
        self._stop_header_timer()
        self._driver.feed(ConnectionOpened(self._number, header.address or self._peer))
        return bytes(received[header.length_bytes :])

    def _no_header(self) -> None:
        _log.warning(
            "Closed a connection from %s: no PROXY header within %g s", self._peer, self._header_s
        )
        self._transport.abort()

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    # ------------------------------------------------------------------ from the driver

    def close(self) -> None:
        """Sends what is buffered, then closes; aborts after `close_s`."""
        self._abort_later()
        self._transport.close()

    def _abort_later(self) -> None:
        if self._abort_timer is None:
            self._abort_timer = self._loop.call_later(self._close_s, self.abort)

    def abort(self) -> None:
        # The bytes that are dropped now would look like progress.
        self._stop_progress_checks()
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    # ------------------------------------------------------------------ progress

    def _check_progress_later(self) -> None:
        self._progress = self._loop.call_later(self._progress_s, self._check_progress)

    def _check_progress(self) -> None:
        before_bytes, self._buffered_bytes = (
            self._buffered_bytes,
            self._transport.get_write_buffer_size(),
        )
        self._check_progress_later()
        if self._buffered_bytes < before_bytes:
            self._driver.feed(WriteBufferDrained(self._number, self._buffered_bytes))

    def _stop_progress_checks(self) -> None:
        if self._progress is not None:
            self._progress.cancel()
            self._progress = None


async def listen(
    driver: Driver,
    config: NodeConfig,
    host: str,
    port: int,
    *,
    balancers: Balancers = NO_BALANCERS,
    shared_port: bool = False,
    progress_s: float = PROGRESS_S,
    close_s: float = CLOSE_S,
) -> asyncio.Server:
    """Binds the port; with `shared_port` other processes may bind it too. No connection is accepted
    before `start_serving` of the server that is returned; both raise OSError if the port cannot be
    had. Connections from `balancers` must begin with a PROXY header. `progress_s` and `close_s` are
    PROGRESS_S and CLOSE_S."""
    full_warning = FullWarning(config.connections)
    return await asyncio.get_running_loop().create_server(
        lambda: Connection(driver, config, balancers, full_warning, progress_s, close_s),
        host,
        port,
        backlog=BACKLOG,
        reuse_port=shared_port or None,
        start_serving=False,
    )
