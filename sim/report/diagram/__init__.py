"""The space-time diagram of a run: one HTML page that loads nothing from elsewhere.

`diagram_of` makes plain data of a run's records; `page` puts it into HTML, with the style and the
script that stand beside this file. Texts of a run may hold anything, so the data goes in as JSON
without any `<`, and the script inserts it as text only.
"""

import html
import json
import re
from importlib.resources import files

import msgspec

from sim.cluster.cluster import NAMES
from sim.cluster.trace import AcceptRecord, DeviceRecord, NodeRecord, ReceivedRecord, StartRecord
from sim.cluster.world import START_MS
from sim.report.diagram.build import ADVERSARY, Builder
from sim.report.diagram.model import NOWHERE, BrokenInvariant, Diagram, Lane, Point
from sim.report.run_report import Plan, Report
from sim.report.summary import command

SCRIPTS = ("state.js", "drawing.js", "interaction.js")
"""One script in three parts: the data and the state of the page, drawing, pointer and keys."""


def of_plan(plan: Plan, report: Report) -> Diagram:
    """The diagram of a run whose trace was kept."""
    return diagram_of(report, f"Seed {plan.seed}", command(plan))


def diagram_of(report: Report, title: str, again: str) -> Diagram:
    """The diagram of a report with a trace; `again` is the command that gives it again."""
    assert report.trace is not None
    records = report.trace.records
    devices: dict[str, None] = {}
    nodes: dict[str, None] = {}
    adversary = False
    for record in records:
        if isinstance(record, DeviceRecord | ReceivedRecord):
            devices[record.device] = None
        elif isinstance(record, NodeRecord | StartRecord):
            nodes[record.node] = None
        elif isinstance(record, AcceptRecord):
            adversary = adversary or not record.client_number
    lanes = [Lane(name, "device") for name in sorted(devices, key=_device_order)]
    lanes += [Lane(ADVERSARY, "adversary")] if adversary else []
    lanes += [Lane(name, "node") for name in sorted(nodes)]
    lanes += [Lane("bus", "bus"), Lane("store", "store")]
    builder = Builder(START_MS, lanes)
    for record in records:
        builder.add(record)
    length_ms = float(report.simulated_ms)
    violation = None
    if report.violation is not None:
        broken = report.violation
        about = concerned(broken.seen)
        violation = BrokenInvariant(length_ms, broken.invariant, broken.seen, about)
        label = f"VIOLATION: {broken.invariant}"
        party = broken.seen.split(" ")[0].rstrip(":")
        lane = next((n for n, lane in enumerate(lanes) if lane.name == party), NOWHERE)
        builder.points.append(Point(length_ms, lane, "violation", label, broken.seen, about))
    builder.finish(length_ms)
    return Diagram(
        title=title,
        command=again,
        facts=_facts(report),
        length_ms=length_ms,
        lanes=lanes,
        points=builder.points,
        arrows=builder.arrows,
        bands=builder.bands,
        keys=builder.keys,
        violation=violation,
    )


def concerned(seen: str) -> tuple[str, ...]:
    """The entries that the sentence of a violation names, as `conversation:seq`."""
    found: list[str] = []
    for at, head, conversation in re.findall(r"at (None|\d+) of (\d+) in \w+ (\d+)", seen):
        found.append(f"{conversation}:{head if at == 'None' else int(at) + 1}")
    for applied, after, conversation in re.findall(r"applied (\d+) after (\d+) of (\d+)", seen):
        found += [f"{conversation}:{applied}", f"{conversation}:{int(after) + 1}"]
    found += [f"{c}:{seq}" for c, seq in re.findall(r"\b(\d+)/(\d+)\b", seen)]
    found += [f"{c}:{seq}" for c, seq in re.findall(r"\((\d+), (\d+)\)", seen)]
    return tuple(dict.fromkeys(found))


def _device_order(name: str) -> tuple[int, str, int]:
    user, _, number = name.partition("-")
    place = NAMES.index(user) if user in NAMES else len(NAMES)
    return place, user, int(number) if number.isdigit() else 0


def _facts(report: Report) -> list[tuple[str, str]]:
    """The figures under the title."""
    faults = [f"{kind} {count}" for kind, count in sorted(report.faults.items()) if count]
    return [
        ("simulated", f"{report.simulated_ms / 1_000:.3f} s"),
        ("events", f"{report.events:,}"),
        ("acknowledged", f"{report.acked:,}"),
        ("applied", f"{report.applied:,}"),
        ("faults", ", ".join(kind.replace("_", " ") for kind in faults) or "none"),
    ]


def _script(parts: list[str]) -> str:
    return "\n".join(['"use strict";', "(() => {", *parts, "})();"]) + "\n"


def page(diagram: Diagram) -> str:
    """The diagram as one HTML document."""
    folder = files(__package__)
    data = json.dumps(msgspec.to_builtins(diagram), ensure_ascii=False, separators=(",", ":"))
    parts = {
        "title": html.escape(f"{diagram.title}: a simulated run"),
        "style": (folder / "page.css").read_text("utf-8"),
        "script": _script([(folder / name).read_text("utf-8") for name in SCRIPTS]),
        "data": data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    }
    before, *pieces = (folder / "page.html").read_text("utf-8").split("{{")
    return before + "".join(
        parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces)
    )
