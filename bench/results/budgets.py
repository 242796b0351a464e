"""Performance budgets, and the verdict on each: met, not met, or not measured.

A budget in microseconds of CPU holds for a machine of a certain speed. Machines differ, and one
machine differs from moment to moment. So such a figure is scaled by ngircd's: it is multiplied by
the CPU time of ngircd on the reference machine (`NGIRCD_US`) over its CPU time, for the same
workload, in this run. Without ngircd the figure is compared unscaled.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from bench.results.figures import Figure

DIRECT: Final = "direct, 10 pairs × "
GROUP: Final = "group of 100 × "
TWO: Final = "two nodes, 10 pairs × 32"
STEADY: Final = 1.25
"""Ratio up to which two costs count as equal, given the noise of the machine."""
NGIRCD_US: Final = {DIRECT + "32": 1.85, GROUP + "1": 6.6, GROUP + "8": 1.32}
"""By workload: CPU time of ngircd for each delivery on the reference machine."""


class NotMeasured(Exception):
    """A figure that a budget needs was not measured; the text names it."""


class Figures:
    """Figures by workload and target."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = {(one.workload, one.target): one for one in figures}

    def get(self, workload: str, target: str, name: str) -> float:
        """Raises NotMeasured."""
        try:
            return self._figures[workload, target].values[name]
        except KeyError:
            raise NotMeasured(f"{workload}, {target}: {name}") from None

    def all(self, workload: str, target: str, name: str) -> list[float]:
        """The values of all workloads and targets with these prefixes, in the order measured.
        Raises NotMeasured if there is none."""
        found = [
            one.values[name]
            for one in self._figures.values()
            if one.workload.startswith(workload) and one.target.startswith(target)
            if name in one.values
        ]
        if not found:
            raise NotMeasured(f"{workload}, {target}: {name}")
        return found


Value: TypeAlias = Callable[[Figures], float]


class Budget(NamedTuple):
    """`limit` is the upper bound of `value`, or with `least` the lower bound; `goal` is the value
    aimed at. `workload`: the workload whose ngircd figure scales this one."""

    what: str
    value: Value
    limit: float
    goal: float | None = None
    unit: str = "µs"
    least: bool = False
    workload: str = ""

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit

    def ngircd_us(self, figures: Figures) -> float | None:
        """CPU time of ngircd in this run; None if the budget is not scaled or ngircd was not
        measured."""
        if not self.workload:
            return None
        try:
            return figures.get(self.workload, "ngircd", "cpu_us.ngircd")
        except NotMeasured:
            return None


def _value(workload: str, target: str, name: str) -> Value:
    return lambda figures: figures.get(workload, target, name)


def _ratio(above: Value, below: Value) -> Value:
    return lambda figures: above(figures) / below(figures)


def _worst(workload: str, name: str, *, least: bool) -> Value:
    """The worst value over all stores."""
    pick = min if least else max
    return lambda figures: pick(figures.all(workload, "node", name))


def _both_nodes(figures: Figures) -> float:
    both = [figures.get(TWO, "two nodes, redis, mysql", f"cpu_us.node {n}") for n in (1, 2)]
    return sum(both)


def _members_ratio(figures: Figures) -> float:
    """Cost of a delivery in a group of many members, over that in a group of only the members
    online."""
    found = figures.all("100 online", "node", "cpu_us.node")
    return max(large / small for small, large in zip(found[::2], found[1::2], strict=True))


def _beside_large_group(figures: Figures) -> float:
    """The p99 of the pairs beside a busy large group, over their p99 alone."""
    quiet = figures.all("pairs alone", "node", "p99_us")
    loud = figures.all("pairs beside", "node", "p99_us")
    return max(one / other for one, other in zip(loud, quiet, strict=True))


_CPU: Final = "cpu_us.node"
_MYSQL: Final = "node, mysql"
_SQLITE: Final = "node, sqlite"


def _cpu(what: str, workload: str, target: str, limit: float, goal: float | None = None) -> Budget:
    return Budget(what, _value(workload, target, _CPU), limit, goal, workload=workload)


