"""A whole cluster in one process: nodes, store, bus, balancer, and people with their devices."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from chat.client.session import interface as io
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from chat.storage.transactions.execute import execute
from sim.checkers.audit import Audit
from sim.checkers.log import Log
from sim.checkers.safety import Safety
from sim.checkers.streams import Streams
from sim.cluster.bus import SimBus
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.network import PLAIN, Wire
from sim.cluster.store import SimStore
from sim.cluster.trace import (
    DeviceRecord,
    HeardRecord,
    NodeRecord,
    SessionsRecord,
    Trace,
    sessions_of,
)
from sim.cluster.world import World
from sim.faults.injection_points import Moments

NAMES = ("ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "ivy", "jon", "kim", "lea")
CONFIG = NodeConfig(
    sends_per_second=5,
    send_burst=8,
    write_buffer_bytes=4_096,
    page_entries=8,
    pages_in_flight=4,
    in_flight=8,
    request_quantum=7,
    unauthenticated_per_address=40,
    failed_logins_per_minute=1_000,
    line_ms=4_000,
    stall_ms=5_000,
)
"""Small limits, so that a short run meets them."""


def config_for(devices: int) -> NodeConfig:
    """Those limits; but many devices say more than small pages could bring them in time."""
    return replace(
        CONFIG,
        page_entries=max(CONFIG.page_entries, 2 * devices - 8),
        pages_in_flight=max(CONFIG.pages_in_flight, devices // 2),
    )


class Cluster:
    """Everything of one run. `wires` are the connections that are open, or half open."""

    def __init__(
        self, seed: int, *, nodes: int = 3, devices: int = 8, keep_trace: bool = False
    ) -> None:
        self.world = world = World(seed)
        self.chance = world.chance("cluster")
        self.moments = Moments(world)
        self.trace = Trace(keep=keep_trace)
        self.store = SimStore(world, self.moments, self.trace)
        self.bus = SimBus(world, self.moments, self.trace)
        config = config_for(devices)
        self.hosts = [
            Host(world, number, self.store, self.bus, config, self._node_did)
            for number in range(1, nodes + 1)
        ]
        self.wires: list[Wire] = []
        self.manners = PLAIN
        """Of the connections of clients that are made from now on."""
        self.user_ids: dict[str, int] = {}
        self.groups: list[int] = []
        self.devices: list[SimDevice] = []
        self.away_for_long: set[str] = set()
        """Who is not to be woken."""
        self.log = Log(self.store.connection)
        self.only_node: Host | None = None
        """Where the balancer puts everyone through, if it has no choice."""
        self.blind = False
        """The balancer does not see that a node is down."""
        self.seen: Callable[[SimDevice, io.AnyEffect], None] = lambda device, effect: None
        self.audit = Audit(self.store.connection)
        self.streams = Streams(config)
        self.safety = Safety(self.log, self.audit, self.user_ids)
        for host in self.hosts:
            host.start()
        if devices:
            self.found(list(NAMES[: max(2, min(len(NAMES), (devices + 1) // 2))]))
        for number in range(devices):
            self.add_device(list(self.user_ids)[number % len(self.user_ids)])

    # ------------------------------------------------------------------ the beginning

    def found(self, names: list[str]) -> None:
        """The people, their friendships and a group, before anything is switched on."""
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
        """A transaction past all nodes and faults."""
        return execute(self.store.connection, operation)

    def add_device(self, user: str) -> SimDevice:
        """One more device of a person, who logs in with it."""
        number = len(self.devices) + 1
        device = SimDevice(self.world, f"{user}-{number}", user, self._connect, self._device_did)
        self.devices.append(device)
        device.log_in()
        return device

    # ------------------------------------------------------------------ the balancer

    def _connect(self, device: SimDevice, link: int) -> None:
        """Puts a device through to a node; one that is down is noticed only by trying."""
        self.world.later(self.chance.randint(1, 20), self._put_through, device, link)

    def _put_through(self, device: SimDevice, link: int) -> None:
        host = self.only_node or self.chance.choice(self.hosts)
        if host.node is None:
            alive = [host for host in self.hosts if host.node is not None]
            if not alive or self.blind or self.chance.random() < 0.3:
                device.refused(link, "connection refused")
                return
            host = self.chance.choice(alive)
        self.wires = [wire for wire in self.wires if wire.open]
        wire = Wire(self.world, device.name, self.manners, link=link)
        self.wires.append(wire)
        device.connected(link, wire)
        if self.trace.keep:
            self._watch_arrivals(device, wire)
        host.accept(wire, "192.0.2.1")

    # ------------------------------------------------------------------ what is seen

    def _watch_arrivals(self, device: SimDevice, wire: Wire) -> None:
        hear = wire.down.arrive

        def arrive(data: bytes) -> None:
            self.trace.note(HeardRecord(self.world.now_ms, device.name, wire.link, data))
            hear(data)

        wire.down.arrive = arrive

    def _node_did(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        self.trace.add(NodeRecord(self.world.now_ms, host.name, event, effects))
        if self.trace.keep and host.node is not None:
            views = sessions_of(host.node, event, effects)
            self.trace.note(SessionsRecord(self.world.now_ms, host.name, views))
        self.streams.saw(host, event, effects)

    def _device_did(self, device: SimDevice, effect: io.AnyEffect) -> None:
        self.trace.add(DeviceRecord(self.world.now_ms, device.name, effect))
        self.safety.saw(device, effect)
        self.seen(device, effect)

    def logged_in(self) -> Iterator[SimDevice]:
        return (device for device in self.devices if device.logged_in and not device.away)
