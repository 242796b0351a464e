"""The faults of a run: kinds and severities are drawn from its seed.

This is swarm testing: each run has some kinds only, because one kind of fault may hide the effect
of another. There are three sorts of kinds:

- *injected* kinds (sim/faults/injectors.py) are injected now and then, more often the more severe
  they are. Most injections wait until a text enters a drawn phase, and then concern the node or
  the connection that has it;
- *probabilistic* kinds of the store and the bus befall each transaction or bus message with a
  probability;
- *standing* kinds are there all the time.
"""

from functools import partial
from itertools import product

from sim.cluster.cluster import Cluster
from sim.cluster.injection_points import InjectionTarget, Phase
from sim.cluster.network import NORMAL_CONDITIONS
from sim.cluster.trace import FaultRecord
from sim.faults.injectors import ANYWHERE, INJECTORS, Injection, end_blindness, read_fast

STORE_FAULTS = ("deadlock", "lock_timeout", "lost_reply", "late_commit", "slow")
BUS_FAULTS = ("lost", "repeated", "stale", "reordered")
STANDING = ("bus_delay", "delay", "hostile_bytes", "one_byte_fragments")
PHASES = (*Phase,)
FOR_GOOD_MS = 86_400_000
DRAWN = 0.4
"""The probability that a run has a kind."""
TARGETED = 0.9
"""The share of injections that wait for a text to enter a phase."""
FIRST_MS = (500, 10_000)
SEVERITIES = {0.2: "light", 0.5: "medium", 1.0: "heavy"}
PAUSES_MS = {0.2: (24_000, 48_000), 0.5: (10_000, 30_000), 1.0: (4_000, 14_000)}
"""By severity: the pause between two injections of a kind."""

KINDS = sorted(
    [
        *INJECTORS,
        *(f"store_{fault}" for fault in STORE_FAULTS),
        *(f"bus_message_{fault}" for fault in BUS_FAULTS),
        *STANDING,
    ]
)
"""All kinds, in the order in which they are drawn."""

REACHABLE = frozenset(
    [
        *product(INJECTORS, Phase),
        *(
            (f"store_{fault}", Phase.IN_TRANSACTION)
            for fault in ("deadlock", "lock_timeout", "late_commit", "slow")
        ),
        *((f"store_{fault}", Phase.COMMITTED) for fault in ("lost_reply", "slow")),
        *((f"bus_message_{fault}", Phase.PUBLISHED) for fault in BUS_FAULTS),
        ("bus_message_lost", Phase.ANSWERED),
    ]
)
"""Which kinds can meet a text in which phase."""


