"""A plan says what a run is made of; a report says what came of it. Plain data, both picklable."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sim.checkers import Violation
from sim.cluster.injection_points import Phase
from sim.cluster.trace import Trace


class Plan(NamedTuple):
    """What a run is made of. Without `faults` the seed draws the kinds."""

    seed: int
    nodes: int = 3
    devices: int = 8
    steps_ms: int = 60_000
    faults: tuple[str, ...] | None = None


@dataclass
class Report:
    """What a run was, and what was seen in it."""

    seed: int
    simulated_ms: int
    events: int
    acked: int
    applied: int
    faults: dict[str, int]
    """By kind: how often it was injected."""
    trace_hash: str
    violation: Violation | None
    kinds: tuple[str, ...] = ()
    """The kinds of faults that the run had, whether they were injected or not."""
    severity: dict[str, float] = field(default_factory=dict)
    """By kind: how severe it was, from 0 to 1."""
    marks: tuple[str, ...] = ()
    """The hash after each thousand records of the trace."""
    cells: dict[tuple[int, int], int] = field(default_factory=dict)
    """By state and input: how often the cell of the state table was looked up."""
    facts: dict[str, int] = field(default_factory=dict)
    """By name (sim/report/coverage.py): how often the fact came about."""
    phases: dict[tuple[str, Phase], int] = field(default_factory=dict)
    """By kind of fault and phase of a text's way: how often the two met."""
    trace: Trace | None = None
    """With its records, if they were to be kept."""
