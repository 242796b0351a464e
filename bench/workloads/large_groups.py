"""Groups of thousands of members: their cost, and their effect on other conversations."""

import asyncio
from typing import Final

from bench.load.traffic import Traffic
from bench.results.comparison import Scale, Target, compare
from bench.results.figures import Figure, median_of
from bench.results.measurement import values_of
from bench.targets.environment import Environment
from bench.targets.fixtures import add_group, add_users
from bench.workloads.large_group_process import LargeGroup
from bench.workloads.texts import GROUP, fill_pairs, group_flow, pair_flows
from chat.storage.backends.connection import DatabaseConnection

ALL_ONLINE: Final = 10_000
FIRST: Final = 1_001
EVERY_S: Final = 1.0
"""Interval of the texts to the large group while the pairs are measured."""
PAIR_EVERY_S: Final = 0.05

MANY_MEMBERS: Final = 100_000
ONLINE: Final = 100


async def large_group(environment: Environment) -> list[Figure]:
    """A group of 10,000 members, all online on one node.

    Then 10 pairs of friends on the same node, 20 texts a second each pair, alone and while the
    group gets a text a second.
    """
    count = max(50, int(ALL_ONLINE * environment.scale.size))

    def fill(connection: DatabaseConnection) -> None:
        fill_pairs(connection)
        add_users(connection, FIRST, count)
        add_group(connection, GROUP, range(FIRST, FIRST + count))

    figures = []
    for store in environment.stores:
        with environment.scope() as scope:
            node = environment.node(environment.new_store(store, fill))
            pairs = Traffic(await pair_flows(node.port, node.port), environment.pids(node, store))
            scope.callback(pairs.close)
            async with LargeGroup.started(node.port, node.pid, GROUP, FIRST, count) as group:
                figures += await compare(
                    f"group of {count:,} × 1",
                    [Target(f"node, {store}", group)],
                    1,
                    environment.scale,
                )
                figures += await _measure_pairs(environment.scale, store, pairs, group, count)
    return figures


async def _measure_pairs(
    scale: Scale, store: str, pairs: Traffic, group: LargeGroup, count: int
) -> list[Figure]:
    """Measures the pairs alone and beside the busy group, alternately.

    Every connection is pinged once in 20 s, which falls into some of the rounds; the median over
    many rounds is one without pings.
    """
    seconds = 2 * scale.seconds
    every_s = min(EVERY_S, seconds / 2)
    alone, beside = [], []
    for _ in range(2 * scale.rounds + 1):
        alone.append(values_of(await pairs.run_paced(PAIR_EVERY_S, seconds)))
        talk = asyncio.ensure_future(group.run_paced(every_s, seconds))
        beside.append(values_of(await pairs.run_paced(PAIR_EVERY_S, seconds)))
        await talk
    return [
        median_of("pairs alone", f"node, {store}", alone),
        median_of(f"pairs beside group of {count:,}", f"node, {store}", beside),
    ]


async def members(environment: Environment) -> list[Figure]:
    """100 members online in a group of 100,000, compared with 100 online in a group of 100."""
    total = max(200, int(MANY_MEMBERS * environment.scale.size))
    figures = []
    for store in environment.stores:
        with environment.scope() as scope:
            targets = []
            for size in (ONLINE, total):
                users = range(FIRST, FIRST + size)

                def fill(connection: DatabaseConnection, users: range = users) -> None:
                    add_users(connection, FIRST, len(users))
                    add_group(connection, GROUP, users)

                node = environment.node(environment.new_store(store, fill))
                flow = await group_flow(node.port, GROUP, users[:: len(users) // ONLINE])
                traffic = Traffic([flow], environment.pids(node, store))
                scope.callback(traffic.close)
                targets.append(Target(f"node, {store}, of {size:,}", traffic))
            figures += await compare(f"{ONLINE} online × 1", targets, 1, environment.scale)
    return figures
