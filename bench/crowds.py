"""Groups of thousands: what they cost, and what others notice of them."""

import asyncio
from typing import Final

from bench.comparison import Contestant, compare
from bench.crowd import Crowd
from bench.figures import Figure, median_of, values_of
from bench.fixtures import add_group, add_users
from bench.shapes import GROUP, fill_pairs, group_flow, pair_flows
from bench.stage import Scale, Stage
from bench.traffic import Traffic
from chat.storage.backends.connection import DatabaseConnection

CROWD: Final = 10_000
FIRST: Final = 1_001
EVERY_S: Final = 1.0
"""How often somebody says something in the large group while others are watched."""
PAIR_EVERY_S: Final = 0.05

MEMBERS: Final = 100_000
ONLINE: Final = 100


async def crowd(stage: Stage) -> list[Figure]:
    """10,000 members, all online, on one node. 10 pairs of friends talk there too, 20 texts a
    second each, in quiet and while the group gets a text a second."""
    count = max(50, int(CROWD * stage.scale.size))

    def fill(connection: DatabaseConnection) -> None:
        fill_pairs(connection)
        add_users(connection, FIRST, count)
        add_group(connection, GROUP, range(FIRST, FIRST + count))

    figures = []
    for store in stage.stores:
        with stage.scene() as scene:
            node = stage.node(stage.new_store(store, fill))
            pairs = Traffic(await pair_flows(node.port, node.port), stage.pids(node, store))
            scene.callback(pairs.close)
            async with Crowd.gathered(node.port, node.pid, GROUP, FIRST, count) as group:
                figures += await compare(
                    f"group of {count:,} × 1",
                    [Contestant(f"node, {store}", group)],
                    1,
                    stage.scale,
                )
                figures += await _watch_others(stage.scale, store, pairs, group, count)
    return figures


async def _watch_others(
    scale: Scale, store: str, pairs: Traffic, group: Crowd, count: int
) -> list[Figure]:
    """The pairs in quiet and beside the group, by turns. Once in 20 s everybody is pinged, which
    befalls some of the turns; the median of many is one without."""
    seconds = 2 * scale.seconds
    every_s = min(EVERY_S, seconds / 2)
    quiet, loud = [], []
    for _ in range(2 * scale.rounds + 1):
        quiet.append(values_of(await pairs.run_paced(PAIR_EVERY_S, seconds)))
        talk = asyncio.ensure_future(group.run_paced(every_s, seconds))
        loud.append(values_of(await pairs.run_paced(PAIR_EVERY_S, seconds)))
        await talk
    return [
        median_of("others, quiet", f"node, {store}", quiet),
        median_of(f"others, group of {count:,}", f"node, {store}", loud),
    ]


async def members(stage: Stage) -> list[Figure]:
    """100 people online in a group of 100,000, and in one of 100."""
    total = max(200, int(MEMBERS * stage.scale.size))
    figures = []
    for store in stage.stores:
        with stage.scene() as scene:
            contestants = []
            for size in (ONLINE, total):
                users = range(FIRST, FIRST + size)

                def fill(connection: DatabaseConnection, users: range = users) -> None:
                    add_users(connection, FIRST, len(users))
                    add_group(connection, GROUP, users)

                node = stage.node(stage.new_store(store, fill))
                flow = await group_flow(node.port, GROUP, users[:: len(users) // ONLINE])
                traffic = Traffic([flow], stage.pids(node, store))
                scene.callback(traffic.close)
                contestants.append(Contestant(f"node, {store}, of {size:,}", traffic))
            figures += await compare(f"{ONLINE} online × 1", contestants, 1, stage.scale)
    return figures
