"""The shortest story that still fails: a failing plan, made smaller step by step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

from sim.run import Plan, Report, run_plan

MIN_STEPS_MS = 1_000


@dataclass
class Shrunk:
    """The smallest plan found, its report, and how many runs it took."""

    plan: Plan
    report: Report
    runs: int


def shrink(
    plan: Plan,
    report: Report,
    *,
    limit_s: float = 15.0,
    attempts: int = 200,
    run: Callable[[Plan], Report] = run_plan,
) -> Shrunk:
    """Makes the plan smaller as long as the same invariant fails, within the limits."""
    assert report.violation is not None
    invariant = report.violation.invariant
    best = Shrunk(plan._replace(faults=report.kinds), report, 0)
    until = monotonic() + limit_s
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(best.plan):
            if best.runs >= attempts or monotonic() >= until:
                return best
            best.runs += 1
            seen = run(candidate)
            if seen.violation is not None and seen.violation.invariant == invariant:
                best.plan, best.report = candidate, seen
                smaller = True
                break
    return best


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that are a little smaller: less time, fewer kinds of faults, devices and nodes."""
    for part in (4, 2):
        if plan.steps_ms // part >= MIN_STEPS_MS:
            yield plan._replace(steps_ms=plan.steps_ms // part)
    kinds = plan.faults or ()
    for half in (kinds[: len(kinds) // 2], kinds[len(kinds) // 2 :]):
        if len(kinds) > 2:
            yield plan._replace(faults=half)
    for kind in kinds:
        yield plan._replace(faults=tuple(other for other in kinds if other != kind))
    if plan.devices > 2:
        yield plan._replace(devices=max(2, plan.devices // 2))
        yield plan._replace(devices=plan.devices - 1)
    if plan.nodes > 1:
        yield plan._replace(nodes=plan.nodes - 1)
    if plan.steps_ms * 3 // 4 >= MIN_STEPS_MS:
        yield plan._replace(steps_ms=plan.steps_ms * 3 // 4 // 1_000 * 1_000)
