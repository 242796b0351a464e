"""The process of the attackers: waits for a line, then attacks until it is killed. At the next line
it prints what became of its connections.

Its first line of output says that it is ready. With the argument LAST it runs only when its core
has nothing else to do.
"""

import asyncio
import json
import sys
from typing import Final

import uvloop

from bench.results.machine import allow_files, run_last
from bench.workloads.attacks.attackers import Attackers
from bench.workloads.attacks.registry import ATTACKS

LAST: Final = "last"


async def _attack(name: str, port: int) -> None:
    attackers = Attackers(port)
    print(json.dumps(True), flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        return
    ATTACKS[name].begin(attackers)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(attackers.counts), flush=True)
    # The attack goes on until the process is killed.
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    if LAST in sys.argv:
        run_last()
    allow_files(65_536)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_attack(sys.argv[1], int(sys.argv[2])))
