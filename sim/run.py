"""One run from one seed.

A run has four phases: warm-up, without faults; the workload under faults; the healing, after which
everything must converge; and the steady state, in which the workload goes on without faults. Then
everything is checked once more.
"""

import random
import traceback
from collections.abc import Callable
from contextlib import nullcontext

from sim.checkers import Violation
from sim.checkers.checks import Checks
from sim.checkers.delivery_deadline import DeliveryDeadline
from sim.checkers.steady_state import SteadyState
from sim.cluster.cluster import Cluster, Observer
from sim.faults.swarm import Faults
from sim.report.coverage import Coverage
from sim.report.run_report import Plan, Report
from sim.workload import scenarios
from sim.workload.adversary import Adversary
from sim.workload.workload import Workload

WARM_UP_MS = 5_000
PACES_MS = ((20, 1_500), (200, 3_000), (500, 8_000))
"""Pauses between two actions of the workload: busy, normal, idle."""
SLOW_PASSWORDS = 0.2
"""How likely a password takes long, so that others wait for it."""
SLEEPER = 0.5
"""How likely one user's devices stay switched off through the healing."""
BUS_STAYS_DEAD = 0.3
"""How likely the bus is not healed in a run in which it may restart."""
SETTLE_MS = 21_000
"""How long effects of faults may last after the healing: the lease of a node that died, a stale
message on the bus."""
STEADY_MS = 8_000
STEADY_PACE_MS = (50, 700)
RECONNECT_ALL = 0.6
"""How likely all devices reconnect in the steady state; else one user is absent."""
SEND_AND_DISCONNECTS = 3
EXCEED_LIMITS = 0.5
"""How likely one user exceeds limits in the steady state."""
BUS_DOWN = 0.5
"""How likely the bus is down for a while in the steady state."""
BUS_DOWN_MS = (2_000, 3_500)
CRASH = "no exception leaves the code"

Scenario = Callable[[Cluster, random.Random], None]
STEADY_SCENARIOS: tuple[Scenario, ...] = (
    scenarios.unfriend_and_befriend,
    scenarios.unfriend_and_befriend,
    scenarios.change_rosters_at_once,
    scenarios.change_rosters_at_once,
    scenarios.change_rosters_at_once,
    scenarios.send_disconnect_and_unfriend,
    scenarios.connect_briefly,
)


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
    """Carries out one run; the report says whether an invariant was violated. With `watch` it says
    which cells and facts were reached, too."""
    coverage, checks = Coverage(), Checks()
    observers: list[Observer] = [checks, coverage] if watch else [checks]
    with coverage.watching() if watch else nullcontext():
        cluster = Cluster(
            seed, nodes=nodes, devices=devices, keep_trace=keep_trace, observers=observers
        )
        for host in cluster.hosts:
            host.slow_passwords = SLOW_PASSWORDS
        injected = Faults(cluster, faults)
        adversary = None
        if "hostile_bytes" in injected.kinds:
            adversary = Adversary(cluster, severity=injected.severity["hostile_bytes"])
        start_ms = cluster.world.now_ms
        violation = _violation(checks, injected, adversary, steps_ms)
    counts = injected.counts()
    if adversary is not None:
        counts["hostile_bytes"] = adversary.visits
    if watch:
        coverage.run_ended()
        coverage.merge({}, checks.limits.seen)
    cluster.store.connection.close()
    return Report(
        seed=seed,
        simulated_ms=cluster.world.now_ms - start_ms,
        events=cluster.world.events,
        acked=cluster.acked(),
        applied=cluster.applied(),
        faults=counts,
        trace_hash=cluster.trace.hexdigest(),
        violation=violation,
        kinds=tuple(injected.kinds),
        severity=dict(injected.severity),
        marks=tuple(cluster.trace.marks),
        cells=coverage.cells,
        facts=coverage.facts,
        phases=injected.phases(),
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
    checks: Checks, faults: Faults, adversary: Adversary | None, steps_ms: int
) -> Violation | None:
    """Carries out all phases; the first violation, if there is one."""
    try:
        texts = _fault_phase(checks, faults, adversary, steps_ms)
        bus_stays_dead = _healing_phase(checks, faults)
        _steady_phase(checks, texts, bus_stays_dead=bus_stays_dead)
        checks.check_end()
    except Violation as seen:
        return seen
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} in {place.name}, line {place.lineno}"
        return Violation(CRASH, what)
    return None


