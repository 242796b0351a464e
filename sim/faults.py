"""What goes wrong. Each kind is a method by its name; which kinds a run has, and how often each
strikes, is drawn from its seed (swarm testing: a fault that hides another is sometimes away).

Most strikes are aimed: they wait until the next text enters a phase of its way that is drawn, too,
and then hit the node, or the connection, that has it."""

import random
from collections.abc import Callable
from functools import partial
from itertools import product

from sim.cluster import Cluster
from sim.host import Host
from sim.moments import Phase
from sim.network import Wire
from sim.trace import FaultRecord

STORE_FAULTS = ("deadlock", "lock_timeout", "lost_reply", "late_commit", "slow")
BUS_FAULTS = ("lost", "repeated", "stale", "reordered")
PHASES = (*Phase,)
FOR_GOOD_MS = 86_400_000
AIMED = 0.9
"""How many of the strikes wait for a text to be at a certain point of its way."""

Strike = Callable[["Faults"], None]
STRIKES: dict[str, Strike] = {}


def strike(method: Strike) -> Strike:
    """Makes a method a kind of fault."""
    STRIKES[method.__name__] = method
    return method


class Faults:
    """The faults of one run. `heal` takes back all that can be taken back."""

    def __init__(self, cluster: Cluster, kinds: list[str] | None = None) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._chance: random.Random = cluster.world.chance("faults")
        self._stopped = False
        self._aimed_host: Host | None = None
        self._aimed_wire: Wire | None = None
        self.counts: dict[str, int] = {}
        self.phases: dict[tuple[str, Phase], int] = {}
        """How often each kind struck a text that was just there."""
        drawn = [kind for kind in KINDS if self._chance.random() < 0.4]
        self.kinds = drawn if kinds is None else list(kinds)
        self.severity = self._chance.choice((0.2, 0.5, 1.0))
        self._pause_ms = self._chance.choice(((500, 4_000), (2_000, 15_000)))
        self._set_rates()

    def start(self) -> None:
        if self._strikers():
            self._world.later(self._chance.randint(*self._pause_ms), self._strike)

    def all_phases(self) -> dict[tuple[str, Phase], int]:
        """The same, with the faults that strike by themselves."""
        phases = dict(self.phases)
        for owner, counts in (
            ("store", self._cluster.store.faults.counts),
            ("envelope", self._cluster.bus.faults.counts),
        ):
            phases |= {(f"{owner}_{fault}", phase): n for (fault, phase), n in counts.items()}
        return phases

    # ------------------------------------------------------------------ striking

    def _strikers(self) -> list[str]:
        return [kind for kind in self.kinds if kind in STRIKES]

    def _strike(self) -> None:
        """One fault: now, or when the next text comes to some point of its way."""
        if self._stopped:
            return
        kind = self._chance.choice(self._strikers())
        phase = self._chance.choice(PHASES)
        aimed = self._chance.random() < AIMED
        if not aimed or not self._cluster.moments.wait(phase, partial(self._aim, kind, phase)):
            self._carry_out(kind)
        self._world.later(self._chance.randint(*self._pause_ms), self._strike)

    def _aim(self, kind: str, phase: Phase, node: str, wire: Wire | None) -> None:
        if self._stopped:
            return
        self._aimed_host = next(host for host in self._cluster.hosts if host.name == node)
        self._aimed_wire = wire
        self.phases[kind, phase] = self.phases.get((kind, phase), 0) + 1
        self._carry_out(kind)
        self._aimed_host = self._aimed_wire = None

    def _carry_out(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        STRIKES[kind](self)

    def _set_rates(self) -> None:
        """The faults that strike by themselves, each time with some likelihood."""
        for fault in STORE_FAULTS:
            if f"store_{fault}" in self.kinds:
                setattr(self._cluster.store.faults, fault, 0.1 * self.severity)
        for fault in BUS_FAULTS:
            if f"envelope_{fault}" in self.kinds:
                setattr(self._cluster.bus.faults, fault, 0.3 * self.severity)
        if "one_byte_fragments" in self.kinds:
            self._cluster.fragments = 0.9
        if "delay" in self.kinds:
            self._cluster.latency_ms = (0, 400)

    def heal(self, *, bus_stays_dead: bool = False, nodes_stay_dead: int = 0) -> None:
        """Everything works again, but for what stays dead for good."""
        self._stopped = True
        cluster = self._cluster
        self._show("healed", ())
        cluster.moments.forget()
        for fault in STORE_FAULTS:
            setattr(cluster.store.faults, fault, 0.0)
        for fault in BUS_FAULTS:
            setattr(cluster.bus.faults, fault, 0.0)
        cluster.latency_ms, cluster.fragments = (0, 3), 0.0
        cluster.store.up = True
        if bus_stays_dead:
            cluster.bus.stop()
            self._show("bus_restart", ("bus",), FOR_GOOD_MS)
        elif not cluster.bus.up:
            cluster.bus.start()
        for place, host in enumerate(cluster.hosts):
            if place < nodes_stay_dead:
                host.crash()
                self._show("node_crash", (host.name,), FOR_GOOD_MS)
                continue
            if host.draining:
                host.crash()
            if host.node is None:
                host.start()
            host.resume()
            host.store_link.cut = False
            host.port.cut = False
        for wire in cluster.wires:
            wire.down.bytes_per_ms = None
            wire.up.resume()
            wire.down.resume()
        for device in cluster.devices:
            device.switch_on()

    def _show(self, kind: str, parties: tuple[str, ...], length_ms: int = 0) -> None:
        """Notes it for the picture."""
        now_ms = self._world.now_ms
        self._cluster.trace.note(FaultRecord(now_ms, kind, parties, now_ms + length_ms))

    def _ends(self, wire: Wire) -> tuple[str, ...]:
        """Whom a wire joins."""
        nodes = [host.name for host in self._cluster.hosts if wire in host.wires.values()]
        return (wire.name, *nodes)

    # ------------------------------------------------------------------ nodes

    def _host(self) -> Host | None:
        if self._aimed_host is not None and self._aimed_host.node is not None:
            return self._aimed_host
        alive = [host for host in self._cluster.hosts if host.node is not None]
        return self._chance.choice(alive) if alive else None

    @strike
    def node_crash(self) -> None:
        host = self._host()
        if host is not None:
            host.crash()
            away_ms = self._chance.randint(100, 8_000)
            self._show("node_crash", (host.name,), away_ms)
            self._world.later(away_ms, self._boot, host)

    def _boot(self, host: Host) -> None:
        if host.node is None and not self._stopped:
            host.start()

    @strike
    def node_pause(self) -> None:
        host = self._host()
        if host is not None:
            host.pause()
            pause_ms = self._chance.randint(100, 25_000)
            self._show("node_pause", (host.name,), pause_ms)
            self._world.later(pause_ms, host.resume)

    @strike
    def node_drain(self) -> None:
        host = self._host()
        if host is not None:
            host.drain()
            drain_ms = self._chance.randint(3_000, 10_000)
            self._show("node_drain", (host.name,), drain_ms)
            self._world.later(drain_ms, self._replace, host, host.node)

    def _replace(self, host: Host, node: object) -> None:
        if host.node is node and not self._stopped:
            host.crash()
            host.start()

    @strike
    def clock_jump(self) -> None:
        host = self._host()
        if host is not None:
            self._show("clock_jump", (host.name,))
            host.ahead_ms += self._chance.choice((500, 5_000, 60_000))
            host.resume()

    # ------------------------------------------------------------------ links

    def _wire(self) -> Wire | None:
        wires = [wire for wire in self._cluster.wires if wire.open]
        if self._aimed_wire in wires:
            return self._aimed_wire
        if self._aimed_host is not None:
            wires = [wire for wire in self._aimed_host.wires.values() if wire.open] or wires
        return self._chance.choice(wires) if wires else None

    @strike
    def reset(self) -> None:
        wire = self._wire()
        if wire is not None:
            self._show("reset", self._ends(wire))
            wire.reset()

    @strike
    def half_open(self) -> None:
        wire = self._wire()
        if wire is not None:
            client_hears = self._chance.random() < 0.5
            self._show("half_open", self._ends(wire))
            wire.reset(client_hears=client_hears, node_hears=not client_hears)

    @strike
    def partition(self) -> None:
        """A connection is stopped for a while: one way or both."""
        wire = self._wire()
        if wire is None:
            return
        pipes = self._chance.choice(((wire.up,), (wire.down,), (wire.up, wire.down)))
        for pipe in pipes:
            pipe.stopped = True
            stop_ms = self._chance.randint(100, 20_000)
            self._show("partition", (wire.name,), stop_ms)
            self._world.later(stop_ms, pipe.resume)

    @strike
    def slow_reader(self) -> None:
        wire = self._wire()
        if wire is not None:
            wire.down.bytes_per_ms = self._chance.choice((1, 2, 8))
            slow_ms = self._chance.randint(1_000, 30_000)
            self._show("slow_reader", (wire.name,), slow_ms)
            self._world.later(slow_ms, self._read_fast, wire)

    def _read_fast(self, wire: Wire) -> None:
        wire.down.bytes_per_ms = None
        wire.down.resume()

    @strike
    def balancer_moves(self) -> None:
        """The balancer restarts: everyone is put through anew."""
        for wire in self._cluster.wires:
            if wire.open and self._chance.random() < 0.7:
                self._show("balancer_moves", self._ends(wire))
                wire.reset()

    @strike
    def reconnect_storm(self) -> None:
        for device in self._cluster.devices:
            if not device.away:
                device.switch_off()
                away_ms = self._chance.randint(0, 300)
                self._show("reconnect_storm", (device.name,), away_ms)
                self._world.later(away_ms, device.switch_on)

    # ------------------------------------------------------------------ store and bus

    @strike
    def store_restart(self) -> None:
        self._cluster.store.up = False
        away_ms = self._chance.randint(200, 6_000)
        self._show("store_restart", ("store",), away_ms)
        self._world.later(away_ms, self._store_back)

    def _store_back(self) -> None:
        self._cluster.store.up = True

    @strike
    def store_cut(self) -> None:
        host = self._host()
        if host is not None:
            link = host.store_link
            link.cut = True
            cut_ms = self._chance.randint(200, 6_000)
            self._show("store_cut", (host.name, "store"), cut_ms)
            self._world.later(cut_ms, setattr, link, "cut", False)

    @strike
    def bus_restart(self) -> None:
        self._cluster.bus.stop()
        away_ms = self._chance.randint(200, 10_000)
        self._show("bus_restart", ("bus",), away_ms)
        self._world.later(away_ms, self._bus_back)

    def _bus_back(self) -> None:
        if not self._stopped:
            self._cluster.bus.start()

    @strike
    def bus_cut(self) -> None:
        host = self._host()
        if host is not None and not host.port.cut:
            port = host.port
            port.cut = True
            port.server_lost()
            cut_ms = self._chance.randint(200, 10_000)
            self._show("bus_cut", (host.name, "bus"), cut_ms)
            self._world.later(cut_ms, setattr, port, "cut", False)


KINDS = sorted(
    [
        *STRIKES,
        *(f"store_{fault}" for fault in STORE_FAULTS),
        *(f"envelope_{fault}" for fault in BUS_FAULTS),
        *("one_byte_fragments", "delay", "hostile_bytes"),
    ]
)
"""The names of all kinds."""

REACHABLE = frozenset(
    [
        *product(STRIKES, Phase),
        *((f"store_{fault}", Phase.IN_TRANSACTION) for fault in STORE_FAULTS),
        *((f"envelope_{fault}", Phase.PUBLISHED) for fault in BUS_FAULTS),
        ("envelope_lost", Phase.ANSWERED),
        ("store_lost_reply", Phase.COMMITTED),
    ]
) - {("store_lost_reply", Phase.IN_TRANSACTION)}
"""Which kinds can strike a text where."""
