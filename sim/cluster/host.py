"""A simulated machine that runs a node: the real `Node`, and what its effects reach.

It does what chat/net/driver.py does, on the world's clock: events are handled one after another,
effects carried out in order, writes coalesced by the core's class and flushed in a call of their
own, deadlines waited for. A machine can crash (all its memory is gone, its connections break or are
left half-open), be paused (everything waits), be drained, and have its clock set ahead.
"""

from collections import deque
from collections.abc import Callable

from chat.core.delivery.write_coalescing import WriteCoalescer
from chat.core.node import Node
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.ports.operations import (
    HashPassword,
    PasswordChecked,
    PasswordHashed,
    PasswordOperation,
    PasswordOutcome,
    PresenceOperation,
    StoreOperation,
    StoreOutcome,
)
from chat.core.ports.routing import Parties, route
from chat.core.state.config import NodeConfig
from chat.core.state.operation_queues import UnderWayLimits
from sim.cluster.bus import BusPort, SimBus
from sim.cluster.injection_points import InjectionTarget, Phase
from sim.cluster.network import SimConnection
from sim.cluster.store import SimStore, StoreLink
from sim.cluster.trace import AcceptRecord, StartRecord
from sim.cluster.world import ScheduledCall, World

PASSWORD_HASHER_MS = (1, 30)
SLOW_PASSWORD_HASHER_MS = (100, 600)
"""How long the password hasher takes, and how much longer if it is slow."""
SHARED_FROM, LARGE_FROM, LARGE_PER_FLUSH = 2, 3, 1
"""Small thresholds of the write coalescer, so that a few devices meet them."""
ENTRY = b'{"type":"message"'
TEXT = b'"kind":"text"'
Observer = Callable[["Host", AnyEvent, list[AnyEffect]], None]


