"""The bus of a simulated cluster: a model of Redis pub/sub with presence leases.

A `SimBus` is the server. A `BusPort` is one node's client of it and behaves as chat/bus/base.py
says: every other node that is subscribed at the instant of publishing receives the message, in
order; a subscription is confirmed; after a break all subscriptions are made again and confirmed,
and only then the node is told that the bus is up.

Faults: messages are lost, repeated, late or out of order; the server restarts and has lost all
subscriptions and leases; a node's connection to it is cut, both ways or one way, which the node
notices at once or after a while. A lease that is not renewed expires, and with it the presence of
its users.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chat.core.ports.bus_messages import AnyBusMessage, EntryBusMessage
from chat.core.ports.events import Answer, AnyEvent, BusDown, BusMessageReceived, BusUp, Subscribed
from chat.core.ports.operations import PresenceFound, Refused
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind
from sim.cluster.injection_points import InjectionPoints, InjectionTarget, Phase
from sim.cluster.trace import BusRecord, FaultRecord, Trace
from sim.cluster.world import World

RENEW_MS = 5_000
LEASE_MS = 15_000
NOTICE_MS = (0, 2_000)
"""How long a node takes to notice that its connection to the server is gone."""
RETRY_MS = (100, 1_000)
FIND_LIMIT_MS = 2_000

UNAVAILABLE = Refused(ErrorCode.UNAVAILABLE)


@dataclass
class BusFaults:
    """How likely each fault strikes a message, 0 to 1; and how long a message travels."""

    lost: float = 0.0
    repeated: float = 0.0
    stale: float = 0.0
    reordered: float = 0.0
    delay_ms: tuple[int, int] = (0, 3)
    stale_ms: tuple[int, int] = (500, 20_000)
    counts: dict[str, int] = field(default_factory=dict)
    phases: dict[tuple[str, Phase], int] = field(default_factory=dict)
    """How often each struck a message with a text, by its phase."""


def is_text(message: AnyBusMessage) -> bool:
    return isinstance(message, EntryBusMessage) and message.entry.kind is EntryKind.TEXT


class SimBus:
    """The server: the subscribers by channel, and the leases by node."""

    def __init__(self, world: World, injection_points: InjectionPoints, trace: Trace) -> None:
        self.world = world
        self.injection_points = injection_points
        self.trace = trace
        self.rng = world.random_stream("bus")
        self.faults = BusFaults()
        self.up = True
        self.channels: dict[str, dict[BusPort, None]] = {}
        self.leases: dict[BusPort, tuple[int, set[int]]] = {}
        self.ports: list[BusPort] = []

    def injects(self, fault: str, node: str, message: AnyBusMessage, phase: Phase) -> bool:
        likely: float = getattr(self.faults, fault)
        if not likely or self.rng.random() >= likely:
            return False
        faults = self.faults
        faults.counts[fault] = faults.counts.get(fault, 0) + 1
        if is_text(message):
            faults.phases[fault, phase] = faults.phases.get((fault, phase), 0) + 1
        now_ms, parties = self.world.now_ms, (node, "bus")
        self.trace.note(FaultRecord(now_ms, f"bus_message_{fault}", parties, now_ms))
        return True

    def stop(self) -> None:
        """The server stops and loses all subscriptions and leases."""
        self.up = False
        self.channels.clear()
        self.leases.clear()
        for port in self.ports:
            port.server_lost()

    def start(self) -> None:
        self.up = True

    def online(self) -> set[int]:
        """All users on nodes whose lease is good."""
        now_ms = self.world.now_ms
        return set().union(
            *(users for until_ms, users in self.leases.values() if until_ms > now_ms)
        )


class BusPort:
    """One node's client of the bus."""

    def __init__(self, bus: SimBus, node: str, feed: Callable[[AnyEvent], None]) -> None:
        self._bus = bus
        self._node = node
        self._world = bus.world
        self._feed = feed
        self._tickets: dict[str, int] = {}
        self._online: set[int] = set()
        self._connected = False
        self._dead = False
        self._generation = 0
        self._last_ms = 0
        self._last_sent_ms = 0
        self.receives = True
        """What the server sends arrives at the node."""
        self.sends = True
        """What the node sends arrives at the server."""
        bus.ports.append(self)
        self._world.later(0, self._connect)
        self._world.later(RENEW_MS, self._renew)

    # ------------------------------------------------------------------ what the node asks for

    def publish(self, channel: str, message: AnyBusMessage) -> None:
        self._reached(Phase.ANSWERED, message)
        if not self._connected:
            return
        if self._bus.injects("lost", self._node, message, Phase.ANSWERED):
            return
        at_ms = max(self._last_sent_ms, self._world.now_ms + self._way_ms())
        self._last_sent_ms = at_ms
        self._world.later(at_ms - self._world.now_ms, self._published, channel, message)

    def subscribe(self, channel: str, ticket: int) -> None:
        self._tickets[channel] = ticket
        if self._connected and self.sends:
            self._world.later(self._way_ms(), self._subscribed, channel, ticket, self._generation)

    def unsubscribe(self, channel: str) -> None:
        self._tickets.pop(channel, None)
        self._bus.channels.get(channel, {}).pop(self, None)

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        self._online |= set(online)
        self._online -= set(offline)
        self._write_lease()

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None:
        self._world.later(self._way_ms(), self._found, ticket, users)

    def kill(self) -> None:
        """The node died: its subscriptions end with its connection, its lease expires."""
        self._dead = True
        self._bus.ports.remove(self)
        self._forget()

    # ------------------------------------------------------------------ the connection

    @property
    def cut(self) -> bool:
        """Whether the connection is cut, in one direction at least."""
        return not (self.receives and self.sends)

    def cut_off(self, *, receives: bool = False, sends: bool = False) -> None:
        """Cuts the connection, in both directions or in one, until `mend`. The node notices in a
        while; until then it is connected for the server, if that still receives from it."""
        self.receives, self.sends = receives, sends
        self._lose()

    def mend(self) -> None:
        self.receives = self.sends = True

    def server_lost(self) -> None:
        """The server stopped. The node notices in a while."""
        self._forget()
        self._generation += 1
        self._lose()

    def _lose(self) -> None:
        self._world.later(self._bus.rng.randint(*NOTICE_MS), self._notice, self._generation)

    def _notice(self, generation: int) -> None:
        if self._dead or generation != self._generation or not self._connected:
            return
        self._forget()
        self._generation += 1
        self._connected = False
        self._feed(BusDown())
        self._world.later(self._bus.rng.randint(*RETRY_MS), self._connect)

    def _connect(self) -> None:
        if self._dead or self._connected:
            return
        if not self._bus.up or self.cut:
            self._world.later(self._bus.rng.randint(*RETRY_MS), self._connect)
            return
        self._connected = True
        self._generation += 1
        self._write_lease()
        for channel, ticket in self._tickets.items():
            self._subscribed(channel, ticket, self._generation)
        self._feed(BusUp())

    def _subscribed(self, channel: str, ticket: int, generation: int) -> None:
        current = self._tickets.get(channel) == ticket
        if self._dead or generation != self._generation or not self.sends or not current:
            return
        self._bus.channels.setdefault(channel, {})[self] = None
        if self.receives:
            self._feed(Subscribed(ticket))

    def _forget(self) -> None:
        for subscribers in self._bus.channels.values():
            subscribers.pop(self, None)

    # ------------------------------------------------------------------ messages

    def _published(self, channel: str, message: AnyBusMessage) -> None:
        """The instant at which the server passes a message on. What a node had not sent when it
        died is lost, and so is what it sent into a cut connection."""
        if not self.sends or (self._dead and self._bus.rng.random() < 0.5):
            return
        if not self._bus.up:
            return
        others = [port for port in self._bus.channels.get(channel, {}) if port is not self]
        if self._bus.trace.keep:
            now_ms = self._world.now_ms
            note = BusRecord(now_ms, self._node, channel, message, len(others))
            self._bus.trace.note(note)
        for port in others:
            port._pass_on(BusMessageReceived(channel, message))

    def _pass_on(self, event: BusMessageReceived) -> None:
        bus, message = self._bus, event.message
        self._reached(Phase.PUBLISHED, message)
        if not self.receives or bus.injects("lost", self._node, message, Phase.PUBLISHED):
            return
        at_ms = self._world.now_ms + self._way_ms()
        if not bus.injects("reordered", self._node, message, Phase.PUBLISHED):
            at_ms = self._last_ms = max(at_ms, self._last_ms)
        self._world.later(at_ms - self._world.now_ms, self._receive, event, self._generation)
        for fault in ("repeated", "stale"):
            if bus.injects(fault, self._node, message, Phase.PUBLISHED):
                again_ms = bus.rng.randint(*bus.faults.stale_ms)
                self._world.later(again_ms, self._receive, event, self._generation)

    def _receive(self, event: BusMessageReceived, generation: int) -> None:
        if not self._dead and generation == self._generation and self.receives:
            self._feed(event)

    def _reached(self, phase: Phase, message: AnyBusMessage) -> None:
        if isinstance(message, EntryBusMessage) and is_text(message):
            self._bus.injection_points.reached(
                phase, InjectionTarget(self._node, message.entry.sender)
            )

    # ------------------------------------------------------------------ presence

    def _renew(self) -> None:
        if not self._dead:
            self._write_lease()
            self._world.later(RENEW_MS, self._renew)

    def _write_lease(self) -> None:
        if self._connected and self.sends and self._bus.up:
            self._bus.leases[self] = (self._world.now_ms + LEASE_MS, set(self._online))

    def _found(self, ticket: int, users: tuple[int, ...]) -> None:
        if self._dead:
            return
        if not self._connected:
            self._feed(Answer(ticket, UNAVAILABLE))
        elif self.cut or not self._bus.up:
            self._world.later(FIND_LIMIT_MS, self._feed_alive, Answer(ticket, UNAVAILABLE))
        else:
            online = self._bus.online()
            found = tuple(user for user in users if user in online)
            self._feed(Answer(ticket, PresenceFound(found)))

    def _feed_alive(self, event: AnyEvent) -> None:
        if not self._dead:
            self._feed(event)

    def _way_ms(self) -> int:
        return self._bus.rng.randint(*self._bus.faults.delay_ms)