class Faults:
    """The faults of one run. `heal` ends all of them, but for what is to stay dead."""

    def __init__(self, cluster: Cluster, kinds: list[str] | None = None) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._healed = False
        self._waiting: set[str] = set()
        self._counts: dict[str, int] = {}
        self._phases: dict[tuple[str, Phase], int] = {}
        # Older names for the bus: other ones would make each seed another run.
        streams = {
            kind: cluster.world.random_stream(f"faults/{kind.replace('bus_message_', 'envelope_')}")
            for kind in KINDS
        }
        self._streams = streams
        drawn = [kind for kind in KINDS if streams[kind].random() < DRAWN]
        severities = {kind: streams[kind].choice((*SEVERITIES,)) for kind in KINDS}
        self.kinds = drawn if kinds is None else list(kinds)
        self.severity = {kind: severities[kind] for kind in self.kinds}
        self._set_rates()

    def start(self) -> None:
        for kind in self.kinds:
            if kind in INJECTORS:
                self._world.later(
                    self._streams[kind].randint(*FIRST_MS), self._next_injection, kind
                )

    def counts(self) -> dict[str, int]:
        """By kind: how often it was injected."""
        store = {f"store_{kind}": n for kind, n in self._cluster.store.faults.counts.items()}
        bus = {f"bus_message_{kind}": n for kind, n in self._cluster.bus.faults.counts.items()}
        return self._counts | store | bus

    def phases(self) -> dict[tuple[str, Phase], int]:
        """By kind and phase: how often a text met the fault there."""
        phases = dict(self._phases)
        for owner, counts in (
            ("store", self._cluster.store.faults.phases),
            ("bus_message", self._cluster.bus.faults.phases),
        ):
            phases |= {(f"{owner}_{fault}", phase): n for (fault, phase), n in counts.items()}
        return phases

    # ------------------------------------------------------------------ injecting

    def _next_injection(self, kind: str) -> None:
        """Injects now or when a text next enters a drawn phase; schedules the next injection."""
        if self._healed:
            return
        rng = self._streams[kind]
        phase = rng.choice(PHASES)
        if rng.random() < TARGETED and kind not in self._waiting:
            self._waiting.add(kind)
            self._cluster.injection_points.wait(phase, partial(self._inject_at, kind, phase))
        else:
            self.inject(kind)
        pause_ms = PAUSES_MS[self.severity[kind]]
        self._world.later(rng.randint(*pause_ms), self._next_injection, kind)

    def _inject_at(self, kind: str, phase: Phase, target: InjectionTarget) -> None:
        self._waiting.discard(kind)
        if not self._healed and self.inject(kind, target):
            self._phases[kind, phase] = self._phases.get((kind, phase), 0) + 1

    def inject(self, kind: str, target: InjectionTarget = ANYWHERE) -> bool:
        """Injects a fault of the kind now. Returns whether there was anything to inject into."""
        severity = self.severity.get(kind, 1.0)
        rng = self._streams[kind]
        injection = Injection(self._cluster, kind, rng, severity, target, lambda: self._healed)
        injected = INJECTORS[kind](injection)
        if injected:
            self._counts[kind] = self._counts.get(kind, 0) + 1
        return injected

    def _set_rates(self) -> None:
        """Begins the probabilistic and standing kinds."""
        for kind in self.kinds:
            if kind not in INJECTORS:
                self.set_rate(kind, self.severity[kind])

    def set_rate(self, kind: str, severity: float) -> None:
        """Sets the severity of a probabilistic or standing kind; 0 ends it."""
        cluster = self._cluster
        if kind.startswith("store_"):
            setattr(cluster.store.faults, kind.removeprefix("store_"), 0.1 * severity)
        elif kind.startswith("bus_message_"):
            setattr(cluster.bus.faults, kind.removeprefix("bus_message_"), 0.3 * severity)
        elif kind == "bus_delay":
            cluster.bus.faults.delay_ms = (0, max(3, int(400 * severity)))
        elif kind == "delay":
            latency_ms = (0, max(NORMAL_CONDITIONS.latency_ms[1], int(400 * severity)))
            cluster.network_conditions = cluster.network_conditions._replace(latency_ms=latency_ms)
        elif kind == "one_byte_fragments":
            cluster.network_conditions = cluster.network_conditions._replace(
                fragmented=max(NORMAL_CONDITIONS.fragmented, 0.9 * severity),
                one_byte=0.02 * severity,
            )

    # ------------------------------------------------------------------ healing

    def heal(self, *, bus_stays_dead: bool = False, nodes_stay_dead: int = 0) -> None:
        """Ends all faults, but for what stays dead for good."""
        self._healed = True
        cluster = self._cluster
        self._show("healed", ())
        cluster.injection_points.clear()
        for kind in KINDS:
            if kind not in INJECTORS:
                self.set_rate(kind, 0.0)
        end_blindness(cluster)
        cluster.store.up = True
        if bus_stays_dead:
            cluster.bus.stop()
            self._show("bus_restart", ("bus",), FOR_GOOD_MS)
        elif not cluster.bus.up:
            cluster.bus.start()
        for number, host in enumerate(cluster.hosts):
            if number < nodes_stay_dead:
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
        for conn in cluster.connections:
            conn.up.conditions = conn.down.conditions = cluster.network_conditions
            conn.up.resume()
            read_fast(conn)
        for device in cluster.devices:
            device.switch_on()

    def _show(self, kind: str, parties: tuple[str, ...], length_ms: int = 0) -> None:
        """Records the fault for the diagram."""
        now_ms = self._world.now_ms
        self._cluster.trace.note(FaultRecord(now_ms, kind, parties, now_ms + length_ms))
