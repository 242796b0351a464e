"""One run from one seed: faults and life, then healing, then the check of everything."""

from dataclasses import dataclass

from sim.checkers import Violation
from sim.checkers.liveness import behind, presence, unsettled
from sim.checkers.log import check_logs
from sim.cluster import Cluster
from sim.faults import Faults
from sim.people import People

CALM_MS = 5_000
HEAL_MS = 60_000


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


def run(
    seed: int,
    *,
    nodes: int = 3,
    devices: int = 8,
    steps_ms: int = 60_000,
    faults: list[str] | None = None,
) -> Report:
    """Runs a cluster through faults and healing; the report says whether anything was violated."""
    cluster = Cluster(seed, nodes=nodes, devices=devices)
    trouble = Faults(cluster, faults)
    violation: Violation | None = None
    start_ms = cluster.world.now_ms
    try:
        _live(cluster, trouble, steps_ms)
        _heal(cluster, trouble)
        check_end(cluster)
    except Violation as seen:
        violation = seen
    said = [said for device in cluster.devices for said in device.said.values()]
    counts = trouble.counts | cluster.store.faults.counts | cluster.bus.faults.counts
    return Report(
        seed=seed,
        simulated_ms=cluster.world.now_ms - start_ms,
        events=cluster.world.events,
        acked=sum(1 for one in said if one.settled is not None),
        applied=sum(len(run) for device in cluster.devices for run in device.applied.values()),
        faults=counts,
        trace_hash=cluster.trace.hexdigest(),
        violation=violation,
    )


def _live(cluster: Cluster, trouble: Faults, steps_ms: int) -> None:
    cluster.world.run_for(CALM_MS)
    people = People(cluster)
    people.start()
    trouble.start()
    cluster.world.run_for(steps_ms)
    people.stop()


def _heal(cluster: Cluster, trouble: Faults) -> None:
    """Some may stay dead for good; all the others must converge within a minute."""
    chance = cluster.world.chance("healing")
    bus_stays_dead = "bus_restart" in trouble.kinds and chance.random() < 0.3
    dead = 1 if "node_crash" in trouble.kinds and len(cluster.hosts) > 1 else 0
    trouble.heal(bus_stays_dead=bus_stays_dead, nodes_stay_dead=dead)
    check_healed(cluster, presence_counts=not bus_stays_dead)


def check_healed(cluster: Cluster, *, presence_counts: bool) -> None:
    """Within a minute of healing everything must be as it should."""
    healed_at_ms = cluster.world.now_ms
    wrong: list[Violation] = []
    while cluster.world.now_ms < healed_at_ms + HEAL_MS:
        cluster.world.run_for(2_000)
        wrong = list(unsettled(cluster.devices))
        wrong += behind(cluster.devices, cluster.log, cluster.user_ids)
        if presence_counts:
            wrong += presence(cluster.devices, cluster.user_ids)
        if not wrong:
            return
    raise wrong[0]


def check_end(cluster: Cluster) -> None:
    """Everything again, and then nothing may be left over when everyone is gone."""
    cluster.safety.all_devices(cluster.devices)
    check_logs(cluster.log, cluster.store.connection)
    for device in cluster.devices:
        device.switch_off()
    cluster.world.run_for(90_000)
    for host in cluster.hosts:
        if host.node is not None:
            left = host.node.census()
            if left:
                raise Violation("nothing is left over after quiet", f"{host.name}: {left}")
