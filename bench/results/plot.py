"""An SVG bar chart: CPU time of each process for one operation, by workload."""

from collections.abc import Sequence
from html import escape
from typing import Final

from bench.results.figures import Figure

WIDTH: Final = 960
LEFT: Final = 210
RIGHT: Final = 220
BAR: Final = 18
GAP: Final = 6
HEAD: Final = 34
COLOURS: Final = {
    "node": "#3b6ea5",
    "node 1": "#3b6ea5",
    "node 2": "#6f9ccb",
    "mariadbd": "#c98a3b",
    "redis": "#a5443b",
    "relay": "#7a7a7a",
    "ngircd": "#7a7a7a",
    "client": "#7a7a7a",
}
OTHER: Final = "#b0b0b0"


def plot(figures: Sequence[Figure]) -> str:
    """A panel for each workload that has CPU figures; each panel has its own scale."""
    panels: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.cpu:
            panels.setdefault(figure.workload, []).append(figure)
    parts: list[str] = []
    y = _legend(parts)
    for workload, rows in panels.items():
        y = _panel(parts, y, workload, rows)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}"'
        f' height="{y}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _legend(parts: list[str]) -> int:
    parts.append(_text(10, 22, "CPU µs (user + system) for each operation, by process", size=15))
    x = 10
    for name, colour in (
        ("node", COLOURS["node"]),
        ("second node", COLOURS["node 2"]),
        ("mariadbd", COLOURS["mariadbd"]),
        ("redis", COLOURS["redis"]),
        ("baselines", COLOURS["relay"]),
    ):
        parts.append(_bar(x, 34, 12, 12, colour, name))
        parts.append(_text(x + 17, 45, name))
        x += 40 + 8 * len(name)
    return 58


def _panel(parts: list[str], y: int, workload: str, rows: Sequence[Figure]) -> int:
    parts.append(_text(10, y + 20, workload, size=13, bold=True))
    y += HEAD
    most = max(sum(row.cpu.values()) for row in rows) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    for row in rows:
        parts.append(_text(LEFT - 8, y + 13, row.target, anchor="end"))
        x = float(LEFT)
        for name, used in row.cpu.items():
            colour = COLOURS.get(name, OTHER)
            parts.append(_bar(x, y, used * scale, BAR, colour, f"{name}: {used:.3g} µs"))
            x += used * scale
        rate = row.values.get("rate", 0.0)
        label = " + ".join(
            f"{used:,.0f}" if used >= 100 else f"{used:.3g}" for used in row.cpu.values()
        )
        parts.append(_text(x + 6, y + 13, f"{label}  ({rate:,.0f}/s)"))
        y += BAR + GAP
    return y + GAP


def _text(
    x: float, y: float, text: str, *, size: int = 12, bold: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )


def _bar(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{max(width, 0.5):.1f}" height="{height}"'
        f' fill="{colour}"><title>{escape(title)}</title></rect>'
    )
