"""Shrinking: a failing plan is made smaller step by step, as long as the same invariant fails.

What is removed from a plan may have been what brought the failure about by chance, so that the rest
does not fail any more. Then other seeds are tried, without faults or with one kind of them: a bug
that needs little shows in many seeds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from time import monotonic

from sim.report.run_report import Plan, Report

MIN_STEPS_MS = 1_000
OTHER_SEEDS = 20


@dataclass
class Shrunk:
    """The smallest plan found, its report, and how many runs it took."""

    plan: Plan
    report: Report
    runs: int


def shrink(
    plan: Plan,
    report: Report,
    run: Callable[[Plan], Report],
    *,
    limit_s: float = 20.0,
    attempts: int = 400,
) -> Shrunk:
    """The smallest failing plan found within the limits. `run` carries out a plan."""
    assert report.violation is not None
    invariant = report.violation.invariant
    best = Shrunk(plan._replace(faults=report.kinds), report, 0)
    began_s = monotonic()

    def step(candidates: Callable[[Plan], Iterator[Plan]], until_s: float) -> bool:
        """Takes the first candidate that fails. Returns whether there was one within the limits."""
        for candidate in candidates(best.plan):
            if best.runs >= attempts or monotonic() >= until_s:
                return False
            best.runs += 1
            seen = run(candidate)
            if seen.violation is not None and seen.violation.invariant == invariant:
                best.plan, best.report = candidate, seen
                return True
        return False

    while step(_smaller, began_s + limit_s / 3):
        pass
    step(_other_seeds, began_s + limit_s * 2 / 3)
    while step(_smaller, began_s + limit_s):
        pass
    return best


def _other_seeds(plan: Plan) -> Iterator[Plan]:
    """The same with other seeds: without faults, or with one kind of them."""
    kinds = plan.faults or ()
    seeds = range(plan.seed + 1, plan.seed + 1 + OTHER_SEEDS)
    if kinds:
        for seed in seeds:
            yield plan._replace(seed=seed, faults=())
    if len(kinds) > 1:
        for seed, kind in product(seeds, kinds):
            yield plan._replace(seed=seed, faults=(kind,))


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that are a little smaller: fewer kinds of faults, less time, fewer devices and nodes.
    A kind that goes leaves the others much as they are, so kinds come first."""
    kinds = plan.faults or ()
    if kinds:
        yield plan._replace(faults=())
    for part in (2, 4):
        size = -(-len(kinds) // part)
        if size > 1:
            for at in range(0, len(kinds), size):
                yield plan._replace(faults=kinds[:at] + kinds[at + size :])
    for part in (4, 2):
        if plan.steps_ms // part >= MIN_STEPS_MS:
            yield plan._replace(steps_ms=plan.steps_ms // part)
    for kind in kinds:
        yield plan._replace(faults=tuple(other for other in kinds if other != kind))
    if plan.devices > 2:
        yield plan._replace(devices=max(2, plan.devices // 2))
        yield plan._replace(devices=plan.devices - 1)
    if plan.nodes > 1:
        yield plan._replace(nodes=plan.nodes - 1)
    if plan.steps_ms * 3 // 4 >= MIN_STEPS_MS:
        yield plan._replace(steps_ms=plan.steps_ms * 3 // 4 // 1_000 * 1_000)
