"""Idle connections: memory of each, and CPU of all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bench.load.baselines import irc_peer, relay_peer
from bench.load.peer import Chat, Peer, log_in
from bench.results.figures import Figure
from bench.results.machine import cpu_s, memory_kib
from bench.targets.environment import Environment
from bench.targets.fixtures import add_friends, add_users, token
from bench.targets.servers import Ngircd, Relay, has_ngircd
from bench.workloads.authentication import SOURCES
from chat.storage.backends.connection import DatabaseConnection

CONNECTIONS: Final = 10_000
BASELINE: Final = 4_000
"""Connections to the baselines; ngircd registers connections slowly."""
AT_ONCE: Final = 64
SILENCE_S: Final = 20.0
"""The ping interval of a node, so that each connection is pinged once."""
SETTLE_S: Final = 3.0


async def open_many(count: int, connect: Callable[[int], Awaitable[Peer]]) -> list[Peer]:
    """`count` connections, AT_ONCE of them at a time."""
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


async def _measure(
    target: str, pid: int, count: int, connect: Callable[[int], Awaitable[Peer]], silence_s: float
) -> Figure:
    """Memory and CPU that `count` idle connections cost the process `pid`."""
    before = memory_kib(pid)
    peers = await open_many(count, connect)
    await asyncio.sleep(min(SETTLE_S, silence_s))
    after = memory_kib(pid)
    cpu, start = cpu_s(pid), time.perf_counter()
    await asyncio.sleep(silence_s)
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
    return Figure("idle connections", target, values)


async def idle(environment: Environment) -> list[Figure]:
    """10,000 logged-in users, each with one friend, idle for one ping interval."""
    count = int(CONNECTIONS * environment.scale.size)
    silence_s = min(SILENCE_S, SILENCE_S * environment.scale.size)

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, count)
        add_friends(connection, [(n, n + 1) for n in range(1, count, 2)], 1)

    figures = []
    with environment.scope():
        node = environment.node(environment.new_store("sqlite", fill))

        async def to_node(number: int) -> Peer:
            source = SOURCES[number % len(SOURCES)]
            peer = await log_in(Chat("chat", "-"), node.port, token(number + 1), source=source)
            peer.begin()
            return peer

        figures.append(await _measure("node, sqlite", node.pid, count, to_node, silence_s))
    with environment.scope():
        relay = environment.start(Relay)
        figures.append(
            await _measure(
                "relay",
                relay.pid,
                min(count, BASELINE),
                lambda number: relay_peer(relay.port, f"room{number}", "chat"),
                min(2.0, silence_s),
            )
        )
    if has_ngircd():
        with environment.scope():
            irc = environment.start(Ngircd)

            async def to_irc(number: int) -> Peer:
                peer = await irc_peer(irc.port, f"n{number}", "-", None)
                peer.begin()
                return peer

            figures.append(
                await _measure("ngircd", irc.pid, min(count, BASELINE), to_irc, min(2.0, silence_s))
            )
    return figures