class Host:
    """One machine. `node` is None while it is down."""

    def __init__(
        self,
        world: World,
        number: int,
        store: SimStore,
        bus: SimBus,
        config: NodeConfig,
        under_way_limits: UnderWayLimits,
        observe: Observer,
    ) -> None:
        self.world = world
        self.number = number
        self.name = f"node-{number}"
        self.node: Node | None = None
        self.connections: dict[int, SimConnection] = {}
        self.store_link: StoreLink
        self.port: BusPort
        self.paused = False
        self.draining = False
        self.ahead_ms = 0
        """How far the machine's clock was set ahead."""
        self.slow_passwords = 0.0
        """How likely the password hasher is slow."""
        self._store = store
        self._bus = bus
        self._config = config
        self._under_way_limits = under_way_limits
        self._observe = observe
        self._rng = world.random_stream(self.name)
        self._slowness = world.random_stream(f"{self.name}/passwords")
        self._events: deque[AnyEvent] = deque()
        self._handling = False
        self._timer: ScheduledCall | None = None
        self._last_number = 0
        self._full: set[int] = set()
        self._coalescer = WriteCoalescer()
        self._flushing = False
        """A flush is due at this instant."""
        self._unanswered_jobs = 0
        self._parties = Parties(self._ask_store, self._ask_password_hasher, self._ask_presence)

    # ------------------------------------------------------------------ being there or not

    def start(self) -> None:
        """Boots a new node, which knows nothing of the one before it."""
        assert self.node is None
        self.draining = False
        self.node = Node(self._config, self._under_way_limits)
        self._coalescer = WriteCoalescer(
            shared_from=SHARED_FROM, large_from=LARGE_FROM, large_per_flush=LARGE_PER_FLUSH
        )
        self._flushing = False
        self._unanswered_jobs = 0
        self._store.trace.note(StartRecord(self.world.now_ms, self.name))
        self.store_link = self._store.link(self.name, self._answer)
        self.port = BusPort(self._bus, self.name, self.feed)

    def crash(self) -> None:
        """Power off, in whatever it was doing."""
        if self.node is None:
            return
        self.node = None
        self.store_link.kill()
        self.port.kill()
        self._events.clear()
        self.paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        conns, self.connections = self.connections, {}
        self._full.clear()
        for conn in conns.values():
            conn.reset(client_hears=self._rng.random() < 0.7, node_hears=False)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._handle_all()

    def jump(self, ms: int) -> None:
        """The machine's clock is set ahead."""
        self.ahead_ms += ms
        if not self.paused:
            self._handle_all()

    def drain(self) -> None:
        self.draining = True
        self.feed(ev.Drain(retry_after_ms=200))

    # ------------------------------------------------------------------ connections

    def accept(self, conn: SimConnection, address: str) -> None:
        """A client's connection has come through the balancer."""
        if self.node is None:
            conn.reset(node_hears=False)
            return
        self._last_number += 1
        number = self._last_number
        node = self.node
        self.connections[number] = conn
        now_ms = self.world.now_ms
        self._store.trace.note(
            AcceptRecord(now_ms, self.name, number, conn.name, conn.client_number)
        )
        conn.up.arrive = lambda data: self._of(node, ev.BytesReceived(number, data))
        conn.input_ended = lambda: self._of(node, ev.EndOfInput(number))
        conn.node_lost = lambda: self._lost(node, number)
        conn.down.buffered = lambda size: self._buffered(node, number, size)
        self.feed(ev.ConnectionOpened(number, address))

    def _of(self, node: Node, event: AnyEvent) -> None:
        """An event for that node, if the machine still runs it."""
        if self.node is node:
            self.feed(event)

    def _lost(self, node: Node, number: int) -> None:
        if self.node is node and self.connections.pop(number, None) is not None:
            self._full.discard(number)
            self._coalescer.drop(number)
            self.feed(ev.ConnectionLost(number))

    def _buffered(self, node: Node, number: int, size: int) -> None:
        """The outbound buffer of a connection has this size now."""
        if self.node is not node or number not in self.connections:
            return
        limit = self._config.write_buffer_bytes
        if number not in self._full and size > limit:
            self._full.add(number)
            self.world.later(0, self._of, node, ev.WriteBufferFull(number))
        elif number in self._full:
            if size <= limit // 4:
                self._full.discard(number)
            self.world.later(0, self._of, node, ev.WriteBufferDrained(number, size))

    # ------------------------------------------------------------------ events

    def feed(self, event: AnyEvent) -> None:
        if self.node is None:
            return
        self._events.append(event)
        if not self.paused and not self._handling:
            self._handle_all()

    def _answer(self, answers: list[tuple[int, StoreOutcome]]) -> None:
        self._unanswered_jobs -= len(answers)
        self.feed(ev.answer_event(answers))

    def _handle_all(self) -> None:
        self._handling = True
        while self._events and self.node is not None and not self.paused:
            event = self._events.popleft()
            effects = self.node.handle(event, self.world.now_ms + self.ahead_ms)
            for error in self.node.take_internal_errors():
                raise error
            self._observe(self, event, effects)
            for effect in effects:
                self._carry_out(effect)
        self._handling = False
        self._flush_if_due()
        self._set_timer()

    def _set_timer(self) -> None:
        """Has the node woken at its next deadline. A timer that is set too early stays and is set
        anew when it is over, as most deadlines are moved again and again."""
        if self.node is None:
            return
        due_ms = self.node.next_deadline_ms()
        if due_ms is None:
            return
        at_ms = max(self.world.now_ms, due_ms - self.ahead_ms)
        timer = self._timer
        if timer is not None:
            if timer.at_ms <= at_ms:
                return
            timer.cancel()
        self._timer = self.world.later(at_ms - self.world.now_ms, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self.node is None:
            return
        due_ms = self.node.next_deadline_ms()
        if due_ms is None or due_ms > self.world.now_ms + self.ahead_ms:
            self._set_timer()
        else:
            self.feed(ev.Tick())

    # ------------------------------------------------------------------ effects

    def _carry_out(self, effect: AnyEffect) -> None:
        if isinstance(effect, fx.Send):
            self._reach_delivery(effect.connection, effect.data)
            self._coalescer.send(effect)
        elif isinstance(effect, fx.Deliver):
            self._reach_delivery(effect.connections[0], effect.data)
            self._coalescer.deliver(effect)
        elif isinstance(effect, fx.Query):
            route(self._parties, effect.ticket, effect.operation)
        elif isinstance(effect, fx.Publish):
            for channel in effect.channels:
                self.port.publish(channel, effect.message)
        elif isinstance(effect, fx.Close):
            self._close(effect)
        elif isinstance(effect, (fx.PauseReading, fx.ResumeReading)):
            conn = self.connections.get(effect.connection)
            if conn is not None:
                conn.up.stopped = isinstance(effect, fx.PauseReading)
                if not conn.up.stopped:
                    conn.up.resume()
        elif isinstance(effect, fx.Subscribe):
            self.port.subscribe(effect.channel, effect.ticket)
        elif isinstance(effect, fx.Unsubscribe):
            self.port.unsubscribe(effect.channel)
        else:
            self.port.announce(effect.online, effect.offline)

    def _reach_delivery(self, connection: int, data: bytes) -> None:
        injection_points = self._store.injection_points
        if injection_points.awaited(Phase.DELIVERED) and data.startswith(ENTRY) and TEXT in data:
            conn = self.connections.get(connection)
            if conn is not None:
                injection_points.reached(
                    Phase.DELIVERED, InjectionTarget(self.name, connection=conn)
                )

    def _close(self, effect: fx.Close) -> None:
        data = self._coalescer.close(effect)
        conn = self.connections.get(effect.connection)
        if conn is None:
            return
        if effect.abort:
            conn.abort_by_node()
            return
        if data:
            conn.down.write(data)
        conn.close_by_node()

    def _ask_store(self, ticket: int, operation: StoreOperation) -> None:
        self._unanswered_jobs += 1
        self.store_link.submit(ticket, operation)

    def _ask_password_hasher(self, ticket: int, operation: PasswordOperation) -> None:
        self._unanswered_jobs += 1
        delay_ms = self._rng.randint(*PASSWORD_HASHER_MS)
        if self._slowness.random() < self.slow_passwords:
            delay_ms += self._slowness.randint(*SLOW_PASSWORD_HASHER_MS)
        outcome = self._hash_password(operation)
        self.world.later(delay_ms, self._hashed, self.node, ticket, outcome)

    def _hashed(self, node: Node | None, ticket: int, outcome: PasswordOutcome) -> None:
        if self.node is node:
            self._unanswered_jobs -= 1
            self.feed(ev.Answer(ticket, outcome))

    def _hash_password(self, operation: PasswordOperation) -> PasswordOutcome:
        if isinstance(operation, HashPassword):
            return PasswordHashed(f"hash of {operation.password}")
        matches = operation.password_hash == f"hash of {operation.password}"
        token = f"{self.world.random_stream('tokens').getrandbits(256):064x}" if matches else ""
        return PasswordChecked(matches, token)

    def _ask_presence(self, ticket: int, operation: PresenceOperation) -> None:
        self.port.find_presence(ticket, operation.users)

    # ------------------------------------------------------------------ writes

    def _flush_if_due(self) -> None:
        if self._coalescer.flush_due and not self._flushing and self.node is not None:
            self._flushing = True
            self.world.later(0, self._flush, self.node)

    def _flush(self, node: Node) -> None:
        if self.node is not node:
            return
        self._flushing = False
        if self.paused:
            return
        flush = self._coalescer.flush(self._unanswered_jobs)
        if flush.pause_ms is not None:
            self.world.later(flush.pause_ms, self._end_pause, node)
        for connection in flush.shared:
            self._write(connection, flush.shared_data)
        for connection, data in flush.writes.items():
            self._write(connection, data)
        self._flush_if_due()

    def _end_pause(self, node: Node) -> None:
        if self.node is node:
            self._coalescer.end_pause()
            self._flush_if_due()

    def _write(self, connection: int, data: bytes) -> None:
        conn = self.connections.get(connection)
        if conn is not None:
            conn.down.write(data)
