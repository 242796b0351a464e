"""Figures: medians over rounds, the printed table, the JSON file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench.results.machine import describe

COLUMNS: Final = {
    "rate": "a second",
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "max_us": "max µs",
    "load": "load core",
}


class Figure(NamedTuple):
    """The values of one target under one workload. Units are in the names: `_us`, `_kib`, `_ms`;
    `rate` is operations a second; `cpu_us.NAME` is the user and system time of process NAME for
    each operation."""

    workload: str
    target: str
    values: dict[str, float]

    @property
    def cpu(self) -> dict[str, float]:
        return {
            name.partition(".")[2]: value
            for name, value in self.values.items()
            if name.startswith("cpu_us.")
        }


def median_of(workload: str, target: str, rounds: Sequence[Mapping[str, float]]) -> Figure:
    """The median of each value by itself."""
    names = list(dict.fromkeys(name for one in rounds for name in one))
    return Figure(
        workload,
        target,
        {name: median(one[name] for one in rounds if name in one) for name in names},
    )


def table(figures: Sequence[Figure]) -> str:
    """A table with aligned columns."""
    rows = [["workload", "target", *COLUMNS.values(), "CPU µs each", "more"]]
    for figure in figures:
        cells = [figure.workload, figure.target]
        cells += [_number(figure.values.get(name)) for name in COLUMNS]
        cells.append(", ".join(f"{name} {_number(used)}" for name, used in figure.cpu.items()))
        cells.append(
            ", ".join(
                f"{name} {_number(value)}"
                for name, value in figure.values.items()
                if name not in COLUMNS and not name.startswith("cpu_us.")
            )
        )
        rows.append(cells)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in (0, 1, 7, 8) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_json(path: Path, figures: Sequence[Figure]) -> None:
    path.write_text(
        json.dumps(
            {
                "machine": describe(),
                "figures": [
                    {
                        "workload": one.workload,
                        "target": one.target,
                        "values": {k: round(v, 3) for k, v in one.values.items()},
                    }
                    for one in figures
                ],
            },
            indent=1,
        )
        + "\n"
    )


def read_json(path: Path) -> list[Figure]:
    """Raises OSError or ValueError."""
    return [
        Figure(one["workload"], one["target"], dict(one["values"]))
        for one in json.loads(path.read_text())["figures"]
    ]