def _by_ngircd(workload: str) -> Value:
    return _ratio(_value(workload, _MYSQL, _CPU), _value(workload, "ngircd", "cpu_us.ngircd"))


BUDGETS: Final = (
    _cpu("direct × 32, MySQL: CPU a message", DIRECT + "32", _MYSQL, 14, 8),
    Budget(
        "direct × 32, MySQL: messages",
        _value(DIRECT + "32", _MYSQL, "rate"),
        30_000,
        unit="/s",
        least=True,
    ),
    Budget("direct × 32, MySQL: CPU by ngircd's", _by_ngircd(DIRECT + "32"), 8, unit="×"),
    Budget(
        "direct × 1, MySQL: p50 by a bare transaction's",
        _ratio(
            _value(DIRECT + "1", _MYSQL, "p50_us"), _value(DIRECT + "1", "PyMySQL, one", "p50_us")
        ),
        3,
        2,
        unit="×",
    ),
    _cpu("group × 8, MySQL: CPU a delivery", GROUP + "8", _MYSQL, 2.6),
    Budget("group × 8, MySQL: CPU by ngircd's", _by_ngircd(GROUP + "8"), 2, 1, unit="×"),
    _cpu("group × 1, MySQL: CPU a delivery", GROUP + "1", _MYSQL, 9, 7),
    Budget(
        "two nodes × 32: CPU of both by that of one",
        _ratio(_both_nodes, _value(TWO, "one node, mysql", "cpu_us.node 1")),
        2,
        1.6,
        unit="×",
    ),
    _cpu("direct × 32, SQLite: CPU a message", DIRECT + "32", _SQLITE, 18, 11),
    _cpu("group × 8, SQLite: CPU a delivery", GROUP + "8", _SQLITE, 2.6, 2),
    Budget(
        "backlog to one client: entries",
        _worst("backlog of", "rate", least=True),
        50_000,
        150_000,
        "/s",
        least=True,
    ),
    Budget("resumes", _worst("resumes", "rate", least=True), 1_500, 4_000, "/s", least=True),
    Budget(
        "idle connection: memory",
        _worst("idle", "pss_kib", least=False),
        12,
        7,
        unit="KiB",
    ),
    Budget(
        "idle connections: CPU",
        _worst("idle", "idle_cpu_percent", least=False),
        2,
        unit="%",
    ),
    Budget("100 online of 100,000 by 100 of 100: CPU", _members_ratio, STEADY, unit="×"),
    Budget("pairs beside a group of 10,000: p99 by alone", _beside_large_group, 3, unit="×"),
    Budget("node ready", _worst("node ready", "ready_ms", least=False), 600, 300, unit="ms"),
)


def verdicts(figures: Sequence[Figure]) -> tuple[str, bool]:
    """One line for each budget, and whether all budgets are met."""
    found = Figures(figures)
    lines = []
    all_met = True
    for budget in BUDGETS:
        sign = "≥" if budget.least else "≤"
        limit = f"{sign} {budget.limit:,.4g} {budget.unit}"
        goal = "" if budget.goal is None else f", goal {budget.goal:,.4g}"
        try:
            value = budget.value(found)
        except NotMeasured as missing:
            all_met = False
            lines.append(f"NOT MEASURED  {budget.what:48} {limit}{goal} (missing: {missing})")
            continue
        here = ""
        ngircd_us = budget.ngircd_us(found)
        if ngircd_us is not None:
            there_us = NGIRCD_US[budget.workload]
            here = f"; here {value:.3g}, ngircd {ngircd_us:.3g}, reference {there_us:g}"
            value *= there_us / ngircd_us
        is_met = budget.is_met(value)
        all_met = all_met and is_met
        verdict = "met" if is_met else "NOT MET"
        number = f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
        lines.append(f"{verdict:13} {budget.what:48} {number} {budget.unit} ({limit}{goal}{here})")
    return "\n".join(lines), all_met
