"""The driver: events into the node, effects out of it.

Theory of operation
-------------------

Every event is put in one queue and handled in its order, on the loop's thread; `Node.handle` is
never entered a second time from within. Its effects are carried out in order as soon as it returns.
What an effect brings about comes back as an event, later.

What is written to a socket is decided by the core's write coalescing
(chat/core/delivery/write_coalescing.py). The driver gives it the effects, calls its `flush` in the
next loop iteration whenever one is due, and waits for the pause it asks for.

The driver itself decides these things, all of them without regard to what the node is for:

- Time. `now_ms` is the wall clock at the start plus what a monotonic clock has counted since, so it
  never goes back. Events that are handled one right after the other have the same time.
- The timer. There is one, set to `Node.next_deadline_ms()` when the queue is empty. It feeds a
  Tick.
- Internal errors. An exception from `Node.handle` is logged with its event; the connection of that
  event is aborted; the node goes on with the next one. A Tick that raised is not repeated before
  `INTERNAL_ERROR_PAUSE_MS` are over. Exceptions that the node caught itself
  (`take_internal_errors`) are logged.

After `stop` nothing is fed to the node any more, and so nothing comes out of it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from chat.core.delivery.write_coalescing import WriteCoalescer
from chat.core.node import Node
from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.effects import (
    Announce,
    AnyEffect,
    Close,
    Deliver,
    Effect,
    PauseReading,
    Publish,
    Query,
    ResumeReading,
    Send,
    Subscribe,
    Unsubscribe,
)
from chat.core.ports.events import AnyEvent, Drain, Tick, answer_event
from chat.core.ports.operations import (
    AnyOutcome,
    PasswordOperation,
    PresenceOperation,
    StoreOperation,
)
from chat.core.ports.routing import Parties, route
from chat.net.recorder import Recorder

INTERNAL_ERROR_PAUSE_MS = 1_000
"""How long no Tick is fed after one that raised."""

EffectT = TypeVar("EffectT", bound=Effect)
_log = logging.getLogger(__name__)


class Transport(Protocol):
    """What the driver needs of a connection's socket."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Store(Protocol):
    """Takes operations by ticket; their outcomes come to `Driver.answer_threadsafe`."""

    def submit_all(self, jobs: Sequence[tuple[int, StoreOperation]]) -> None: ...


class PasswordHashing(Protocol):
    """Takes operations by ticket; their outcomes come to `Driver.answer_threadsafe`."""

    def submit(self, ticket: int, operation: PasswordOperation) -> None: ...


class Bus(Protocol):
    """What the driver needs of a bus; chat/bus/base.py has the whole contract of one."""

    def publish(self, channel: str, message: AnyBusMessage) -> None: ...

    def subscribe(self, channel: str, ticket: int) -> None: ...

    def unsubscribe(self, channel: str) -> None: ...

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None: ...

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None: ...


