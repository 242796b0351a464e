"""What is asked of the machine: which core, how much CPU, how much memory, how many files."""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1


_CORES: Final = sorted(os.sched_getaffinity(0))
"""Those this process had when it began, whatever it is bound to by now."""


def _core(number: int) -> set[int]:
    """The core, or the last one there is."""
    return {_CORES[min(number, len(_CORES) - 1)]}


@contextlib.contextmanager
def on_core(number: int) -> Iterator[None]:
    """What is started in here runs on that core alone, and so does all that it starts."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, _core(number))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """User and system time of a process since its start, of all its threads, to the nanosecond.

    This is the clock that clock_getcpuclockid(3) gives for the process.
    """
    return time.clock_gettime((~pid << 3) | 2)


def memory_kib(pid: int) -> tuple[int, int]:
    """Resident and proportional memory of a process, RSS and PSS."""
    fields = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    )
    rss, pss = (int(fields[name].split()[0]) for name in ("Rss", "Pss"))
    return rss, pss


def allow_files(count: int) -> None:
    """Raises the limit of open files to what is needed, as far as that is allowed; what is started
    from here inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values; 0.0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


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
