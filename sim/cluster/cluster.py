"""A whole cluster in one process: nodes, store, bus, balancer, users and their devices.

Observers are told of every event of a node and every effect of a device, as it happens; the
checkers and the coverage are observers. The cluster itself checks nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec.structs import replace

from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from chat.core.state.operation_queues import UnderWayLimits
from chat.storage.dispatch import execute
from sim.cluster.bus import SimBus
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.injection_points import InjectionPoints
from sim.cluster.network import NORMAL_CONDITIONS, SimConnection
from sim.cluster.store import SimStore
from sim.cluster.trace import (
    DeviceRecord,
    NodeRecord,
    ReceivedRecord,
    SessionsRecord,
    Trace,
    sessions_of,
)
from sim.cluster.world import World

NAMES = ("ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "ivy", "jon", "kim", "lea")
CONFIG = NodeConfig(
    sends_per_second=5,
    send_burst=8,
    write_buffer_bytes=4_096,
    cost_per_second=10,
    cost_burst=60,
    rows_per_cost=4,
    lines_per_second=50,
    line_burst=800,
    registrations_per_minute=30,
    registration_burst=4,
    failed_logins_per_minute=6,
    failed_resumes_per_minute=12,
    logins_per_second=4,
    login_burst=6,
    password_hashes=2,
    connections=48,
    connections_per_address=16,
    connections_per_user=12,
    connections_per_device=3,
    unauthenticated_per_address=10,
    page_entries=8,
    pages_in_flight=4,
    in_flight=8,
    request_quantum=40,
    open_requests_made=2,
    open_requests_received=2,
    groups_owned=2,
    groups_joined=4,
    line_ms=4_000,
    stall_ms=5_000,
)
"""Small limits, so that a short run reaches them."""
UNDER_WAY_LIMITS = UnderWayLimits(
    appends=6, writes=2, reads=3, history=1, accounts=2, large_rows=2, rows_per_ms=1
)
"""Small numbers of operations under way, so that operations wait for their turns."""


def config_for(devices: int) -> NodeConfig:
    """`CONFIG` with larger pages for many devices, which send more than small pages could deliver
    in time."""
    return replace(
        CONFIG,
        page_entries=max(CONFIG.page_entries, 2 * devices - 8),
        pages_in_flight=max(CONFIG.pages_in_flight, devices // 2),
    )


class Observer(Protocol):
    """What a cluster reports to."""

    def attached(self, cluster: "Cluster") -> None:
        """The machines are there; no user and no device is yet."""

    def node_handled(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        """A node has handled an event; its effects are not carried out yet."""

    def device_effect(self, device: SimDevice, effect: ClientEffect) -> None:
        """A device's session had an effect, which has been carried out."""


