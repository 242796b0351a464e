"""What legitimate users notice of an attack: the figures, the verdict, the table."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.results.figures import Figure
from bench.results.measurement import quantile

SLOWER: Final = 5.0
"""p99 of chat during an attack, at most this many times its p99 before."""
OK: Final = "ok"
BUSY: Final = "busy"
DELIVERED: Final = "delivered"
SENT: Final = "sent"


class Spread(NamedTuple):
    """Latencies in ms."""

    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, latencies_s: Sequence[float]) -> "Spread":
        ordered = [one * 1000 for one in sorted(latencies_s)]
        return cls(quantile(ordered, 0.5), quantile(ordered, 0.99), ordered[-1] if ordered else 0.0)


class Logins(NamedTuple):
    """Users who connected and logged in."""

    outcomes: dict[str, int]
    """Number by outcome: OK, an error code, or what became of the connection."""
    slowest_ms: float


class Noticed(NamedTuple):
    """What legitimate users noticed in one span of time."""

    chat: dict[str, Spread]
    """DELIVERED: from writing a text to its arrival at the friend. SENT: to the reply."""
    missing: int
    """Texts that had not arrived, or not been answered, when the measurement ended."""
    faults: list[str]
    """Connections that were lost or received a wrong line, each with the reason."""
    logins: Logins
    resumes: Logins
    late_ms: float
    """p99 of how late texts were written, which is due to the measuring process and its core."""


class Process(NamedTuple):
    """CPU time (percent of a core) and resident memory (MiB) of a node: before the attack, the
    highest during it, after it."""

    cpu_percent: tuple[float, float, float]
    memory_mib: tuple[float, float, float]
    others_percent: float
    """CPU time that other processes had on the core of the node, before and during the attack."""


class Row(NamedTuple):
    """The result of one attack."""

    attack: str
    target: str
    quiet: Noticed
    during: Noticed
    node: Process
    attackers: dict[str, int]
    """What the attackers counted."""
    node_ended: bool = False
    log_lines: int = 0
    """Lines that the node logged from the start of the attack on."""
    logs_once: bool = False
    """Whether the node must log the attack, in one line."""
    shares_address: bool = False
    """Whether the attack comes from the address of the legitimate users; their address may then be
    over its limits."""

    @property
    def slower(self) -> float:
        """The p99 of chat during the attack by that before, of DELIVERED or SENT, the higher."""
        return max(
            self.during.chat[what].p99_ms / max(self.quiet.chat[what].p99_ms, 1e-6)
            for what in (DELIVERED, SENT)
        )


def failures(row: Row) -> list[str]:
    """Why the row is not met; empty if it is met."""
    found = []
    if row.node_ended:
        found.append("the node ended")
    if row.slower > SLOWER:
        found.append(f"chat p99 {_ratio(row.slower)} × that before")
    if row.during.missing:
        found.append(f"{row.during.missing} texts missing")
    if row.during.faults:
        found.append(f"{len(row.during.faults)} connections lost ({row.during.faults[0]})")
    for what, logins in (("login", row.during.logins), ("resume", row.during.resumes)):
        allowed = set(logins.outcomes) - {BUSY} if row.shares_address else {OK}
        wrong = {k: n for k, n in logins.outcomes.items() if k not in allowed}
        if wrong:
            found.append(f"{what}: {_counts(wrong)}")
    if row.logs_once and row.log_lines != 1:
        found.append(f"{row.log_lines} lines logged, not 1")
    return found


def verdict(row: Row) -> str:
    reasons = failures(row)
    return f"NOT MET: {'; '.join(reasons)}" if reasons else "met"


def summary(row: Row) -> str:
    """The verdict, and what the attackers counted."""
    return f"{verdict(row)}\n  attackers: {_counts(row.attackers)}"


def figure(row: Row) -> Figure:
    """All values of the row, by name, for the JSON file."""
    values = {"slower": row.slower, "met": float(not failures(row))}
    for when, noticed in (("quiet", row.quiet), ("during", row.during)):
        for what, spread in noticed.chat.items():
            values |= {f"{when}.{what}.{k}": v for k, v in spread._asdict().items()}
        for what, logins in (("login", noticed.logins), ("resume", noticed.resumes)):
            values[f"{when}.{what}.slowest_ms"] = logins.slowest_ms
            values |= {f"{when}.{what}.{k}": float(n) for k, n in logins.outcomes.items()}
        values |= {f"{when}.missing": float(noticed.missing), f"{when}.late_ms": noticed.late_ms}
    for place, when in enumerate(("before", "peak", "after")):
        values[f"{when}.node.cpu_percent"] = row.node.cpu_percent[place]
        values[f"{when}.node.memory_mib"] = row.node.memory_mib[place]
    values["others_percent"] = row.node.others_percent
    values |= {f"attackers.{k.replace(' ', '_')}": float(n) for k, n in row.attackers.items()}
    values["log_lines"] = float(row.log_lines)
    return Figure(f"attack {row.attack}", row.target, values)


# ------------------------------------------------------------------ the table

HEAD: Final = (
    "attack",
    "quiet p50",
    "p99",
    "max ms",
    "during p50",
    "p99",
    "max ms",
    "p99 ×",
    "sent p99 ms",
    "login ms",
    "resume ms",
    "CPU %",
    "MiB",
    "verdict",
)
_LEFT: Final = {0, 9, 10, 13}
"""Columns of words; the others are aligned to the right."""


def cells(row: Row) -> list[str]:
    quiet, during = row.quiet.chat, row.during.chat
    return [
        row.attack,
        *map(_ms, quiet[DELIVERED]),
        *map(_ms, during[DELIVERED]),
        _ratio(row.slower),
        f"{_ms(quiet[SENT].p99_ms)} {_ms(during[SENT].p99_ms)}",
        _logins(row.during.logins),
        _logins(row.during.resumes),
        " ".join(f"{one:.0f}" for one in row.node.cpu_percent),
        " ".join(f"{one:.0f}" for one in row.node.memory_mib),
        verdict(row),
    ]


def text_table(rows: Sequence[Row]) -> str:
    """A table with aligned columns."""
    lines = [list(HEAD), *map(cells, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    text = "\n".join(
        "  ".join(
            cell.ljust(width) if place in _LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    late_ms = max((row.during.late_ms for row in rows), default=0.0)
    others = max((row.node.others_percent for row in rows), default=0.0)
    return (
        f"{text}\n\nNot the doing of the node: texts were written at most {_ms(late_ms)} ms late "
        f"(p99 of an attack);\nother processes had at most {others:.0f} % of its core."
    )


def markdown_table(rows: Sequence[Row]) -> str:
    rule = [":--" if place in _LEFT else "--:" for place in range(len(HEAD))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [HEAD, rule, *map(cells, rows)])


def _logins(logins: Logins) -> str:
    wrong = {k: n for k, n in logins.outcomes.items() if k != OK}
    return f"{_ms(logins.slowest_ms)} ({_counts(wrong)})" if wrong else _ms(logins.slowest_ms)


def _counts(outcomes: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(outcomes.items()))


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
