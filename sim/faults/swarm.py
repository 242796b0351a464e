"""What goes wrong in a run. Which kinds of faults it has, and how severe each is, is drawn from its
seed (swarm testing: a fault that hides another is sometimes away).

Some kinds strike (sim/faults/injectors.py): now and then, the more often the more severe they are.
Most strikes are aimed: they wait until the next text enters a phase of its way that is drawn, too,
and then hit the node, or the connection, that has it. Other kinds strike by themselves, with some
likelihood, whatever the store does or the bus carries; and a few are there all the time.
"""

from functools import partial
from itertools import product

from sim.cluster.cluster import Cluster
from sim.cluster.network import PLAIN
from sim.cluster.trace import FaultRecord
from sim.faults.injection_points import Phase, Place
from sim.faults.injectors import NOWHERE, STRIKES, Aim, read_fast, see_again

STORE_FAULTS = ("deadlock", "lock_timeout", "lost_reply", "late_commit", "slow")
BUS_FAULTS = ("lost", "repeated", "stale", "reordered")
STANDING = ("bus_delay", "delay", "hostile_bytes", "one_byte_fragments")
"""Those that are there all the time."""
PHASES = (*Phase,)
FOR_GOOD_MS = 86_400_000
DRAWN = 0.4
"""How likely a run has a kind."""
AIMED = 0.9
"""How many of the strikes wait for a text to be at a certain point of its way."""
FIRST_MS = (500, 10_000)
SEVERITIES = {0.2: "light", 0.5: "medium", 1.0: "heavy"}
PAUSES_MS = {0.2: (24_000, 48_000), 0.5: (10_000, 30_000), 1.0: (4_000, 14_000)}
"""By severity: how long a kind pauses between two strikes."""

KINDS = sorted(
    [
        *STRIKES,
        *(f"store_{fault}" for fault in STORE_FAULTS),
        *(f"envelope_{fault}" for fault in BUS_FAULTS),
        *STANDING,
    ]
)
"""The names of all kinds."""

REACHABLE = frozenset(
    [
        *product(STRIKES, Phase),
        *(
            (f"store_{fault}", Phase.IN_TRANSACTION)
            for fault in ("deadlock", "lock_timeout", "late_commit", "slow")
        ),
        *((f"store_{fault}", Phase.COMMITTED) for fault in ("lost_reply", "slow")),
        *((f"envelope_{fault}", Phase.PUBLISHED) for fault in BUS_FAULTS),
        ("envelope_lost", Phase.ANSWERED),
    ]
)
"""Which kinds can strike a text where."""


class Faults:
    """The faults of one run. `heal` takes back all that can be taken back."""

    def __init__(self, cluster: Cluster, kinds: list[str] | None = None) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._healed = False
        self._waiting: set[str] = set()
        self._counts: dict[str, int] = {}
        self._phases: dict[tuple[str, Phase], int] = {}
        streams = {kind: cluster.world.chance(f"faults/{kind}") for kind in KINDS}
        self._streams = streams
        drawn = [kind for kind in KINDS if streams[kind].random() < DRAWN]
        severities = {kind: streams[kind].choice((*SEVERITIES,)) for kind in KINDS}
        self.kinds = drawn if kinds is None else list(kinds)
        self.severity = {kind: severities[kind] for kind in self.kinds}
        self._set_rates()

    def start(self) -> None:
        for kind in self.kinds:
            if kind in STRIKES:
                self._world.later(self._streams[kind].randint(*FIRST_MS), self._strike, kind)

    def counts(self) -> dict[str, int]:
        """How often each kind struck."""
        store = {f"store_{kind}": n for kind, n in self._cluster.store.faults.counts.items()}
        bus = {f"envelope_{kind}": n for kind, n in self._cluster.bus.faults.counts.items()}
        return self._counts | store | bus

    def phases(self) -> dict[tuple[str, Phase], int]:
        """How often each kind struck a text that was just there."""
        phases = dict(self._phases)
        for owner, struck in (
            ("store", self._cluster.store.faults.phases),
            ("envelope", self._cluster.bus.faults.phases),
        ):
            phases |= {(f"{owner}_{fault}", phase): n for (fault, phase), n in struck.items()}
        return phases

    # ------------------------------------------------------------------ striking

    def _strike(self, kind: str) -> None:
        """One fault: now, or when the next text comes to some point of its way."""
        if self._healed:
            return
        chance = self._streams[kind]
        phase = chance.choice(PHASES)
        if chance.random() < AIMED and kind not in self._waiting:
            self._waiting.add(kind)
            self._cluster.moments.wait(phase, partial(self._hit, kind, phase))
        else:
            self.carry_out(kind)
        pause_ms = PAUSES_MS[self.severity[kind]]
        self._world.later(chance.randint(*pause_ms), self._strike, kind)

    def _hit(self, kind: str, phase: Phase, place: Place) -> None:
        self._waiting.discard(kind)
        if not self._healed and self.carry_out(kind, place):
            self._phases[kind, phase] = self._phases.get((kind, phase), 0) + 1

    def carry_out(self, kind: str, place: Place = NOWHERE) -> bool:
        """Strikes now. Whether there was anything to hit."""
        severity = self.severity.get(kind, 1.0)
        chance = self._streams[kind]
        aim = Aim(self._cluster, kind, chance, severity, place, lambda: self._healed)
        struck = STRIKES[kind](aim)
        if struck:
            self._counts[kind] = self._counts.get(kind, 0) + 1
        return struck

    def _set_rates(self) -> None:
        """What is there all the time, or strikes by itself with some likelihood."""
        for kind in self.kinds:
            if kind not in STRIKES:
                self.set_rate(kind, self.severity[kind])

    def set_rate(self, kind: str, severity: float) -> None:
        """How much there is of one of the kinds that do not strike; 0 for none."""
        cluster = self._cluster
        owner, _, fault = kind.partition("_")
        if owner == "store":
            setattr(cluster.store.faults, fault, 0.1 * severity)
        elif owner == "envelope":
            setattr(cluster.bus.faults, fault, 0.3 * severity)
        elif kind == "bus_delay":
            cluster.bus.faults.delay_ms = (0, max(3, int(400 * severity)))
        elif kind == "delay":
            latency_ms = (0, max(PLAIN.latency_ms[1], int(400 * severity)))
            cluster.manners = cluster.manners._replace(latency_ms=latency_ms)
        elif kind == "one_byte_fragments":
            cluster.manners = cluster.manners._replace(
                fragments=max(PLAIN.fragments, 0.9 * severity), shreds=0.02 * severity
            )

    # ------------------------------------------------------------------ healing

    def heal(self, *, bus_stays_dead: bool = False, nodes_stay_dead: int = 0) -> None:
        """Everything works again, but for what stays dead for good."""
        self._healed = True
        cluster = self._cluster
        self._show("healed", ())
        cluster.moments.forget()
        for kind in KINDS:
            if kind not in STRIKES:
                self.set_rate(kind, 0.0)
        see_again(cluster)
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
            host.port.mend()
        for wire in cluster.wires:
            wire.up.manners = wire.down.manners = cluster.manners
            wire.up.resume()
            read_fast(wire)
        for device in cluster.devices:
            device.switch_on()

    def _show(self, kind: str, parties: tuple[str, ...], length_ms: int = 0) -> None:
        """Notes it for the picture."""
        now_ms = self._world.now_ms
        self._cluster.trace.note(FaultRecord(now_ms, kind, parties, now_ms + length_ms))
