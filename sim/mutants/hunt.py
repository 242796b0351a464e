"""Seeds until a mutant is caught, each mutant in a process that has nothing else in it."""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import FrameType

from sim.mutants import Catch, Mutant
from sim.mutants.plant import plant

MOST_SEEDS = 1_000
LIMIT_S = 900
"""A mutant that has taken this long has made the code go round in circles, which no seed ends."""


class _TooLong(BaseException):
    """Not an Exception, so that the simulator does not take it for one of the code's."""


def hunt(mutant: Mutant, most_seeds: int) -> Catch:
    """Plants the mutant in this process, for good, and runs seeds from 0 on."""
    plant(mutant.edits)
    from sim.run import run

    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(LIMIT_S)
    seed = 0
    try:
        for seed in range(most_seeds):
            violation = run(seed).violation
            if violation is not None:
                return Catch(mutant.name, seed + 1, violation.invariant, violation.seen)
    except _TooLong:
        return Catch(mutant.name, seed + 1, None, f"no end within {LIMIT_S} s")
    finally:
        signal.alarm(0)
    return Catch(mutant.name, most_seeds, None, "all is well")


def hunt_all(hunted: Sequence[tuple[Mutant, int]], jobs: int) -> Iterator[Catch]:
    """What became of each mutant within its most seeds, in order."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=1)
    try:
        futures = [pool.submit(hunt, mutant, most) for mutant, most in hunted]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TooLong
