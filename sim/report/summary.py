"""The summary of many runs, as text and as JSON."""

from dataclasses import dataclass, field
from time import monotonic

from chat.protocol.rules import Input, State
from sim.checkers import Violation
from sim.cluster.injection_points import Phase
from sim.faults.swarm import KINDS, SEVERITIES
from sim.faults.swarm import REACHABLE as REACHABLE_PHASES
from sim.report.cells import REACHABLE
from sim.report.coverage import Coverage
from sim.report.facts import FACTS
from sim.report.run_report import Plan, Report

MARKED = 1_000
"""Records of a trace between two of its marks."""


@dataclass
class Totals:
    """The sums over all runs so far."""

    seeds: int = 0
    simulated_ms: int = 0
    events: int = 0
    acked: int = 0
    applied: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    phases: dict[tuple[str, Phase], int] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    started_s: float = field(default_factory=monotonic)

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.simulated_ms += report.simulated_ms
        self.events += report.events
        self.acked += report.acked
        self.applied += report.applied
        for kind in report.kinds:
            self.faults.setdefault(kind, 0)
        for kind, count in report.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count
        for pair, count in report.phases.items():
            self.phases[pair] = self.phases.get(pair, 0) + count
        self.hashes[report.seed] = report.trace_hash
        self.coverage.merge(report.cells, report.facts)

    @property
    def wall_s(self) -> float:
        return max(0.001, monotonic() - self.started_s)

    @property
    def reached(self) -> int:
        return len(REACHABLE) - len(self.coverage.missing_cells())

    def missing_kinds(self) -> list[str]:
        return [kind for kind in KINDS if kind not in self.faults]

    def missing_phases(self) -> list[str]:
        """The reachable pairs of a kind of fault and a phase of a text's way that did not meet."""
        return sorted(f"{kind} × {phase}" for kind, phase in REACHABLE_PHASES - set(self.phases))

    def gaps(self) -> list[str]:
        """Everything that should have come about at least once and did not."""
        return (
            [f"the cell {cell} was not reached" for cell in self.coverage.missing_cells()]
            + [f"it never happened that {fact}" for fact in self.coverage.missing_facts()]
            + [f"no text met the fault {pair}" for pair in self.missing_phases()]
            + [f"no run had the fault {kind}" for kind in self.missing_kinds()]
        )


def totals_lines(totals: Totals) -> list[str]:
    """The lines printed after all runs. Only the last one depends on the machine. Facts that never
    came about are left out; `Totals.gaps` has them."""
    lines = [
        f"seeds            {totals.seeds}",
        f"simulated        {totals.simulated_ms / 3_600_000:.2f} hours",
        f"events           {totals.events:,}",
        f"entries          {totals.acked:,} acked, {totals.applied:,} delivered",
        "faults           " + (_faults(totals) or "none"),
        f"spec coverage    {totals.reached} of {len(REACHABLE)} reachable cells",
    ]
    lines.append(
        f"fault × phase    {len(REACHABLE_PHASES) - len(totals.missing_phases())} "
        f"of {len(REACHABLE_PHASES)} reachable"
    )
    lines.append("sometimes")
    counts = totals.coverage.facts
    lines += [f"{counts[name]:>15,}  {fact}" for name, fact in FACTS.items() if counts[name]]
    wall_s = totals.wall_s
    lines.append(
        f"speed            {totals.events / wall_s:,.0f} events and "
        f"{totals.simulated_ms / 1_000 / wall_s:,.0f} simulated seconds a second, "
        f"{wall_s:.1f} s in all"
    )
    return lines


def _faults(totals: Totals) -> str:
    """The kinds and how often each was injected, a few to a line."""
    return _in_rows(
        [f"{kind} {count:,}" if count else kind for kind, count in sorted(totals.faults.items())]
    )


