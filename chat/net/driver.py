"""The driver: events into the node, effects out of it.

Theory of operation
-------------------

Everything that happens is put in one queue and handled in its order, on the loop's thread; the
node is never entered while it is in. Effects are carried out in order as soon as the node returns
them. What they bring about comes back as events, later.

Bytes for a connection are gathered while the loop's turn lasts and written at its end: one write a
socket and turn, however many frames and deliveries made it up. What goes to many at once is
gathered once for all of them, as a *parcel*, as long as nothing comes in between for one of them
alone. What goes to a crowd is written to some of it a turn, with a pause between two turns while
somebody waits for the store, so that thousands of writes hold nobody else up; what comes for one of
the crowd meanwhile is gathered behind it, and keeps its place.

The node is never wrong about time: `now_ms` is the wall clock at the start plus what a monotonic
clock has counted since, so it does not jump.

An exception from the node is a bug. It is logged with the event that brought it out; the connection
that the event was of is aborted; the node lives on. A Tick that failed is not repeated at once.
What went wrong with one of many that an event was about is logged too, and the others are served.

After `stop` nothing reaches the node any more, and so nothing leaves it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from chat.bus.base import Bus
from chat.core.node import Node
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
from chat.core.ports.events import Answer, Answers, AnyEvent, Drain, Tick
from chat.core.ports.operations import (
    AnyOutcome,
    CheckPassword,
    FindPresence,
    HashPassword,
    PasswordOperation,
    StoreOperation,
)
from chat.net.recorder import Recorder

INTERNAL_ERROR_PAUSE_MS = 1_000
"""How long the clock stands after a Tick that brought out a bug."""

PARCEL = 8
"""From so many connections on what a Deliver brings is gathered once for all."""
CROWD = 500
"""From so many connections on those of a Deliver are a crowd."""
CROWD_A_TURN = 32
"""To how many of a crowd something is written in a turn: for less than a millisecond."""
CROWD_PAUSE_S = 0.001
"""How long a crowd waits between two turns for others who wait for the store."""

_FOR_OTHERS = (FindPresence, HashPassword, CheckPassword)
_log = logging.getLogger(__name__)


class Transport(Protocol):
    """What the driver needs of a connection's socket."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Store(Protocol):
    """Takes operations by ticket, and answers them through `Driver.answer_threadsafe`."""

    def submit_all(self, jobs: Sequence[tuple[int, StoreOperation]]) -> None: ...


class PasswordHashing(Protocol):
    def submit(self, ticket: int, operation: PasswordOperation) -> None: ...