def _fault_phase(checks: Checks, faults: Faults, adversary: Adversary | None, steps_ms: int) -> int:
    """Warms up, and runs the workload under faults. Returns the number of texts so far."""
    world = checks.cluster.world
    world.run_for(WARM_UP_MS)
    workload = Workload(checks.cluster, world.random_stream("pace").choice(PACES_MS))
    deadline = DeliveryDeadline(checks)
    workload.start()
    faults.start()
    deadline.start()
    if adversary is not None:
        adversary.start()
    world.run_for(steps_ms)
    workload.stop()
    deadline.stop()
    if adversary is not None:
        adversary.stop()
    return workload.texts


def _healing_phase(checks: Checks, faults: Faults) -> bool:
    """Heals the cluster and checks that it converges. A node, the bus and one user's devices may
    stay down. Returns whether the bus does."""
    cluster = checks.cluster
    rng = cluster.world.random_stream("healing")
    bus_stays_dead = "bus_restart" in faults.kinds and rng.random() < BUS_STAYS_DEAD
    dead = 1 if "node_crash" in faults.kinds and len(cluster.hosts) > 1 else 0
    sleeper = rng.choice(list(cluster.user_ids)) if rng.random() < SLEEPER else None
    faults.heal(bus_stays_dead=bus_stays_dead, nodes_stay_dead=dead)
    for device in cluster.devices:
        if device.user == sleeper:
            device.switch_off()
    checks.check_healed(presence_counts=not bus_stays_dead)
    return bus_stays_dead


def _steady_phase(checks: Checks, texts: int, *, bus_stays_dead: bool) -> None:
    """The workload goes on without faults, but for a bus that is down and known to be."""
    cluster = checks.cluster
    # An older name: another one would make each seed another run.
    rng = cluster.world.random_stream("calm")
    cluster.world.run_for(SETTLE_MS)
    cluster.bus.faults.delay_ms = (0, rng.choice((3, 150, 400)))
    cluster.store.faults.delay_ms = (0, rng.choice((3, 60)))
    cluster.store.faults.read_ms = (0, rng.choice((0, 300)))
    workload = Workload(cluster, STEADY_PACE_MS, texts=texts)
    steady_state = SteadyState(checks, bus_stays_dead=bus_stays_dead)
    workload.start()
    steady_state.start()
    _schedule_scenarios(cluster, rng)
    cluster.world.run_for(STEADY_MS)
    if not bus_stays_dead and rng.random() < BUS_DOWN:
        steady_state.bus_will_fail()
        cluster.bus.stop()
        cluster.world.run_for(rng.randint(*BUS_DOWN_MS))
        cluster.bus.start()
        cluster.world.run_for(BUS_DOWN_MS[1])
    workload.stop()
    steady_state.stop()
    checks.check_healed(presence_counts=not bus_stays_dead)


def _schedule_scenarios(cluster: Cluster, rng: random.Random) -> None:
    """At drawn times within the steady state, each early enough to end in it."""
    later = cluster.world.later
    later(rng.randint(500, STEADY_MS - 5_000), scenarios.overfill_slow_reader, cluster, rng)
    if rng.random() < RECONNECT_ALL:
        later(rng.randint(500, STEADY_MS - 4_500), scenarios.reconnect_all, cluster, rng)
    else:
        later(rng.randint(0, 1_000), scenarios.become_absent, cluster, rng)
    for scenario in STEADY_SCENARIOS:
        later(rng.randint(0, STEADY_MS - 4_500), scenario, cluster, rng)
    for _ in range(SEND_AND_DISCONNECTS):
        later(rng.randint(0, STEADY_MS - 2_500), scenarios.send_and_disconnect, cluster, rng)
    # By random numbers of its own, so that it makes no seed another run that does not have it.
    limits = cluster.world.random_stream("limits")
    if limits.random() < EXCEED_LIMITS:
        at_ms = limits.randint(STEADY_MS // 2, STEADY_MS - 4_500)
        later(at_ms, scenarios.exceed_limits, cluster, limits)
