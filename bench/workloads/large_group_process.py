"""Load on a group of thousands, as a separate process, so that it does not slow other measurements.

The process logs all members in and prints `{"ready": COUNT}`; then each line of its input requests
one run, and is answered by a line with the measurement. A request is
`{"outstanding": 1, "seconds": 2}` or `{"every_s": 1, "seconds": 2}`.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from bench.load.peer import Chat, Peer, log_in
from bench.load.traffic import Flow, Traffic
from bench.results.machine import LOAD_CORE, on_core
from bench.results.measurement import Measurement, values_of
from bench.targets.fixtures import token
from bench.workloads.authentication import SOURCES
from bench.workloads.idle import open_many


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
        wanted = json.loads(line)
        measured = await (
            traffic.run(wanted["outstanding"], wanted["seconds"])
            if "outstanding" in wanted
            else traffic.run_paced(wanted["every_s"], wanted["seconds"])
        )
        print(json.dumps([measured.seconds, measured.delivered, values_of(measured)]), flush=True)
    traffic.close()


class LargeGroup:
    """Starts the process and requests runs from it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def started(
        cls, port: int, pid: int, group: int, first: int, count: int
    ) -> AsyncIterator["LargeGroup"]:
        """Enters when all members are logged in; the process is killed on exit."""
        with on_core(LOAD_CORE):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bench.workloads.large_group_process"),
                *map(str, (port, pid, group, first, count)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        try:
            large_group = cls(process)
            await large_group._read_line()
            yield large_group
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def run(self, outstanding: int, seconds: float) -> Measurement:
        return await self._request({"outstanding": outstanding, "seconds": seconds})

    async def run_paced(self, every_s: float, seconds: float) -> Measurement:
        return await self._request({"every_s": every_s, "seconds": seconds})

    async def _request(self, what: dict[str, float]) -> Measurement:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        seconds, delivered, values = json.loads(await self._read_line())
        cpu = {k.partition(".")[2]: v for k, v in values.items() if k.startswith("cpu_us.")}
        return Measurement(
            seconds,
            delivered,
            values["p50_us"],
            values["p99_us"],
            values["max_us"],
            cpu,
            values["load"],
        )

    async def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 120.0)
        if not line:
            raise RuntimeError("the load process of the large group ended; its stderr is above")
        return line


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _runner:
        _port, _pid, _group, _first, _count = map(int, sys.argv[1:])
        _runner.run(_serve(_port, _pid, _group, _first, _count))
