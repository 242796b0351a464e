"""One run from one seed: faults and life, then healing, then the check of everything."""

import traceback
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.checkers import Violation
from sim.checkers.groups import check_groups
from sim.checkers.liveness import behind, presence, strange_rosters, unmarked, unsettled
from sim.checkers.log import check_logs
from sim.checkers.promptness import Promptness
from sim.checkers.snapshot import snapshot
from sim.checkers.steady_state import Calm
from sim.cluster.cluster import Cluster
from sim.cluster.trace import Trace
from sim.faults.injection_points import Phase
from sim.faults.swarm import Faults
from sim.report.coverage import Coverage, watching
from sim.workload.adversary import Strangers
from sim.workload.people import People
from sim.workload.scenarios import (
    crowd,
    leave,
    look_in,
    quarrel,
    rush,
    say_and_go,
    say_and_part,
    storm,
)

CALM_MS = 5_000
HEAL_MS = 60_000
SETTLE_MS = 21_000
"""How long what was under way when all was healed may still take: the lease of a node that died,
an envelope that comes very late."""
LIVE_ON_MS = 8_000
LIVE_ON_PACE_MS = (50, 700)
GOODBYES = 3
STORMY = 0.6
"""How likely it is that everyone is put through anew, and not that somebody leaves for long."""
BUS_AWAY_MS = (2_000, 3_500)
STAYS_AWAY = 0.5
"""How likely it is that somebody sleeps through the healing."""
QUIET_MS = 90_000
"""What is left of those who are gone is gone after this."""
PACES_MS = ((20, 1_500), (200, 3_000), (500, 8_000))
"""How long people pause between two acts: from busy days to calm ones."""
CRASH = "no exception leaves the code"


class Plan(NamedTuple):
    """What a run is made of. Without `faults` the seed draws the kinds."""

    seed: int
    nodes: int = 3
    devices: int = 8
    steps_ms: int = 60_000
    faults: tuple[str, ...] | None = None


@dataclass
class Report:
    """What a run was, and what was seen."""

    seed: int
    simulated_ms: int
    events: int
    acked: int
    applied: int
    faults: dict[str, int]
    trace_hash: str
    violation: Violation | None
    kinds: tuple[str, ...] = ()
    """The kinds of faults there were, whether they struck or not."""
    severity: dict[str, float] = field(default_factory=dict)
    """How severe each kind was."""
    marks: tuple[str, ...] = ()
    """The hash after each thousand records of the trace."""
    cells: dict[tuple[int, int], int] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    phases: dict[tuple[str, Phase], int] = field(default_factory=dict)
    """How often each kind of fault struck a text at each point of its way."""
    trace: Trace | None = None
    """With its records, if they were to be kept."""


def run(
    seed: int,
    *,
    nodes: int = 3,
    devices: int = 8,
    steps_ms: int = 60_000,
    faults: list[str] | None = None,
    keep_trace: bool = False,
    watch: bool = False,
) -> Report:
    """Runs a cluster through faults and healing; the report says whether anything was violated.
    With `watch` it says what was reached, too."""
    coverage = Coverage()
    with watching(coverage) if watch else nullcontext():
        cluster = Cluster(seed, nodes=nodes, devices=devices, keep_trace=keep_trace)
        if watch:
            cluster.seen = coverage.device_did
        trouble = Faults(cluster, faults)
        strangers = None
        if "hostile_bytes" in trouble.kinds:
            strangers = Strangers(cluster, severity=trouble.severity["hostile_bytes"])
        start_ms = cluster.world.now_ms
        violation = _violation(cluster, trouble, strangers, steps_ms)
    said = [said for device in cluster.devices for said in device.said.values()]
    counts = trouble.counts()
    if strangers is not None:
        counts["hostile_bytes"] = strangers.visits
    cluster.store.connection.close()
    return Report(
        seed=seed,
        simulated_ms=cluster.world.now_ms - start_ms,
        events=cluster.world.events,
        acked=sum(1 for one in said if one.settled is not None),
        applied=sum(len(run) for device in cluster.devices for run in device.applied.values()),
        faults=counts,
        trace_hash=cluster.trace.hexdigest(),
        violation=violation,
        kinds=tuple(trouble.kinds),
        severity=dict(trouble.severity),
        marks=tuple(cluster.trace.marks),
        cells=coverage.cells,
        facts=coverage.facts,
        phases=trouble.phases(),
        trace=cluster.trace if keep_trace else None,
    )


def run_plan(plan: Plan, *, keep_trace: bool = False, watch: bool = False) -> Report:
    return run(
        plan.seed,
        nodes=plan.nodes,
        devices=plan.devices,
        steps_ms=plan.steps_ms,
        faults=None if plan.faults is None else list(plan.faults),
        keep_trace=keep_trace,
        watch=watch,
    )


