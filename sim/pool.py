"""Many runs, in this process or in several, reported in the order of their plans.

A report depends on its plan alone, so the number and the speed of processes change only the time
that the runs take. Processes are spawned, not forked: each starts from nothing, as a process does
that runs one seed again.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager

from sim.report.run_report import Plan, Report
from sim.run import run_plan


def run_watched(plan: Plan) -> Report:
    return run_plan(plan, watch=True)


def reports(plans: Iterable[Plan], jobs: int) -> Iterator[Report]:
    """The reports of the plans, in order. Closing the iterator stops the runs."""
    if jobs == 1:
        yield from map(run_watched, plans)
        return
    pool = _processes(jobs)
    waiting: deque[Future[Report]] = deque()
    try:
        for plan in plans:
            waiting.append(pool.submit(run_watched, plan))
            if len(waiting) >= 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def pairs(plans: Iterable[Plan], jobs: int) -> Iterator[tuple[Report, Report]]:
    """Each plan run in two processes with different PYTHONHASHSEEDs, so that sets of strings differ
    in order."""
    each = max(1, jobs // 2)
    with _hash_seed("1"):
        first = _started(each)
    with _hash_seed("2"):
        second = _started(each)
    waiting: deque[tuple[Future[Report], Future[Report]]] = deque()
    try:
        for plan in plans:
            waiting.append((first.submit(run_watched, plan), second.submit(run_watched, plan)))
            if len(waiting) >= 2 * each:
                one, other = waiting.popleft()
                yield one.result(), other.result()
        while waiting:
            one, other = waiting.popleft()
            yield one.result(), other.result()
    finally:
        first.shutdown(cancel_futures=True)
        second.shutdown(cancel_futures=True)


def _processes(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _started(jobs: int) -> ProcessPoolExecutor:
    """Starts the processes at once, so that they inherit the present environment."""
    pool = _processes(jobs)
    for future in [pool.submit(os.getpid) for _ in range(jobs)]:
        future.result()
    return pool


@contextmanager
def _hash_seed(seed: str) -> Iterator[None]:
    """Sets PYTHONHASHSEED for processes that start meanwhile."""
    name = "PYTHONHASHSEED"
    before = os.environ.get(name)
    os.environ[name] = seed
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
