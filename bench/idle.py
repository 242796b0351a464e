"""Connections that do nothing: what each costs in memory, and all of them in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bench.baselines import irc_peer, relay_peer
from bench.entrances import SOURCES
from bench.figures import Figure
from bench.fixtures import add_friends, add_users, token
from bench.machine import cpu_s, memory_kib
from bench.peer import Chat, Peer, log_in
from bench.stage import Stage
from bench.targets import Ngircd, Relay, has_ngircd
from chat.storage.backends.connection import DatabaseConnection

CONNECTIONS: Final = 10_000
BASELINE: Final = 4_000
"""Connections of the baselines, which take their time to let people in."""
AT_ONCE: Final = 64
WATCH_S: Final = 20.0
"""As long as the node lets a connection be silent, so that each is pinged once."""
SETTLE_S: Final = 3.0


async def open_many(count: int, connect: Callable[[int], Awaitable[Peer]]) -> list[Peer]:
    """So many connections, some at once."""
    peers: list[Peer] = []
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            peers.append(await connect(number))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return peers


async def _watch(
    subject: str, pid: int, count: int, connect: Callable[[int], Awaitable[Peer]], watch_s: float
) -> Figure:
    """What `count` connections cost the process."""
    before = memory_kib(pid)
    peers = await open_many(count, connect)
    await asyncio.sleep(min(SETTLE_S, watch_s))
    after = memory_kib(pid)
    cpu, start = cpu_s(pid), time.perf_counter()
    await asyncio.sleep(watch_s)
    share = (cpu_s(pid) - cpu) / (time.perf_counter() - start)
    for peer in peers:
        peer.raise_failure()
        assert not peer.closed.done(), "an idle connection was closed"
        peer.close()
    values = {
        "connections": float(count),
        "rss_kib": (after[0] - before[0]) / count,
        "pss_kib": (after[1] - before[1]) / count,
        "idle_cpu_percent": share * 100,
    }
    return Figure("idle connections", subject, values)


async def idle(stage: Stage) -> list[Figure]:
    """10,000 logged-in people, each with one friend, who say nothing for as long as each is
    pinged once."""
    count = int(CONNECTIONS * stage.scale.size)
    watch_s = min(WATCH_S, WATCH_S * stage.scale.size)

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, count)
        add_friends(connection, [(n, n + 1) for n in range(1, count, 2)], 1)

    figures = []
    with stage.scene():
        node = stage.node(stage.new_store("sqlite", fill))

        async def to_node(number: int) -> Peer:
            source = SOURCES[number % len(SOURCES)]
            peer = await log_in(Chat("chat", "-"), node.port, token(number + 1), source=source)
            peer.begin()
            return peer

        figures.append(await _watch("node, sqlite", node.pid, count, to_node, watch_s))
    with stage.scene():
        relay = stage.start(Relay)
        figures.append(
            await _watch(
                "relay",
                relay.pid,
                min(count, BASELINE),
                lambda number: relay_peer(relay.port, f"room{number}", "chat"),
                min(2.0, watch_s),
            )
        )
    if has_ngircd():
        with stage.scene():
            irc = stage.start(Ngircd)

            async def to_irc(number: int) -> Peer:
                peer = await irc_peer(irc.port, f"n{number}", "-", None)
                peer.begin()
                return peer

            figures.append(
                await _watch("ngircd", irc.pid, min(count, BASELINE), to_irc, min(2.0, watch_s))
            )
    return figures
