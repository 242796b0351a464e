"""What it may cost, and whether it does. A budget that is not met is said to be so.

Microseconds of CPU hold for a machine of a certain speed, and machines are not alike, nor is one of
them from one moment to the next. So these budgets are compared as ratios: what ngircd took for the
same shape where the budgets were set is the yardstick, and a figure counts as what it would be if
ngircd took as long here. Where there is no ngircd it counts as it is.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from bench.figures import Figure

DIRECT: Final = "direct, 10 pairs × "
GROUP: Final = "group of 100 × "
TWO: Final = "two nodes, 10 pairs × 32"
STEADY: Final = 1.25
"""What still counts as the same cost, on a machine that is never quite quiet."""
NGIRCD_US: Final = {DIRECT + "32": 1.85, GROUP + "1": 6.6, GROUP + "8": 1.32}
"""By shape: the CPU that ngircd took for each delivery where the budgets were set."""


class NotMeasured(Exception):
    """A figure that a budget needs is not there; its text says which."""


class Figures:
    """Figures by shape and subject."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = {(one.shape, one.subject): one for one in figures}

    def get(self, shape: str, subject: str, name: str) -> float:
        """Raises NotMeasured."""
        try:
            return self._figures[shape, subject].values[name]
        except KeyError:
            raise NotMeasured(f"{shape}, {subject}: {name}") from None

    def all(self, shape: str, subject: str, name: str) -> list[float]:
        """Of all shapes and subjects that begin so, largest shape last. Raises NotMeasured."""
        found = [
            one.values[name]
            for one in self._figures.values()
            if one.shape.startswith(shape) and one.subject.startswith(subject)
            if name in one.values
        ]
        if not found:
            raise NotMeasured(f"{shape}, {subject}: {name}")
        return found


Value: TypeAlias = Callable[[Figures], float]


class Budget(NamedTuple):
    """`limit` is the most, or with `least` the least, that `value` may be; `reach` is what one
    would like. `shape`: the one whose ngircd tells the machine's speed."""

    what: str
    value: Value
    limit: float
    reach: float | None = None
    unit: str = "µs"
    least: bool = False
    shape: str = ""

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit

    def ngircd_us(self, figures: Figures) -> float | None:
        """What ngircd takes here; None if the budget has nothing to do with that, or it is not
        there."""
        if not self.shape:
            return None
        try:
            return figures.get(self.shape, "ngircd", "cpu_us.ngircd")
        except NotMeasured:
            return None


def _value(shape: str, subject: str, name: str) -> Value:
    return lambda figures: figures.get(shape, subject, name)


def _ratio(above: Value, below: Value) -> Value:
    return lambda figures: above(figures) / below(figures)


def _worst(shape: str, name: str, *, least: bool) -> Value:
    """Of all stores."""
    pick = min if least else max
    return lambda figures: pick(figures.all(shape, "node", name))


def _both_nodes(figures: Figures) -> float:
    both = [figures.get(TWO, "two nodes, redis, mysql", f"cpu_us.node {n}") for n in (1, 2)]
    return sum(both)


def _crowd_members(figures: Figures) -> float:
    """The cost of a delivery in a group of many members by that in a group of those online."""
    found = figures.all("100 online", "node", "cpu_us.node")
    return max(large / small for small, large in zip(found[::2], found[1::2], strict=True))


def _others(figures: Figures) -> float:
    """The others' p99 beside a large group by that in quiet."""
    quiet = figures.all("others, quiet", "node", "p99_us")
    loud = figures.all("others, group", "node", "p99_us")
    return max(one / other for one, other in zip(loud, quiet, strict=True))


_CPU: Final = "cpu_us.node"
_MYSQL: Final = "node, mysql"
_SQLITE: Final = "node, sqlite"


def _cpu(what: str, shape: str, subject: str, limit: float, reach: float | None = None) -> Budget:
    return Budget(what, _value(shape, subject, _CPU), limit, reach, shape=shape)


def _by_ngircd(shape: str) -> Value:
    return _ratio(_value(shape, _MYSQL, _CPU), _value(shape, "ngircd", "cpu_us.ngircd"))


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
    Budget("100 online of 100,000 by 100 of 100: CPU", _crowd_members, STEADY, unit="×"),
    Budget("others beside a group of 10,000: p99 by quiet", _others, 3, unit="×"),
    Budget("node ready", _worst("node ready", "ready_ms", least=False), 600, 300, unit="ms"),
)


def verdicts(figures: Sequence[Figure]) -> tuple[str, bool]:
    """A line for each budget, and whether all are met."""
    found = Figures(figures)
    lines = []
    is_well = True
    for budget in BUDGETS:
        sign = "≥" if budget.least else "≤"
        limit = f"{sign} {budget.limit:,.4g} {budget.unit}"
        reach = "" if budget.reach is None else f", reach for {budget.reach:,.4g}"
        try:
            value = budget.value(found)
        except NotMeasured as missing:
            is_well = False
            lines.append(f"NOT MEASURED  {budget.what:48} {limit}{reach} (lacks {missing})")
            continue
        here = ""
        ngircd_us = budget.ngircd_us(found)
        if ngircd_us is not None:
            there_us = NGIRCD_US[budget.shape]
            here = f"; here {value:.3g}, where ngircd takes {ngircd_us:.3g} and not {there_us:g}"
            value *= there_us / ngircd_us
        is_met = budget.is_met(value)
        is_well = is_well and is_met
        verdict = "met" if is_met else "NOT MET"
        number = f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
        lines.append(f"{verdict:13} {budget.what:48} {number} {budget.unit} ({limit}{reach}{here})")
    return "\n".join(lines), is_well