def _in_rows(words: list[str]) -> str:
    rows = [", ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
    return (",\n" + " " * 17).join(rows)


def failure_lines(plan: Plan, report: Report, violation: Violation) -> list[str]:
    """The lines printed for a violation."""
    return [
        f"VIOLATION in seed {report.seed}",
        f"invariant        {violation.invariant}",
        f"seen             {violation.seen}",
        f"when             {report.simulated_ms / 1_000:.3f} simulated seconds, "
        f"event {report.events:,}",
        f"faults           {_severities(report) or 'none'}",
        f"run again        {command(plan)}",
    ]


def _severities(report: Report) -> str:
    """The kinds that a run had, how severe each was, and how often it was injected."""
    words = [
        f"{kind} {SEVERITIES[report.severity[kind]]}"
        + (f" {report.faults[kind]}" if report.faults.get(kind) else "")
        for kind in report.kinds
    ]
    return _in_rows(words)


def smallest_plan_lines(plan: Plan, report: Report, runs: int) -> list[str]:
    """The lines printed for the smallest failing plan."""
    kinds = _count(len(report.kinds), "kind of fault", "kinds of faults")
    return [
        f"shortest story   {plan.steps_ms / 1_000:g} s with {_count(plan.nodes, 'node')}, "
        f"{_count(plan.devices, 'client')}, {kinds}; "
        f"{_count(runs, 'run')} to find it",
        f"                 {report.violation}",
        f"                 {command(plan)}",
    ]


def _count(number: int, what: str, several: str = "") -> str:
    """`several` is the plural of `what`, if it is not formed by adding an s."""
    return f"{number or 'no'} {what if number == 1 else several or what + 's'}"


def command(plan: Plan) -> str:
    """The command that runs the plan again."""
    words = ["python -m sim", f"--seed {plan.seed}"]
    usual = Plan(plan.seed)
    if plan.nodes != usual.nodes:
        words.append(f"--nodes {plan.nodes}")
    if plan.devices != usual.devices:
        words.append(f"--clients {plan.devices}")
    if plan.steps_ms != usual.steps_ms:
        words.append(f"--steps {plan.steps_ms / 1_000:g}")
    if plan.faults is not None:
        words.append(f"--faults {','.join(plan.faults) or 'none'}")
    return " ".join(words)


def difference(first: Report, second: Report) -> str | None:
    """Where the traces of two runs of one plan begin to differ; None if they do not."""
    if first.trace_hash == second.trace_hash and first.events == second.events:
        return None
    for number, (one, other) in enumerate(zip(first.marks, second.marks, strict=False)):
        if one != other:
            return f"mark {number + 1} (records {number * MARKED + 1} to {(number + 1) * MARKED})"
    return f"the end, after mark {min(len(first.marks), len(second.marks))}"


def as_json(
    totals: Totals, failed: tuple[Plan, Violation] | None, unequal: dict[int, str]
) -> dict[str, object]:
    """The same as data."""
    names = sorted(totals.coverage.cells.items())
    return {
        "seeds": totals.seeds,
        "simulated_ms": totals.simulated_ms,
        "events": totals.events,
        "acked": totals.acked,
        "delivered": totals.applied,
        "faults": dict(sorted(totals.faults.items())),
        "cells": {f"{State(s).name} × {Input(i).name.lower()}": n for (s, i), n in names},
        "missing_cells": totals.coverage.missing_cells(),
        "fault_phases": {f"{k} × {p}": n for (k, p), n in sorted(totals.phases.items())},
        "missing_fault_phases": totals.missing_phases(),
        "sometimes": {fact: totals.coverage.facts[name] for name, fact in FACTS.items()},
        "hashes": {str(seed): digest for seed, digest in totals.hashes.items()},
        "not_deterministic": {str(seed): where for seed, where in unequal.items()},
        "violation": None
        if failed is None
        else {
            "invariant": failed[1].invariant,
            "seen": failed[1].seen,
            "command": command(failed[0]),
        },
        "wall_s": round(totals.wall_s, 3),
    }