class Driver:
    """Runs one node on the running loop. `store` and `vault` are set before anything is fed."""

    store: Store
    vault: PasswordHashing

    def __init__(self, node: Node, bus: Bus, recorder: Recorder | None = None) -> None:
        self._node = node
        self._bus = bus
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._start_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000
        self._events: deque[AnyEvent] = deque()
        self._handling = False
        self._stopped = False
        self._transports: dict[int, Transport] = {}
        self._connections = 0
        self._written: dict[int, bytes | list[bytes]] = {}
        """By connection: what was gathered, a list if it is more than one piece (ten thousand lists
        would bring the garbage collector in). Each stands in one of the two queues."""
        self._now: list[int] = []
        self._parcel: list[bytes] = []
        """What was gathered for all addressees alike. It goes behind what was gathered for one of
        them alone."""
        self._addressees: tuple[int, ...] = ()
        self._is_addressee: frozenset[int] = frozenset()
        self._crowd: deque[int] = deque()
        self._flushing = False
        self._pause: asyncio.TimerHandle | None = None
        """While others wait for the store, a crowd waits between two turns."""
        self._jobs: list[tuple[int, StoreOperation]] = []
        """What the turn in hand asks of the store."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._no_tick_before_ms = 0
        self._unanswered = 0
        self._quiet: asyncio.Event | None = None
        self._carry_out: dict[type[Effect], Callable[..., None]] = {
            Send: self._send,
            Deliver: self._deliver,
            Close: self._close,
            PauseReading: lambda effect: self._reading(effect.connection, on=False),
            ResumeReading: lambda effect: self._reading(effect.connection, on=True),
            Query: self._query,
            Publish: self._publish,
            Subscribe: lambda effect: bus.subscribe(effect.channel, effect.ticket),
            Unsubscribe: lambda effect: bus.unsubscribe(effect.channel),
            Announce: lambda effect: bus.announce(effect.online, effect.offline),
        }

    def now_ms(self) -> int:
        """Milliseconds since 1970, never going back."""
        return self._start_ms + time.monotonic_ns() // 1_000_000

    # ------------------------------------------------------------------ connections

    def connected(self, transport: Transport) -> int:
        """A number for a new connection. The caller feeds its ConnectionOpened."""
        self._connections += 1
        self._transports[self._connections] = transport
        return self._connections

    def disconnected(self, connection: int) -> None:
        """The transport is gone. The caller feeds its ConnectionLost."""
        self._transports.pop(connection, None)
        self._written.pop(connection, None)
        self._look_quiet()

    def all_answered(self, connection: int) -> bool:
        """Whether every whole request that came on the connection has its reply written."""
        if connection in self._written or (self._parcel and connection in self._is_addressee):
            return False
        session = self._node.session(connection)
        return session is None or not (session.under_way or session.waiting)

    # ------------------------------------------------------------------ events

    def feed(self, event: AnyEvent) -> None:
        """Has the event handled: now, or after those that are being handled."""
        if self._stopped:
            return
        self._events.append(event)
        if not self._handling:
            self._handle_all()

    def answer_threadsafe(self, answers: Sequence[tuple[int, AnyOutcome]]) -> None:
        """Answers from another thread. They are handled in one turn of the loop."""
        try:
            self._loop.call_soon_threadsafe(self._answered, answers)
        except RuntimeError:
            _log.debug("An answer came after the loop had ended")

    def _answered(self, answers: Sequence[tuple[int, AnyOutcome]]) -> None:
        self._unanswered -= len(answers)
        if self._stopped:
            return
        self.feed(Answer(*answers[0]) if len(answers) == 1 else Answers(tuple(answers)))
        self._look_quiet()

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
                    self._tell_bug(event, now_ms)
                    continue
                for bug in take_internal_errors():
                    _log.error("A bug in the node, at %s", _describe(event), exc_info=bug)
                for effect in effects:
                    carry_out[type(effect)](effect)
        finally:
            self._handling = False
            if self._jobs:
                jobs, self._jobs = self._jobs, []
                self.store.submit_all(jobs)
        self._set_timer()

    def _tell_bug(self, event: AnyEvent, now_ms: int) -> None:
        _log.exception("A bug in the node, at %s", _describe(event))
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

    def _send(self, effect: Send) -> None:
        connection = effect.connection
        if self._parcel and connection in self._is_addressee:
            self._unpack()
        written = self._written.get(connection)
        if written is None:
            self._written[connection] = effect.data
            self._now.append(connection)
            if not self._flushing:
                self._flush_soon()
        elif isinstance(written, list):
            written.append(effect.data)
        else:
            self._written[connection] = [written, effect.data]

    def _deliver(self, effect: Deliver) -> None:
        connections, data = effect.connections, effect.data
        if connections is self._addressees and self._parcel:
            self._parcel.append(data)
            return
        if self._parcel:
            self._unpack()
        if PARCEL <= len(connections) < CROWD:
            self._parcel.append(data)
            if connections is not self._addressees:
                self._addressees, self._is_addressee = connections, frozenset(connections)
        else:
            self._gather(connections, data)
        self._flush_soon()

    def _gather(self, connections: tuple[int, ...], data: bytes) -> None:
        all_written = self._written
        queue = self._now if len(connections) < CROWD else self._crowd
        for connection in connections:
            written = all_written.get(connection)
            if written is None:
                all_written[connection] = data
                queue.append(connection)
            elif isinstance(written, list):
                written.append(data)
            else:
                all_written[connection] = [written, data]

    def _unpack(self) -> None:
        """What is in the parcel is gathered for each by itself."""
        parcel, self._parcel = self._parcel, []
        self._gather(self._addressees, b"".join(parcel))

    def _flush_soon(self) -> None:
        """Everything that is written in one turn of the loop leaves in one piece a connection."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        connections, self._now = self._now, []
        if self._crowd and self._pause is None:
            crowd = self._crowd
            connections += [crowd.popleft() for _ in range(min(len(crowd), CROWD_A_TURN))]
            if crowd and self._unanswered:
                self._pause = self._loop.call_later(CROWD_PAUSE_S, self._go_on)
            elif crowd:
                self._flush_soon()
        # A write may tell the node that a buffer is full. It hears of that when all is written.
        self._handling = True
        try:
            if self._parcel:
                self._write_parcel()
            take, find = self._written.pop, self._transports.get
            for connection in connections:
                written = take(connection, None)
                transport = find(connection)
                if written is not None and transport is not None:
                    transport.write(_joined(written))
        finally:
            self._handling = False
        if self._events:
            self._handle_all()

    def _go_on(self) -> None:
        """The next of a crowd are written to."""
        self._pause = None
        if not self._flushing:
            self._flush_soon()

    def _write_parcel(self) -> None:
        parcel, self._parcel = self._parcel, []
        data = parcel[0] if len(parcel) == 1 else b"".join(parcel)
        take, find = self._written.pop, self._transports.get
        for connection in self._addressees:
            written = take(connection, None)
            transport = find(connection)
            if transport is not None:
                transport.write(data if written is None else _joined(written) + data)

    def _close(self, effect: Close) -> None:
        transport = self._transports.get(effect.connection)
        if transport is None:
            return
        if self._parcel and effect.connection in self._is_addressee:
            self._unpack()
        written = self._written.pop(effect.connection, None)
        if effect.abort:
            transport.abort()
            return
        if written is not None:
            transport.write(_joined(written))
        transport.close()

    def _reading(self, connection: int, *, on: bool) -> None:
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
        operation = effect.operation
        if isinstance(operation, _FOR_OTHERS):
            self._query_others(effect.ticket, operation)
        else:
            self._unanswered += 1
            self._jobs.append((effect.ticket, operation))

    def _query_others(self, ticket: int, operation: FindPresence | PasswordOperation) -> None:
        """Who is online is asked of the bus, and passwords are for the vault."""
        if isinstance(operation, FindPresence):
            self._bus.find_presence(ticket, operation.users)
        else:
            self._unanswered += 1
            self.vault.submit(ticket, operation)

    # ------------------------------------------------------------------ the end

    async def drain(self, *, retry_after_ms: int, limit_ms: int) -> bool:
        """Sends everyone off. Whether all were gone and answered within the limit."""
        self._quiet = asyncio.Event()
        self.feed(Drain(retry_after_ms))
        self._look_quiet()
        try:
            await asyncio.wait_for(self._quiet.wait(), limit_ms / 1000)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """Ends what connections are left, and the timer. The node hears of nothing any more."""
        self._stopped = True
        for transport in list(self._transports.values()):
            transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_quiet(self) -> None:
        if self._quiet is not None and not self._transports and not self._unanswered:
            self._quiet.set()


def _joined(written: bytes | list[bytes]) -> bytes:
    return written if isinstance(written, bytes) else b"".join(written)


def _describe(event: AnyEvent) -> str:
    """The event without what people wrote in it: for a log."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    safe = {name: value for name, value in fields.items() if isinstance(value, int)}
    return f"{type(event).__name__} {safe}"
