"""A seed gives one history: in each process, for any order of sets, watched or not."""

from sim import pool
from sim.cluster.trace import DeviceRecord, NodeRecord
from sim.report.run_report import Plan
from sim.report.summary import difference
from sim.run import run_plan

PLANS = [Plan(seed, steps_ms=10_000) for seed in range(2)]


def test_two_processes_with_other_hash_seeds_have_the_same_history() -> None:
    for first, second in pool.pairs(PLANS, 2):
        assert difference(first, second) is None
        assert (first.cells, first.facts, first.faults) == (
            second.cells,
            second.facts,
            second.faults,
        )


def test_the_number_of_processes_changes_nothing() -> None:
    alone = list(pool.reports(PLANS, 1))
    together = list(pool.reports(PLANS, 2))
    assert [report.seed for report in together] == [plan.seed for plan in PLANS]
    assert [report.trace_hash for report in alone] == [report.trace_hash for report in together]


def test_watching_and_keeping_change_nothing() -> None:
    plan = Plan(3, steps_ms=10_000)
    plain = run_plan(plan)
    watched = run_plan(plan, watch=True, keep_trace=True)
    assert plain.trace_hash == watched.trace_hash
    assert not plain.cells
    assert watched.cells
    assert watched.trace is not None
    hashed = [r for r in watched.trace.records if isinstance(r, NodeRecord | DeviceRecord)]
    assert len(hashed) == watched.trace.count


def test_the_first_differing_mark_is_named() -> None:
    report, other = (run_plan(Plan(seed, steps_ms=10_000)) for seed in (0, 1))
    assert difference(report, report) is None
    where = difference(report, other)
    assert where is not None
    assert where.startswith(("mark 1 ", "the end"))
