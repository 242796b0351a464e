"""What the checkers must not take for a violation, and seeds in which one of them did once."""

from chat.core.ports import operations as op
from sim.checkers.checks import Checks
from sim.checkers.snapshot import take_snapshot
from sim.checkers.steady_state import SteadyState
from sim.cluster.cluster import Cluster


def test_a_roster_that_changed_and_changed_back_is_not_settled() -> None:
    """A user joined a group and left it between two looks; the devices need not know yet."""
    cluster = Cluster(0, nodes=1, devices=2, observers=[Checks()])
    (group,) = cluster.groups
    user = cluster.user_ids["bob"]
    cluster.ask_store(op.LeaveGroup(user, group, 0))
    before = take_snapshot(cluster.store.connection, 0)
    cluster.ask_store(op.JoinGroup(user, group, 0))
    cluster.ask_store(op.LeaveGroup(user, group, 0))
    after = take_snapshot(cluster.store.connection, 0)
    assert before.groups.get(user) == after.groups.get(user)
    assert before.versions[user] < after.versions[user]


def test_a_half_open_connection_keeps_its_user_online_for_a_while() -> None:
    """A node cannot know better before it has heard nothing for long enough."""
    checks = Checks()
    cluster = Cluster(0, nodes=1, devices=2, observers=[checks])
    cluster.world.run_for(1_000)
    ann, _ = cluster.devices
    steady_state = SteadyState(checks, bus_stays_dead=False)
    assert not steady_state.half_open_users()
    assert ann.connection is not None
    ann.connection.reset(node_hears=False)
    assert steady_state.half_open_users() == {cluster.user_ids["ann"]}
    cluster.world.run_for(60_000)
    assert not steady_state.half_open_users()
