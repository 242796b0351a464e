"""Does the store's work on its threads keep the loop from its own? How long a `ping` waits for its
`pong`, in quiet and beside pairs of friends who keep the store busy.

Threads share the interpreter. One that waits for it asks for it after the switch interval, which is
5 ms in Python as it comes and less in a node; both are measured.
"""

import asyncio
import time
from functools import partial
from typing import Final

from bench.figures import Figure, median_of, values_of
from bench.fixtures import token
from bench.peer import Chat, log_in
from bench.shapes import PAIRS, fill_pairs, pair_flows
from bench.stage import Stage
from bench.targets import ChatNode
from bench.traffic import Measured, Traffic

PYTHONS_SWITCH_S: Final = 0.005
EVERY_S: Final = 0.002
OUTSTANDING: Final = 32
FRIEND: Final = PAIRS[-1][1]


class SwitchingNode(ChatNode):
    """A node whose threads wait for the interpreter as long as they do in any other program."""

    def command(self) -> list[str]:
        start = (
            f"import sys, chat.cli as cli; cli.SWITCH_S = {PYTHONS_SWITCH_S};"
            " sys.exit(cli.node_main(sys.argv[1:]))"
        )
        python, _, _, *arguments = super().command()
        return [python, "-c", start, *arguments]


class Pings(Chat):
    """Tells when a `pong` has come."""

    def __init__(self) -> None:
        super().__init__("chat", "-")
        self.came = asyncio.Event()

    def other(self, line: bytes) -> bytes | None:
        if line.startswith(b'{"type":"pong"'):
            self.came.set()
            return None
        return super().other(line)


async def _ping(port: int, seconds: float) -> Measured:
    """One `ping` after the other, for so long."""
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
    return Measured.of(elapsed, latencies, time.process_time() - own, {})


async def pings(stage: Stage) -> list[Figure]:
    """On each store, in quiet and beside 9 pairs with 32 outstanding; who pings is of the tenth."""
    figures = []
    for store in stage.stores:
        for subject, kind in (
            (f"node, {store}", ChatNode),
            (f"node, {store}, switch {PYTHONS_SWITCH_S * 1e3:g} ms", SwitchingNode),
        ):
            with stage.scene() as scene:
                url = stage.new_store(store, fill_pairs)
                node = stage.start(partial(kind, store=url))
                traffic = Traffic(await pair_flows(node.port, node.port, PAIRS[:-1]), {})
                scene.callback(traffic.close)
                quiet, loud = [], []
                for _ in range(stage.scale.rounds):
                    quiet.append(values_of(await _ping(node.port, stage.scale.seconds)))
                    talk = asyncio.ensure_future(traffic.run(OUTSTANDING, stage.scale.seconds))
                    loud.append(values_of(await _ping(node.port, stage.scale.seconds)))
                    await talk
            figures.append(median_of("pings, quiet", subject, quiet))
            figures.append(median_of("pings beside 9 pairs × 32", subject, loud))
    return figures
