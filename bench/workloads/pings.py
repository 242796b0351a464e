"""Latency of `ping` to `pong`, alone and beside pairs of friends that keep the store busy.

Shows whether the store's threads delay the event loop. Threads share the interpreter lock; a thread
that waits for it requests it after the switch interval, which is 5 ms by default in Python and less
in a node. Both intervals are measured.
"""

import asyncio
import time
from functools import partial
from typing import Final

from bench.load.peer import Chat, log_in
from bench.load.traffic import Traffic
from bench.results.figures import Figure, median_of
from bench.results.measurement import Measurement, values_of
from bench.targets.environment import Environment
from bench.targets.fixtures import token
from bench.targets.servers import ChatNode
from bench.workloads.texts import PAIRS, fill_pairs, pair_flows

DEFAULT_SWITCH_S: Final = 0.005
EVERY_S: Final = 0.002
OUTSTANDING: Final = 32
FRIEND: Final = PAIRS[-1][1]


class SwitchingNode(ChatNode):
    """A node with Python's default switch interval."""

    def command(self) -> list[str]:
        start = (
            f"import sys, chat.cli as cli; cli.SWITCH_S = {DEFAULT_SWITCH_S};"
            " sys.exit(cli.node_main(sys.argv[1:]))"
        )
        python, _, _, *arguments = super().command()
        return [python, "-c", start, *arguments]


class Pings(Chat):
    """Sets `came` when a `pong` arrives."""

    def __init__(self) -> None:
        super().__init__("chat", "-")
        self.came = asyncio.Event()

    def other(self, line: bytes) -> bytes | None:
        if line.startswith(b'{"type":"pong"'):
            self.came.set()
            return None
        return super().other(line)


async def _ping(port: int, seconds: float) -> Measurement:
    """One `ping` after the other for `seconds`."""
    dialect = Pings()
    peer = await log_in(dialect, port, token(FRIEND))
    peer.begin()
    latencies: list[float] = []
    own, begin = time.process_time(), time.perf_counter()
    while (start := time.perf_counter()) < begin + seconds:
        dialect.came.clear()
        peer.write(b'{"type":"ping","id":1}\n')
        await dialect.came.wait()
        latencies.append(time.perf_counter() - start)
        await asyncio.sleep(EVERY_S)
    elapsed = time.perf_counter() - begin
    peer.close()
    return Measurement.of(elapsed, latencies, time.process_time() - own, {})


async def pings(environment: Environment) -> list[Figure]:
    """On each store, alone and beside 9 pairs with 32 outstanding, by a user of the tenth."""
    figures = []
    for store in environment.stores:
        for target, kind in (
            (f"node, {store}", ChatNode),
            (f"node, {store}, switch {DEFAULT_SWITCH_S * 1e3:g} ms", SwitchingNode),
        ):
            with environment.scope() as scope:
                url = environment.new_store(store, fill_pairs)
                node = environment.start(partial(kind, store=url))
                traffic = Traffic(await pair_flows(node.port, node.port, PAIRS[:-1]), {})
                scope.callback(traffic.close)
                alone, beside = [], []
                for _ in range(environment.scale.rounds):
                    alone.append(values_of(await _ping(node.port, environment.scale.seconds)))
                    talk = asyncio.ensure_future(
                        traffic.run(OUTSTANDING, environment.scale.seconds)
                    )
                    beside.append(values_of(await _ping(node.port, environment.scale.seconds)))
                    await talk
            figures.append(median_of("pings alone", target, alone))
            figures.append(median_of("pings beside 9 pairs × 32", target, beside))
    return figures
