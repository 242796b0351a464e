"""How cost grows: with the size of a group, with a user's conversations, with a backlog's length.

Each is measured at three sizes, and a straight line is laid through what the node spent in all:
`base_us` at size nought, and `each_us` more for each step.
"""

from collections.abc import Sequence
from statistics import linear_regression
from typing import Final

from bench.comparison import Contestant, compare
from bench.entrances import Door, Way
from bench.figures import Figure
from bench.fixtures import add_friends, add_group, add_users, token
from bench.logs import backlog_runs
from bench.shapes import GROUP, group_flow
from bench.stage import Stage
from bench.traffic import Traffic
from chat.storage.backends.connection import DatabaseConnection

GROUPS: Final = (10, 100, 1_000)
FRIENDS: Final = (1, 10, 100)
BACKLOGS: Final = (1_000, 10_000, 100_000)
SEEKERS: Final = 20
"""Users who log in, each with so many friends."""


async def slopes(stage: Stage) -> list[Figure]:
    """On the first store."""
    store = stage.stores[0]
    figures: list[Figure] = []
    for what, sizes, make in (
        ("group size", GROUPS, _group),
        ("friends of a user", FRIENDS, _friends),
        ("backlog", BACKLOGS, _backlog),
    ):
        costs = []
        # Two points are enough to see that it works.
        for size in sizes if stage.scale.size > 0.05 else sizes[:2]:
            scaled = max(2, int(size * stage.scale.size)) if size > 100 else size
            with stage.scene():
                contestant = await make(stage, store, scaled)
                (figure,) = await compare(f"{what} {scaled:,}", [contestant], 1, stage.scale)
            figures.append(figure)
            # A delivery in a group, and an entry of a backlog, are parts of one thing done.
            parts = {"group size": scaled - 1, "backlog": scaled}.get(what, 1)
            costs.append((float(scaled), figure.values["cpu_us.node"] * parts))
        figures.append(_line(what, contestant.subject, costs))
    return figures


def _line(what: str, subject: str, costs: Sequence[tuple[float, float]]) -> Figure:
    sizes, used = zip(*costs, strict=True)
    slope, base = linear_regression(sizes, used)
    return Figure(f"slope: {what}", subject, {"base_us": base, "each_us": slope})


async def _group(stage: Stage, store: str, size: int) -> Contestant:
    users = range(1, size + 1)

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, size)
        add_group(connection, GROUP, users)

    node = stage.node(stage.new_store(store, fill))
    traffic = Traffic([await group_flow(node.port, GROUP, users)], stage.pids(node, store))
    stage.at_end(traffic.close)
    return Contestant(f"node, {store}", traffic)


async def _friends(stage: Stage, store: str, count: int) -> Contestant:
    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, SEEKERS + count)
        friends = range(SEEKERS + 1, SEEKERS + count + 1)
        pairs = [(user, friend) for user in range(1, SEEKERS + 1) for friend in friends]
        add_friends(connection, pairs, 1)

    def way(number: int) -> Way:
        user = 1 + number % SEEKERS
        return Way(
            b'{"type":"resume","id":1,"token":"%b"}\n' % token(user).encode(),
            b'"type":"logged_in","re":1,"user":{"id":%d,' % user,
        )

    node = stage.node(stage.new_store(store, fill))
    return Contestant(f"node, {store}", Door(node.port, way, stage.pids(node, store), at_once=8))


async def _backlog(stage: Stage, store: str, entries: int) -> Contestant:
    return backlog_runs(stage, store, entries)[0]
