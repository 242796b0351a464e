"""A group of thousands who are all there: a process of its own, lest it slows those who watch.

It logs everybody in and says so; then each line of its input asks for one run, and is answered by
a line with what was measured: `{"outstanding": 1, "seconds": 2}` or `{"every_s": 1, "seconds": 2}`.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from bench.entrances import SOURCES
from bench.figures import values_of
from bench.fixtures import token
from bench.idle import open_many
from bench.machine import LOAD_CORE, on_core
from bench.peer import Chat, Peer, log_in
from bench.traffic import Flow, Measured, Traffic


async def _serve(port: int, pid: int, group: int, first: int, count: int) -> None:
    async def connect(number: int) -> Peer:
        user, source = first + number, SOURCES[number % len(SOURCES)]
        dialect = Chat("group_chat", f"{user}-")
        peer = await log_in(dialect, port, token(user), source=source)
        peer.begin()
        return peer

    sender, *receivers = await open_many(count, connect)
    traffic = Traffic([Flow(sender, receivers, group, wants_replies=True)], {"node": pid})
    print(json.dumps({"ready": count}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        measured = await (
            traffic.run(asked["outstanding"], asked["seconds"])
            if "outstanding" in asked
            else traffic.run_paced(asked["every_s"], asked["seconds"])
        )
        print(json.dumps([measured.seconds, measured.delivered, values_of(measured)]), flush=True)
    traffic.close()


class Crowd:
    """Such a process, as seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def gathered(
        cls, port: int, pid: int, group: int, first: int, count: int
    ) -> AsyncIterator["Crowd"]:
        """Begins when everybody is logged in, and sees the process to its end."""
        with on_core(LOAD_CORE):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bench.crowd"),
                *map(str, (port, pid, group, first, count)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        try:
            crowd = cls(process)
            await crowd._answer()
            yield crowd
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def run(self, outstanding: int, seconds: float) -> Measured:
        return await self._ask({"outstanding": outstanding, "seconds": seconds})

    async def run_paced(self, every_s: float, seconds: float) -> Measured:
        return await self._ask({"every_s": every_s, "seconds": seconds})

    async def _ask(self, what: dict[str, float]) -> Measured:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        seconds, delivered, values = json.loads(await self._answer())
        cpu = {k.partition(".")[2]: v for k, v in values.items() if k.startswith("cpu_us.")}
        return Measured(
            seconds,
            delivered,
            values["p50_us"],
            values["p99_us"],
            values["max_us"],
            cpu,
            values["load"],
        )

    async def _answer(self) -> bytes:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 120.0)
        if not line:
            raise RuntimeError("the crowd is gone; its last words are above")
        return line


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _runner:
        _port, _pid, _group, _first, _count = map(int, sys.argv[1:])
        _runner.run(_serve(_port, _pid, _group, _first, _count))