def _violation(
    cluster: Cluster, trouble: Faults, strangers: Strangers | None, steps_ms: int
) -> Violation | None:
    """Carries the run out; what was violated first."""
    try:
        people = _live(cluster, trouble, strangers, steps_ms)
        bus_stays_dead = _heal(cluster, trouble)
        _live_on(cluster, people, bus_stays_dead=bus_stays_dead)
        check_end(cluster)
    except Violation as seen:
        return seen
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} in {place.name}, line {place.lineno}"
        return Violation(CRASH, what)
    return None


def _live(cluster: Cluster, trouble: Faults, strangers: Strangers | None, steps_ms: int) -> People:
    cluster.world.run_for(CALM_MS)
    people = People(cluster, cluster.world.chance("pace").choice(PACES_MS))
    promptness = Promptness(cluster)
    people.start()
    trouble.start()
    promptness.start()
    if strangers is not None:
        strangers.start()
    cluster.world.run_for(steps_ms)
    people.stop()
    promptness.stop()
    if strangers is not None:
        strangers.stop()
    return people


def _heal(cluster: Cluster, trouble: Faults) -> bool:
    """Some may stay dead for good, and some people asleep; all the others must converge within a
    minute. Whether the bus stays dead."""
    chance = cluster.world.chance("healing")
    bus_stays_dead = "bus_restart" in trouble.kinds and chance.random() < 0.3
    dead = 1 if "node_crash" in trouble.kinds and len(cluster.hosts) > 1 else 0
    sleeper = chance.choice(list(cluster.user_ids)) if chance.random() < STAYS_AWAY else None
    trouble.heal(bus_stays_dead=bus_stays_dead, nodes_stay_dead=dead)
    for device in cluster.devices:
        if device.user == sleeper:
            device.switch_off()
    check_healed(cluster, presence_counts=not bus_stays_dead)
    return bus_stays_dead


def _live_on(cluster: Cluster, before: People, *, bus_stays_dead: bool) -> None:
    """People go on while all is well, or while nothing but the bus is away."""
    chance = cluster.world.chance("calm")
    cluster.world.run_for(SETTLE_MS)
    cluster.bus.faults.delay_ms = (0, chance.choice((3, 150, 400)))
    cluster.store.faults.delay_ms = (0, chance.choice((3, 60)))
    cluster.store.faults.read_ms = (0, chance.choice((0, 300)))
    people = People(cluster, LIVE_ON_PACE_MS, texts=before.texts)
    calm = Calm(cluster, bus_stays_dead=bus_stays_dead)
    people.start()
    calm.start()
    later = cluster.world.later
    later(chance.randint(500, LIVE_ON_MS - 5_000), crowd, cluster, chance)
    if chance.random() < STORMY:
        later(chance.randint(500, LIVE_ON_MS - 4_500), storm, cluster, chance)
    else:
        later(chance.randint(0, 1_000), leave, cluster, chance)
    for episode in (quarrel, quarrel, rush, rush, rush, say_and_part, look_in):
        later(chance.randint(0, LIVE_ON_MS - 4_500), episode, cluster, chance)
    for _ in range(GOODBYES):
        later(chance.randint(0, LIVE_ON_MS - 2_500), say_and_go, cluster, chance)
    cluster.world.run_for(LIVE_ON_MS)
    if not bus_stays_dead and chance.random() < 0.5:
        calm.bus_will_fail()
        cluster.bus.stop()
        cluster.world.run_for(chance.randint(*BUS_AWAY_MS))
        cluster.bus.start()
        cluster.world.run_for(BUS_AWAY_MS[1])
    people.stop()
    calm.stop()
    check_healed(cluster, presence_counts=not bus_stays_dead)


def check_healed(cluster: Cluster, *, presence_counts: bool) -> None:
    """Within a minute of healing everything must be as it should."""
    healed_at_ms = cluster.world.now_ms
    wrong: list[Violation] = []
    while cluster.world.now_ms < healed_at_ms + HEAL_MS:
        cluster.world.run_for(2_000)
        wrong = list(unsettled(cluster.devices))
        store = snapshot(cluster.store.connection, cluster.world.now_ms)
        wrong += behind(cluster.devices, store, cluster.user_ids)
        wrong += strange_rosters(cluster.devices, store, cluster.user_ids)
        wrong += unmarked(cluster.devices, store, cluster.user_ids)
        if presence_counts:
            wrong += presence(cluster.devices, cluster.user_ids)
        if not wrong:
            return
    raise wrong[0]


def check_end(cluster: Cluster) -> None:
    """Everything again, and then nothing may be left over when everyone is gone."""
    cluster.safety.all_devices(cluster.devices)
    cluster.audit.check()
    check_logs(cluster.log, cluster.store.connection)
    check_groups(cluster.store.connection)
    for device in cluster.devices:
        device.switch_off()
    cluster.world.run_for(QUIET_MS)
    for host in cluster.hosts:
        if host.node is not None:
            left = host.node.resource_counts()
            if left:
                raise Violation("nothing is left over after quiet", f"{host.name}: {left}")
