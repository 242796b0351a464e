"""Every fault has its name, is drawn with its severity, and counts only where it was injected."""

import random

import pytest

from sim.cluster.cluster import Cluster
from sim.cluster.injection_points import InjectionTarget, Phase
from sim.cluster.network import ADVERSARY, SimConnection
from sim.faults.injectors import INJECTORS
from sim.faults.swarm import DRAWN, KINDS, REACHABLE, SEVERITIES, STANDING, Faults
from sim.report.run_report import Plan
from sim.run import run, run_plan

DESIGN = {
    "node": "node_crash node_restart node_pause node_drain clock_jump",
    "client–balancer": "delay reset half_open partition one_byte_fragments",
    "node–Redis": "bus_delay bus_cut bus_cut_one_way bus_restart",
    "bus messages": "bus_message_lost bus_message_repeated bus_message_stale bus_message_reordered",
    "store": "store_lost_reply store_late_commit store_deadlock store_lock_timeout store_restart"
    " store_slow store_cut",
    "clients": "slow_reader reconnect_storm many_devices old_cursors hostile_bytes",
    "balancer": "balancer_moves balancer_picks_dead",
}
"""The faults of the design, by where they are injected."""


def test_all_faults_of_the_design_are_there_by_name() -> None:
    assert sorted(" ".join(DESIGN.values()).split()) == KINDS


def test_every_injector_can_meet_a_text_in_every_phase() -> None:
    assert {(kind, phase) for kind in INJECTORS for phase in Phase} <= REACHABLE
    assert {kind for kind, _ in REACHABLE} == set(KINDS) - set(STANDING)


def test_kinds_and_severities_are_drawn_by_each_seed() -> None:
    drawn = [Faults(Cluster(seed, devices=0)) for seed in range(60)]
    for kind in KINDS:
        severities = [faults.severity[kind] for faults in drawn if kind in faults.kinds]
        assert DRAWN / 3 < len(severities) / len(drawn) < DRAWN * 2
        assert set(severities) == set(SEVERITIES)


def test_a_kind_that_is_left_out_leaves_the_severity_of_the_others() -> None:
    plan = Plan(5, steps_ms=2_000)
    whole = run_plan(plan)
    for kind in whole.kinds:
        others = tuple(other for other in whole.kinds if other != kind)
        severity = run_plan(plan._replace(faults=others)).severity
        assert severity == {other: whole.severity[other] for other in others}


@pytest.fixture(name="cluster")
def fixture_cluster() -> Cluster:
    cluster = Cluster(3, nodes=2, devices=4)
    cluster.world.run_for(1_000)
    return cluster


@pytest.mark.parametrize("kind", sorted(INJECTORS))
def test_each_injector_hits_its_target_and_heals(cluster: Cluster, kind: str) -> None:
    faults = Faults(cluster, [kind])
    host = next(host for host in cluster.hosts if host.connections)
    conn = next(iter(host.connections.values()))
    before = (host.node, conn.open, len(cluster.devices), host.ahead_ms)
    assert faults.inject(kind, InjectionTarget(host.name, connection=conn))
    assert faults.counts() == {kind: 1}
    cluster.world.run_for(5_000)
    after = (host.node, conn.open, len(cluster.devices), host.ahead_ms)
    hidden = ("node_pause", "partition", "slow_reader", "node_drain")
    links = ("bus_cut", "bus_cut_one_way", "bus_restart", "store_cut", "store_restart")
    assert before != after or kind in hidden + links
    faults.heal()
    cluster.world.run_for(60_000)
    assert all(host.node is not None and not host.paused for host in cluster.hosts)
    assert all(device.session.online for device in cluster.devices)


def test_an_injection_without_a_target_does_not_count(cluster: Cluster) -> None:
    faults = Faults(cluster, ["node_crash", "reset"])
    cluster.hosts[0].crash()
    assert not faults.inject("node_crash", InjectionTarget("node-1"))
    assert not faults.inject("reset", InjectionTarget("node-1"))
    assert not faults.counts()


def test_a_fault_of_the_store_meets_a_text_only_if_there_is_one() -> None:
    cluster = Cluster(0, nodes=1, devices=0)
    cluster.create_users(["ann", "bob"])
    Faults(cluster, ["store_slow"]).set_rate("store_slow", 10.0)
    cluster.add_device("ann")
    cluster.world.run_for(20_000)
    assert cluster.store.faults.counts["slow"]
    assert not cluster.store.faults.phases


def test_a_connection_breaks_after_any_byte(cluster: Cluster) -> None:
    device = cluster.devices[0]
    heard: list[bytes] = []
    assert device.connection is not None
    device.connection.down.arrive = heard.append
    device.connection.break_after(5, up=False)
    device.connection.down.write(b"0123456789")
    cluster.world.run_for(100)
    assert b"".join(heard) == b"01234"
    assert device.connection is None


def test_an_old_cursor_forgets_what_was_applied_after_it(cluster: Cluster) -> None:
    device = cluster.devices[0]
    (group,) = cluster.groups
    for number in range(5):
        device.send_text(("group", group), f"text {number}")
    cluster.world.run_for(5_000)
    had = list(device.applied[group])
    device.switch_off()
    rng = random.Random(1)
    while device.session.cursors.all()[group] == had[-1].seq:
        device.roll_back(rng)
    back = device.session.cursors.all()[group]
    assert device.applied[group] == [entry for entry in had if entry.seq <= back]
    device.switch_on()
    cluster.world.run_for(5_000)
    assert [entry.seq for entry in device.applied[group]][-len(had) :] == [e.seq for e in had]


def test_all_faults_at_once_are_survived_and_each_is_injected() -> None:
    report = run(11, faults=list(KINDS), steps_ms=60_000)
    assert report.violation is None
    assert set(INJECTORS) <= {kind for kind, count in report.faults.items() if count}


def test_a_client_that_shuts_its_side_down_still_gets_its_reply(cluster: Cluster) -> None:
    host = next(host for host in cluster.hosts if host.node is not None)
    received: list[bytes] = []
    conn = SimConnection(cluster.world, ADVERSARY)
    conn.down.arrive = received.append
    host.accept(conn, "198.51.100.1")
    conn.up.write(b'{"type": "ping", "id": 7}\n')
    conn.half_close_by_client()
    cluster.world.run_for(1_000)
    assert b'"re":7' in b"".join(received)
    assert not conn.open