class Driver:
    """Runs one node on the running loop. `store` and `password_hasher` must be set before the first
    event is fed."""

    store: Store
    password_hasher: PasswordHashing

    def __init__(
        self,
        node: Node,
        bus: Bus,
        recorder: Recorder | None = None,
        coalescer: WriteCoalescer | None = None,
    ) -> None:
        self._node = node
        self._bus = bus
        self._recorder = recorder
        self._coalescer = coalescer = coalescer or WriteCoalescer()
        self._loop = asyncio.get_running_loop()
        self._start_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000
        self._events: deque[AnyEvent] = deque()
        self._handling = False
        self._stopped = False
        self._transports: dict[int, Transport] = {}
        self._connections = 0
        self._flushing = False
        """A flush comes in the next loop iteration."""
        self._jobs: list[tuple[int, StoreOperation]] = []
        """Operations for the store, which are submitted together when the queue is empty."""
        self._unanswered_jobs = 0
        """Queries that the store and the password hasher have not answered."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._no_tick_before_ms = 0
        self._idle: asyncio.Event | None = None
        """Set while draining, once no connection and no job is left."""
        self._parties = Parties(self._ask_store, self._ask_password_hasher, self._ask_presence)
        self._carry_out: dict[type[Effect], Callable[[Any], None]] = {}
        """By the type of the effect: the function that carries it out."""
        self._on(Send, coalescer.send)
        self._on(Deliver, coalescer.deliver)
        self._on(Close, self._close)
        self._on(PauseReading, lambda effect: self._set_reading(effect.connection, on=False))
        self._on(ResumeReading, lambda effect: self._set_reading(effect.connection, on=True))
        self._on(Query, self._query)
        self._on(Publish, self._publish)
        self._on(Subscribe, lambda effect: bus.subscribe(effect.channel, effect.ticket))
        self._on(Unsubscribe, lambda effect: bus.unsubscribe(effect.channel))
        self._on(Announce, lambda effect: bus.announce(effect.online, effect.offline))

    def _on(self, effect: type[EffectT], carry_out: Callable[[EffectT], None]) -> None:
        self._carry_out[effect] = carry_out

    def now_ms(self) -> int:
        """Milliseconds since 1970, never going back."""
        return self._start_ms + time.monotonic_ns() // 1_000_000

    # ------------------------------------------------------------------ connections

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._transports)

    def connected(self, transport: Transport) -> int:
        """A number for a new connection. The caller feeds its ConnectionOpened."""
        self._connections += 1
        self._transports[self._connections] = transport
        return self._connections

    def disconnected(self, connection: int) -> None:
        """The transport is gone. The caller feeds its ConnectionLost."""
        self._transports.pop(connection, None)
        self._coalescer.drop(connection)
        self._check_idle()

    # ------------------------------------------------------------------ events

    def feed(self, event: AnyEvent) -> None:
        """Has the event handled: now, or after the events that are being handled."""
        if self._stopped:
            return
        self._events.append(event)
        if not self._handling:
            self._handle_all()

    def answer_threadsafe(self, answers: Sequence[tuple[int, AnyOutcome]]) -> None:
        """Takes outcomes by ticket, from any thread. They are handled in one event."""
        try:
            self._loop.call_soon_threadsafe(self._answered, answers)
        except RuntimeError:
            _log.debug("an answer came after the loop had ended")

    def _answered(self, answers: Sequence[tuple[int, AnyOutcome]]) -> None:
        self._unanswered_jobs -= len(answers)
        if self._stopped:
            return
        self.feed(answer_event(answers))
        self._check_idle()

    def _handle_all(self) -> None:
        self._handling = True
        events, handle, carry_out = self._events, self._node.handle, self._carry_out
        take_internal_errors = self._node.take_internal_errors
        now_ms = self.now_ms()
        try:
            while events:
                event = events.popleft()
                if self._recorder is not None:
                    self._record(self._recorder, event, now_ms)
                try:
                    effects: list[AnyEffect] = handle(event, now_ms)
                except Exception:
                    self._internal_error(event, now_ms)
                    continue
                for error in take_internal_errors():
                    _log.error("internal error at %s", _describe(event), exc_info=error)
                for effect in effects:
                    carry_out[type(effect)](effect)
        finally:
            self._handling = False
            if self._jobs:
                jobs, self._jobs = self._jobs, []
                self.store.submit_all(jobs)
            if self._coalescer.flush_due and not self._flushing:
                self._flush_soon()
        self._set_timer()

    def _internal_error(self, event: AnyEvent, now_ms: int) -> None:
        _log.exception("internal error at %s", _describe(event))
        transport = self._transports.get(getattr(event, "connection", 0))
        if transport is not None:
            transport.abort()
        if isinstance(event, Tick):
            self._no_tick_before_ms = now_ms + INTERNAL_ERROR_PAUSE_MS

    def _record(self, recorder: Recorder, event: AnyEvent, now_ms: int) -> None:
        try:
            recorder.record(event, now_ms)
        except OSError as error:
            _log.error("The recording ends here, for it cannot be written: %s", error)
            self._recorder = None

    # ------------------------------------------------------------------ time

    def _set_timer(self) -> None:
        due_ms = self._node.next_deadline_ms()
        if due_ms == self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ms = due_ms
        if due_ms is not None:
            delay_ms = max(0, due_ms - self.now_ms(), self._no_tick_before_ms - self.now_ms())
            self._timer = self._loop.call_later(delay_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_ms = None
        self.feed(Tick())

    # ------------------------------------------------------------------ effects

    def _close(self, effect: Close) -> None:
        data = self._coalescer.close(effect)
        transport = self._transports.get(effect.connection)
        if transport is None:
            return
        if effect.abort:
            transport.abort()
            return
        if data:
            transport.write(data)
        transport.close()

    def _set_reading(self, connection: int, *, on: bool) -> None:
        transport = self._transports.get(connection)
        if transport is not None:
            if on:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _publish(self, effect: Publish) -> None:
        for channel in effect.channels:
            self._bus.publish(channel, effect.message)

    def _query(self, effect: Query) -> None:
        route(self._parties, effect.ticket, effect.operation)

    def _ask_store(self, ticket: int, operation: StoreOperation) -> None:
        self._unanswered_jobs += 1
        self._jobs.append((ticket, operation))

    def _ask_password_hasher(self, ticket: int, operation: PasswordOperation) -> None:
        self._unanswered_jobs += 1
        self.password_hasher.submit(ticket, operation)

    def _ask_presence(self, ticket: int, operation: PresenceOperation) -> None:
        self._bus.find_presence(ticket, operation.users)

    # ------------------------------------------------------------------ writes

    def _flush(self) -> None:
        self._flushing = False
        flush = self._coalescer.flush(self._unanswered_jobs)
        if flush.pause_ms is not None:
            self._loop.call_later(flush.pause_ms / 1000, self._end_pause)
        elif self._coalescer.flush_due:
            self._flush_soon()
        find = self._transports.get
        # A write may report a full buffer at once. That event waits until all is written.
        self._handling = True
        try:
            for connection in flush.shared:
                transport = find(connection)
                if transport is not None:
                    transport.write(flush.shared_data)
            for connection, data in flush.writes.items():
                transport = find(connection)
                if transport is not None:
                    transport.write(data)
        finally:
            self._handling = False
        if self._events:
            self._handle_all()

    def _flush_soon(self) -> None:
        self._flushing = True
        self._loop.call_soon(self._flush)

    def _end_pause(self) -> None:
        self._coalescer.end_pause()
        if not self._flushing:
            self._flush_soon()

    # ------------------------------------------------------------------ the end

    async def drain(self, *, retry_after_ms: int, limit_ms: int) -> bool:
        """Drains the node: its clients are told to come back after `retry_after_ms`. Whether all
        connections had ended and all jobs were answered within the limit."""
        self._idle = asyncio.Event()
        self.feed(Drain(retry_after_ms))
        self._check_idle()
        try:
            await asyncio.wait_for(self._idle.wait(), limit_ms / 1000)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """Aborts the connections that are left, and stops the timer. From now on events are
        dropped."""
        self._stopped = True
        for transport in list(self._transports.values()):
            transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_idle(self) -> None:
        if self._idle is not None and not self._transports and not self._unanswered_jobs:
            self._idle.set()


def _describe(event: AnyEvent) -> str:
    """The event's type and its numbers, for the log: no text that users wrote."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    safe = {name: value for name, value in fields.items() if isinstance(value, int)}
    return f"{type(event).__name__} {safe}"
