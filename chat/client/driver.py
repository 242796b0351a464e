"""The session on a real network: dials, bytes, time. What it tells goes to the user interface."""

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from chat.client.session.interface import (
    AnyEvent,
    BytesReceived,
    Connected,
    Dial,
    Disconnected,
    HangUp,
    Notice,
    Tick,
    Transmit,
)
from chat.client.session.session import ClientSession


class LinkRunner:
    """Feeds one session on the running loop, and hands what it tells to `show`.

    `feed` may be called from within `show`: events are handled one after the other.
    """

    def __init__(
        self, session: ClientSession, host: str, port: int, show: Callable[[Notice], None]
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
        """Has the session handle what happened, or what the person wants."""
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
        """Ends everything, at once."""
        for number in [*self._transports, *self._dials]:
            self._hang_up(number)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _dial(self, number: int) -> None:
        """How long this may take is for the session to say; it hangs up."""
        try:
            await self._loop.create_connection(
                lambda: _Connection(self, number), self._host, self._port
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

    # ------------------------------------------------------------------ from the connections

    def made(self, number: int, transport: asyncio.Transport) -> None:
        self._transports[number] = transport
        self.feed(Connected(number))

    def lost(self, number: int, reason: str) -> None:
        if self._transports.pop(number, None) is not None:
            self.feed(Disconnected(number, reason))


class _Connection(asyncio.Protocol):
    def __init__(self, runner: LinkRunner, number: int) -> None:
        self._runner = runner
        self._number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._runner.made(self._number, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._runner.feed(BytesReceived(self._number, data))

    def connection_lost(self, exc: Exception | None) -> None:
        reason = _reason(exc) if isinstance(exc, OSError) else "the node closed the connection"
        self._runner.lost(self._number, reason)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _reason(error: OSError) -> str:
    """A few words on why there is no connection."""
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
