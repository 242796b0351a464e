"""Seeds until a mutant is caught, each mutant in a process that has nothing else in it."""

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
"""A mutant that has taken this long has made the code go round in circles, which no seed ends."""


class _TooLong(BaseException):
    """Not an Exception, so that the simulator does not take it for one of the code's."""


def hunt(mutant: Mutant, most_seeds: int, html: Path | None = None) -> Catch:
    """Plants the mutant in this process, for good, and runs seeds from 0 on. What fails is drawn,
    if it is said where."""
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
    """The shortest story found."""
    from sim.report import diagram
    from sim.report.shrink import shrink
    from sim.run import Plan, run_plan

    plan = shrink(Plan(seed), run_plan(Plan(seed))).plan
    again = f"python -m sim mutants {mutant.name} --html {html}"
    shown = diagram.draw(run_plan(plan, keep_trace=True), f"Planted: {mutant.name}", again)
    html.write_text(diagram.page(shown), "utf-8")


def hunt_all(
    hunted: Sequence[tuple[Mutant, int]], jobs: int, html: Path | None = None
) -> Iterator[Catch]:
    """What became of each mutant within its most seeds, in order."""
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
