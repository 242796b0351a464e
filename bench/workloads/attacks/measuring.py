"""Measures one attack: a node, legitimate users and attackers, each a process of its own.

Theory of operation
-------------------

The node, with all its threads, has one core; the legitimate users and the attackers share the
other. There the legitimate users have a real-time policy, so the kernel suspends the attackers as
soon as a legitimate user's socket has something to read; where the system does not allow that, the
attackers run only when their core has nothing else to do. How late the legitimate users were
nevertheless is measured (`late_ms`).

On a new node with a new store the legitimate users chat for a while (*quiet*), go on while the
attack runs (*during*), and once more when it is over (*after*). CPU time and memory of the node are
sampled throughout.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec

from bench.results.attacks import OK, Noticed, Process, Row
from bench.results.comparison import Scale
from bench.results.machine import (
    LOAD_CORE,
    SERVER_CORE,
    busy_s,
    cpu_s,
    on_core,
    resident_kib,
)
from bench.targets.environment import Environment
from bench.targets.servers import DefaultNode
from bench.workloads.attacks.attacker_process import LAST
from bench.workloads.attacks.population import fill
from bench.workloads.attacks.registry import Attack

QUIET: Final = 1.8
DURING: Final = 2.4
AFTER: Final = 0.4
"""Lengths of the three measurements, as factors of `Scale.seconds`."""
WARM_UP: Final = 0.2
SAMPLE_S: Final = 0.1
PEAK_SAMPLES: Final = 5
"""The peak of the CPU time is the highest over this many samples in a row."""
ANSWER_S: Final = 60.0
STOP_S: Final = 2.0


class MeasurementFailed(Exception):
    """An attack could not be measured; one sentence."""


class Worker:
    """A process that prints a line of JSON when it is ready, and answers lines with such lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.first_answer = False
        """What it printed when it was ready."""
        self._process = process

    @classmethod
    @asynccontextmanager
    async def started(cls, module: str, *arguments: str) -> AsyncIterator["Worker"]:
        """Enters when the process is ready, and kills it on exit. Raises MeasurementFailed."""
        with on_core(LOAD_CORE):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        worker = cls(process)
        try:
            worker.first_answer = await worker._answer(bool, ANSWER_S)
            yield worker
        finally:
            await worker.kill()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def ask(self, line: str, answer: Any, seconds: float = ANSWER_S) -> Any:
        """The answer, decoded as the type `answer`. Raises MeasurementFailed, TimeoutError."""
        self.tell(line)
        return await self._answer(answer, seconds)

    async def _answer(self, answer: Any, seconds: float) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        if not line:
            raise MeasurementFailed("a process of the measurement ended; its stderr is above")
        return msgspec.json.decode(line, type=answer)


class _Sample(NamedTuple):
    at: float
    cpu_s: float
    busy_s: float
    """Time that the core was busy, with the process or others."""
    rss_mib: float


class Sampler:
    """Reads CPU time and memory of a process all the time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[_Sample] = []
        self.ended = False
        """Whether the process has ended."""

    async def run(self) -> None:
        while not self.ended:
            self.sample()
            await asyncio.sleep(SAMPLE_S)

    def sample(self) -> int:
        """Takes a sample; its number."""
        try:
            rss_mib = resident_kib(self._pid) / 1024
            now, cpu = time.perf_counter(), cpu_s(self._pid)
            self._samples.append(_Sample(now, cpu, busy_s(SERVER_CORE), rss_mib))
        except OSError:
            self.ended = True
        return len(self._samples) - 1

    def process(self, quiet: int, attack: int, calm: int) -> Process:
        """Figures from the numbers of the samples at which quiet, attack and calm began."""
        samples = self._samples
        last = len(samples) - 1
        starts = range(attack, max(attack + 1, calm - PEAK_SAMPLES))
        return Process(
            (
                self._percent(quiet, attack),
                max(self._percent(start, min(start + PEAK_SAMPLES, last)) for start in starts),
                self._percent(calm, last),
            ),
            (
                samples[attack].rss_mib,
                max(sample.rss_mib for sample in samples[attack:]),
                samples[last].rss_mib,
            ),
            self._others_percent(quiet, calm),
        )

    def _others_percent(self, first: int, last: int) -> float:
        start, end = self._samples[first], self._samples[last]
        others_s = end.busy_s - start.busy_s - (end.cpu_s - start.cpu_s)
        return max(0.0, others_s / max(end.at - start.at, 1e-6) * 100)

    def _percent(self, first: int, last: int) -> float:
        start, end = self._samples[first], self._samples[last]
        return (end.cpu_s - start.cpu_s) / max(end.at - start.at, 1e-6) * 100


async def measure(attack: Attack, environment: Environment, store: str) -> Row:
    """Raises MeasurementFailed, ServerFailed, TimeoutError."""
    with environment.scope():
        url = environment.copy_of_store(store, fill)
        node = environment.start(lambda folder: DefaultNode(folder, url, files=attack.files))
        package = __name__.rpartition(".")[0]
        port = str(node.port)
        async with Worker.started(f"{package}.legitimate_process", port) as users:
            flags = [] if users.first_answer else [LAST]
            async with Worker.started(
                f"{package}.attacker_process", attack.name, port, *flags
            ) as attackers:
                lines = _log_lines(node)
                row = await _measure(attack, environment.scale, users, attackers, Sampler(node.pid))
        return row._replace(target=f"node, {store}", log_lines=_log_lines(node) - lines)


def _log_lines(node: DefaultNode) -> int:
    return len(node.log.read_text(errors="replace").splitlines())


async def _measure(
    attack: Attack, scale: Scale, users: Worker, attackers: Worker, sampler: Sampler
) -> Row:
    async def noticed(factor: float) -> Noticed:
        found: Noticed = await users.ask(str(scale.seconds * factor), Noticed)
        return found

    await noticed(WARM_UP)
    sampling = asyncio.ensure_future(sampler.run())
    try:
        at_quiet = sampler.sample()
        quiet = await noticed(QUIET)
        at_attack = sampler.sample()
        attackers.tell("begin")
        during = await noticed(DURING)
        counts = {}
        with contextlib.suppress(TimeoutError):
            counts = await attackers.ask("end", dict[str, int], STOP_S)
        await attackers.kill()
        at_calm = sampler.sample()
        await noticed(AFTER)
        sampler.sample()
    finally:
        sampling.cancel()
    if quiet.faults or quiet.missing or {*quiet.logins.outcomes, *quiet.resumes.outcomes} != {OK}:
        raise MeasurementFailed(f"faults before the attack: {quiet}")
    return Row(
        attack.name,
        "",
        quiet,
        during,
        sampler.process(at_quiet, at_attack, at_calm),
        counts,
        node_ended=sampler.ended,
        logs_once=attack.logs_once,
        shares_address=attack.shares_address,
    )
