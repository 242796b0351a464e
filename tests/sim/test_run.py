"""A run tells what it was, fails when something is wrong, and shrinks what fails."""

import pickle

import pytest

from chat.core.node import Node
from chat.protocol.rules import RULES, Input, State, Verdict
from sim.checkers import Violation
from sim.faults.swarm import KINDS
from sim.report.cells import REACHABLE
from sim.report.coverage import Coverage
from sim.report.facts import FACTS
from sim.report.run_report import Plan, Report
from sim.report.shrink import shrink
from sim.report.summary import smallest_plan_lines
from sim.run import CRASH, run, run_plan


@pytest.mark.parametrize("seed", range(4))
def test_a_run_violates_nothing(seed: int) -> None:
    report = run(seed, steps_ms=20_000, watch=True)
    assert report.violation is None
    assert report.acked
    assert report.applied
    assert all(RULES[s][i].verdict is not Verdict.NEVER for s, i in report.cells)


def test_a_run_without_faults_has_none() -> None:
    report = run(1, faults=[], steps_ms=10_000)
    assert report.violation is None
    assert report.kinds == ()
    assert not report.faults


def test_all_faults_together_violate_nothing() -> None:
    report = run(2, faults=list(KINDS), steps_ms=20_000)
    assert report.violation is None
    assert report.kinds == tuple(KINDS)


def test_the_faults_drawn_can_be_given_and_change_nothing() -> None:
    drawn = run_plan(Plan(5, steps_ms=10_000))
    given = run_plan(Plan(5, steps_ms=10_000, faults=drawn.kinds))
    assert given.trace_hash == drawn.trace_hash


def test_an_exception_in_the_code_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(node: Node) -> int | None:
        raise KeyError("nothing there")

    monkeypatch.setattr(Node, "next_deadline_ms", broken)
    report = run(1, steps_ms=1_000)
    assert report.violation is not None
    assert report.violation.invariant == CRASH
    assert "nothing there" in report.violation.seen


def test_a_violation_travels_between_processes() -> None:
    violation = pickle.loads(pickle.dumps(Violation("all is well", "it is not")))
    assert (violation.invariant, violation.seen) == ("all is well", "it is not")


def _report(plan: Plan, invariant: str | None) -> Report:
    violation = Violation(invariant, "seen") if invariant else None
    return Report(plan.seed, 0, 0, 0, 0, {}, "", violation, kinds=plan.faults or ())


def test_what_fails_is_shrunk_to_what_it_needs() -> None:
    def fails(plan: Plan) -> Report:
        faults = plan.faults or ()
        needed = "reset" in faults and "delay" in faults and plan.devices >= 3
        other = "something else" if plan.nodes < 2 else None
        return _report(plan, other or ("it broke" if needed else None))

    plan = Plan(7, nodes=4, devices=9, steps_ms=60_000, faults=tuple(KINDS))
    shrunk = shrink(plan, fails(plan), run=fails)
    assert shrunk.plan.faults is not None
    assert set(shrunk.plan.faults) == {"reset", "delay"}
    assert (shrunk.plan.nodes, shrunk.plan.devices) == (2, 3)
    assert shrunk.plan.steps_ms < 2_000
    assert shrunk.report.violation is not None
    assert shrunk.report.violation.invariant == "it broke"


def test_what_fails_by_chance_is_looked_for_among_other_seeds() -> None:
    """It fails in this run as it is, and in every seventh seed with any plan."""

    def fails(plan: Plan) -> Report:
        return _report(plan, "it broke" if plan.seed % 7 == 0 or plan == whole else None)

    whole = Plan(3, faults=tuple(KINDS))
    shrunk = shrink(whole, fails(whole), run=fails)
    assert shrunk.plan.seed == 7
    assert shrunk.plan.faults == ()
    assert (shrunk.plan.nodes, shrunk.plan.devices) == (1, 2)


def test_shrinking_ends() -> None:
    plan = Plan(7, faults=tuple(KINDS))
    report = _report(plan, "it broke")
    assert shrink(plan, report, attempts=5, run=lambda plan: report).runs == 5
    assert shrink(plan, report, limit_s=0.0, run=lambda plan: report).runs == 0


def test_coverage_names_what_is_missing() -> None:
    coverage = Coverage()
    assert len(coverage.missing_cells()) == len(REACHABLE)
    assert coverage.missing_facts() == list(FACTS.values())
    coverage.merge({(State.READY, Input.CHAT): 2}, {"gap": 3})
    assert "READY × chat" not in coverage.missing_cells()
    assert FACTS["gap"] not in coverage.missing_facts()


def test_a_look_up_in_the_state_table_is_counted_while_it_is_watched() -> None:
    coverage = Coverage()
    with coverage.watching():
        RULES[State.READY][Input.PING]
        RULES[State.READY][Input.PING]
    RULES[State.READY][Input.CHAT]
    assert coverage.cells == {(State.READY, Input.PING): 2}


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ((), "no kinds of faults"),
        (("reset",), "1 kind of fault;"),
        (tuple(KINDS[:12]), "12 kinds of faults;"),
    ],
)
def test_the_smallest_plan_is_told_in_whole_words(kinds: tuple[str, ...], words: str) -> None:
    plan = Plan(7, nodes=1, devices=2, faults=kinds)
    text = "\n".join(smallest_plan_lines(plan, _report(plan, "it broke"), 3))
    assert f"1 node, 2 clients, {words}" in text
    assert "3 runs to find it" in text
