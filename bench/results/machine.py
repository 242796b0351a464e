"""Measurements and settings of the machine: cores, CPU time, memory, open files."""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1


_CORES: Final = sorted(os.sched_getaffinity(0))
"""The cores of this process when it started."""


def _core(number: int) -> set[int]:
    """The core with this number, or the last one of a smaller machine."""
    return {_CORES[min(number, len(_CORES) - 1)]}


@contextlib.contextmanager
def on_core(number: int) -> Iterator[None]:
    """Processes started inside run on that core alone, as do their children."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, _core(number))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process since its start, in ns resolution.

    Reads the clock that clock_getcpuclockid(3) returns for the process.
    """
    return time.clock_gettime((~pid << 3) | 2)


def memory_kib(pid: int) -> tuple[int, int]:
    """Resident and proportional set size (RSS, PSS) of a process."""
    fields = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    )
    rss, pss = (int(fields[name].split()[0]) for name in ("Rss", "Pss"))
    return rss, pss


def busy_s(number: int) -> float:
    """Time that the core with this number has spent on all processes and interrupts, and that the
    host has taken from it."""
    (core,) = _core(number)
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            busy = user + nice + system + irq + softirq + steal
            return busy / os.sysconf("SC_CLK_TCK")
    return 0.0


def run_first() -> bool:
    """Gives this process a real-time policy, so that others on its core delay it as little as
    possible; whether the system allows it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    return True


def run_last() -> None:
    """This process runs only when its core has nothing else to do."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def resident_kib(pid: int) -> int:
    """RSS of a process. Unlike `memory_kib` it does not walk the pages, so it may be read often."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def allow_files(count: int) -> None:
    """Raises the limit of open files to `count`, or to the hard limit; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def describe() -> dict[str, str | int]:
    model = "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    kernel = os.uname()
    return {
        "cores": os.cpu_count() or 1,
        "processor": model,
        "kernel": f"{kernel.sysname} {kernel.release.split('-')[0]}",
        "python": ".".join(map(str, sys.version_info[:3])),
    }
