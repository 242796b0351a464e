"""Growth of cost with the size of a group, the friends of a user, and the length of a backlog.

Each is measured at three sizes, and a straight line is fitted to the node's CPU time of one
operation: `base_us` at size zero, `each_us` for each further unit of size.
"""

from collections.abc import Sequence
from statistics import linear_regression
from typing import Final

from bench.load.traffic import Traffic
from bench.results.comparison import Target, compare
from bench.results.figures import Figure
from bench.targets.environment import Environment
from bench.targets.fixtures import add_friends, add_group, add_users, token
from bench.workloads.authentication import Handshake, LoginLoad
from bench.workloads.logs import backlog_runs
from bench.workloads.texts import GROUP, group_flow
from chat.storage.backends.connection import DatabaseConnection

GROUPS: Final = (10, 100, 1_000)
FRIENDS: Final = (1, 10, 100)
BACKLOGS: Final = (1_000, 10_000, 100_000)
LOGIN_USERS: Final = 20
"""Number of users that log in, each with the given number of friends."""


async def slopes(environment: Environment) -> list[Figure]:
    """All three, on the first store."""
    store = environment.stores[0]
    figures: list[Figure] = []
    for what, sizes, make in (
        ("group size", GROUPS, _group),
        ("friends of a user", FRIENDS, _friends),
        ("backlog", BACKLOGS, _backlog),
    ):
        costs = []
        # Two points are enough for a smoke test.
        for size in sizes if environment.scale.size > 0.05 else sizes[:2]:
            scaled = max(2, int(size * environment.scale.size)) if size > 100 else size
            with environment.scope():
                target = await make(environment, store, scaled)
                (figure,) = await compare(f"{what} {scaled:,}", [target], 1, environment.scale)
            figures.append(figure)
            # A figure counts deliveries and entries; one operation is a text or a backlog.
            parts = {"group size": scaled - 1, "backlog": scaled}.get(what, 1)
            costs.append((float(scaled), figure.values["cpu_us.node"] * parts))
        figures.append(_line(what, target.name, costs))
    return figures


def _line(what: str, target: str, costs: Sequence[tuple[float, float]]) -> Figure:
    sizes, used = zip(*costs, strict=True)
    slope, base = linear_regression(sizes, used)
    return Figure(f"slope: {what}", target, {"base_us": base, "each_us": slope})


async def _group(environment: Environment, store: str, size: int) -> Target:
    users = range(1, size + 1)

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, size)
        add_group(connection, GROUP, users)

    node = environment.node(environment.new_store(store, fill))
    traffic = Traffic([await group_flow(node.port, GROUP, users)], environment.pids(node, store))
    environment.at_end(traffic.close)
    return Target(f"node, {store}", traffic)


async def _friends(environment: Environment, store: str, count: int) -> Target:
    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, LOGIN_USERS + count)
        friends = range(LOGIN_USERS + 1, LOGIN_USERS + count + 1)
        pairs = [(user, friend) for user in range(1, LOGIN_USERS + 1) for friend in friends]
        add_friends(connection, pairs, 1)

    def handshake(number: int) -> Handshake:
        user = 1 + number % LOGIN_USERS
        return Handshake(
            b'{"type":"resume","id":1,"token":"%b"}\n' % token(user).encode(),
            b'"type":"logged_in","re":1,"user":{"id":%d,' % user,
        )

    node = environment.node(environment.new_store(store, fill))
    return Target(
        f"node, {store}", LoginLoad(node.port, handshake, environment.pids(node, store), at_once=8)
    )


async def _backlog(environment: Environment, store: str, entries: int) -> Target:
    return backlog_runs(environment, store, entries)[0]