class Cluster:
    """Everything of one run. `connections` are those that are open, or half open."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 3,
        devices: int = 8,
        keep_trace: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.world = world = World(seed)
        self.rng = world.random_stream("cluster")
        self.injection_points = InjectionPoints(world)
        self.trace = Trace(keep=keep_trace)
        self.store = SimStore(world, self.injection_points, self.trace)
        self.bus = SimBus(world, self.injection_points, self.trace)
        self.config = config_for(devices)
        self.hosts = [
            Host(
                world,
                number,
                self.store,
                self.bus,
                self.config,
                UNDER_WAY_LIMITS,
                self._node_handled,
            )
            for number in range(1, nodes + 1)
        ]
        self.connections: list[SimConnection] = []
        self.network_conditions = NORMAL_CONDITIONS
        """Of client connections that are opened from now on."""
        self.user_ids: dict[str, int] = {}
        self.groups: list[int] = []
        self.devices: list[SimDevice] = []
        self.absent_users: set[str] = set()
        """Users whose devices the workload does not switch on."""
        self.pinned_host: Host | None = None
        """The balancer's only choice, if it has no other."""
        self.balancer_blind = False
        """The balancer does not notice that a node is down."""
        self._observers = tuple(observers)
        for observer in self._observers:
            observer.attached(self)
        for host in self.hosts:
            host.start()
        if devices:
            self.create_users(list(NAMES[: max(2, min(len(NAMES), (devices + 1) // 2))]))
        for number in range(devices):
            self.add_device(list(self.user_ids)[number % len(self.user_ids)])

    # ------------------------------------------------------------------ accounts and devices

    def create_users(self, names: list[str]) -> None:
        """Creates the accounts, their friendships and one group, past all nodes."""
        for name in names:
            made = self.ask_store(op.CreateUser(name, f"hash of secret-{name}", 0))
            assert isinstance(made, op.UserCreated)
            self.user_ids[name] = made.user.id
        ids = list(self.user_ids.values())
        for place, user in enumerate(ids):
            for other in (ids[(place + 1) % len(ids)], ids[(place + 2) % len(ids)]):
                if user != other:
                    self.ask_store(op.AddFriend(user, other, 0))
                    self.ask_store(op.AddFriend(other, user, 0))
        made_group = self.ask_store(op.CreateGroup(ids[0], "everyone", "", 0))
        assert isinstance(made_group, op.GroupChanged)
        self.groups.append(made_group.group)
        for user in ids[1:]:
            self.ask_store(op.JoinGroup(user, made_group.group, 0))

    def ask_store(self, operation: op.StoreOperation) -> op.StoreOutcome:
        """Runs a transaction past all nodes and faults."""
        return execute(self.store.connection, operation)

    def add_device(self, user: str) -> SimDevice:
        """Adds a device of the user and logs in on it."""
        number = len(self.devices) + 1
        device = SimDevice(self.world, f"{user}-{number}", user, self._connect, self._device_told)
        self.devices.append(device)
        device.log_in()
        return device

    def logged_in(self) -> Iterator[SimDevice]:
        return (device for device in self.devices if device.logged_in and not device.switched_off)

    def acked(self) -> int:
        """How many texts their senders know to be stored."""
        texts = [text for device in self.devices for text in device.sent_texts.values()]
        return sum(1 for text in texts if text.settled is not None)

    def applied(self) -> int:
        """How many entries all devices together have applied."""
        return sum(len(run) for device in self.devices for run in device.applied.values())

    # ------------------------------------------------------------------ the balancer

    def _connect(self, device: SimDevice, number: int) -> None:
        """Connects a device to a node; a node that is down is noticed only by trying."""
        self.world.later(self.rng.randint(1, 20), self._balance, device, number)

    def _balance(self, device: SimDevice, number: int) -> None:
        host = self.pinned_host or self.rng.choice(self.hosts)
        if host.node is None:
            alive = [host for host in self.hosts if host.node is not None]
            if not alive or self.balancer_blind or self.rng.random() < 0.3:
                device.refused(number, "connection refused")
                return
            host = self.rng.choice(alive)
        self.connections = [conn for conn in self.connections if conn.open]
        conn = SimConnection(self.world, device.name, self.network_conditions, client_number=number)
        self.connections.append(conn)
        device.connected(number, conn)
        if self.trace.keep:
            self._record_arrivals(device, conn)
        host.accept(conn, self.address_of(device, number))

    def address_of(self, device: SimDevice, number: int) -> str:
        """Where a connection of the device comes from. All of a user are of one address, or of one
        network of IPv6."""
        place = list(self.user_ids).index(device.user) + 1
        if place % 3 == 1:
            return f"192.0.2.{place}"
        if place % 3 == 2:
            return f"2001:db8:0:{place:x}::{self.devices.index(device):x}:{number:x}"
        return f"{'::ffff:' if number % 2 else ''}192.0.2.{place}"

    # ------------------------------------------------------------------ reports

    def _record_arrivals(self, device: SimDevice, conn: SimConnection) -> None:
        receive = conn.down.arrive

        def arrive(data: bytes) -> None:
            record = ReceivedRecord(self.world.now_ms, device.name, conn.client_number, data)
            self.trace.note(record)
            receive(data)

        conn.down.arrive = arrive

    def _node_handled(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        self.trace.add(NodeRecord(self.world.now_ms, host.name, event, effects))
        if self.trace.keep and host.node is not None:
            views = sessions_of(host.node, event, effects)
            self.trace.note(SessionsRecord(self.world.now_ms, host.name, views))
        for observer in self._observers:
            observer.node_handled(host, event, effects)

    def _device_told(self, device: SimDevice, effect: ClientEffect) -> None:
        self.trace.add(DeviceRecord(self.world.now_ms, device.name, effect))
        for observer in self._observers:
            observer.device_effect(device, effect)
