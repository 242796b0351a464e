"""Hunting mutants: seeds are run until a mutant is caught, each mutant in a process of its own."""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import FrameType

from sim.mutants import Catch, Mutant
from sim.mutants.plant import plant

MOST_SEEDS = 1_000
LIMIT_S = 900
"""A mutant that takes longer has made the code loop for ever."""


class _TooLong(BaseException):
    """Not an Exception, so that a run does not report it as a violation."""


def hunt(mutant: Mutant, most_seeds: int, html: Path | None = None) -> Catch:
    """Plants the mutant in this process, for good, and runs seeds from 0 on. With `html` the
    failing run is drawn there."""
    plant(mutant.edits)
    from sim.run import run

    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(LIMIT_S)
    seed = 0
    try:
        for seed in range(most_seeds):
            violation = run(seed).violation
            if violation is not None:
                signal.alarm(0)
                if html is not None:
                    _draw(mutant, seed, html)
                return Catch(mutant.name, seed + 1, violation.invariant, violation.seen)
    except _TooLong:
        return Catch(mutant.name, seed + 1, None, f"no end within {LIMIT_S} s")
    finally:
        signal.alarm(0)
    return Catch(mutant.name, most_seeds, None, "all is well")


def _draw(mutant: Mutant, seed: int, html: Path) -> None:
    """Draws the smallest failing plan."""
    from sim.report import diagram
    from sim.report.run_report import Plan
    from sim.report.shrink import shrink
    from sim.run import run_plan

    plan = shrink(Plan(seed), run_plan(Plan(seed)), run_plan).plan
    again = f"python -m sim mutants {mutant.name} --html {html}"
    drawn = diagram.diagram_of(run_plan(plan, keep_trace=True), f"Planted: {mutant.name}", again)
    html.write_text(diagram.page(drawn), "utf-8")


def hunt_all(
    hunted: Sequence[tuple[Mutant, int]], jobs: int, html: Path | None = None
) -> Iterator[Catch]:
    """The catch of each mutant, in order. Each comes with the most seeds to run."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=1)
    try:
        futures = [pool.submit(hunt, mutant, most, html) for mutant, most in hunted]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TooLong
