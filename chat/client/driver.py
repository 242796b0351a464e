"""The session on a real network: its effects are carried out on sockets, which feed it events."""

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from chat.client.session.client_session import ClientSession
from chat.client.session.ports.effects import Dial, HangUp, Transmit
from chat.client.session.ports.events import (
    AnyEvent,
    BytesReceived,
    Connected,
    Disconnected,
    Tick,
)
from chat.client.session.ports.notices import AnyNotice


class SessionDriver:
    """Drives one session on the running loop, against the node at `host` and `port`. Each notice is
    handed to `show`.

    `feed` may be called from within `show`: events are handled one after the other.
    """

    def __init__(
        self, session: ClientSession, host: str, port: int, show: Callable[[AnyNotice], None]
    ) -> None:
        self.session = session
        self._host = host
        self._port = port
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._events: deque[AnyEvent] = deque()
        self._feeding = False
        self._transports: dict[int, asyncio.Transport] = {}
        self._dials: dict[int, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, event: AnyEvent) -> None:
        """Has the session handle an event: one of the network, or what the user wants."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._feeding = False
        self._set_timer()

    def _handle(self, event: AnyEvent) -> None:
        for effect in self.session.handle(event, _now_ms()):
            if isinstance(effect, Dial):
                number = effect.connection
                self._dials[number] = self._loop.create_task(self._dial(number))
            elif isinstance(effect, Transmit):
                transport = self._transports.get(effect.connection)
                if transport is not None:
                    transport.write(effect.data)
            elif isinstance(effect, HangUp):
                self._hang_up(effect.connection)
            else:
                self._show(effect)

    def close(self) -> None:
        """Ends all connections and timers at once; the session hears nothing of it."""
        for number in [*self._transports, *self._dials]:
            self._hang_up(number)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _dial(self, number: int) -> None:
        """Connects. There is no time limit here: the session hangs up when it has waited enough."""
        try:
            await self._loop.create_connection(
                lambda: _SocketProtocol(self, number), self._host, self._port
            )
        except OSError as error:
            self._dials.pop(number, None)
            self.feed(Disconnected(number, _reason(error)))
        else:
            self._dials.pop(number, None)

    def _hang_up(self, number: int) -> None:
        dial = self._dials.pop(number, None)
        if dial is not None:
            dial.cancel()
        transport = self._transports.pop(number, None)
        if transport is not None:
            transport.close()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self.session.next_deadline_ms()
        if due_ms is not None:
            delay_ms = max(0, due_ms - _now_ms())
            self._timer = self._loop.call_later(delay_ms / 1000, self.feed, Tick())

    # ------------------------------------------------------------------ from the sockets

    def socket_opened(self, number: int, transport: asyncio.Transport) -> None:
        self._transports[number] = transport
        self.feed(Connected(number))

    def socket_closed(self, number: int, reason: str) -> None:
        if self._transports.pop(number, None) is not None:
            self.feed(Disconnected(number, reason))


class _SocketProtocol(asyncio.Protocol):
    """One socket, under the number of its Dial."""

    def __init__(self, driver: SessionDriver, number: int) -> None:
        self._driver = driver
        self._number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._driver.socket_opened(self._number, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._driver.feed(BytesReceived(self._number, data))

    def connection_lost(self, exc: Exception | None) -> None:
        reason = _reason(exc) if isinstance(exc, OSError) else "the node closed the connection"
        self._driver.socket_closed(self._number, reason)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _reason(error: OSError) -> str:
    """Why there is no connection, in a few words for the user."""
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
