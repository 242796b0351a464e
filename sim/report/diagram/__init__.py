"""The space-time diagram of a run: one page without anything from elsewhere.

`picture` makes plain data of a run's records; `page` puts it into HTML, with the style and the
script that stand beside this file. What is told in a run may hold anything, so the data goes in
as JSON in which no `<` is left, and the script shows it as text only.
"""

import html
import json
import re
from importlib.resources import files

import msgspec

from sim.cluster.cluster import NAMES
from sim.cluster.trace import DeviceRecord, HeardRecord, LinkRecord, NodeRecord, StartRecord
from sim.cluster.world import START_MS
from sim.report.diagram.build import STRANGERS, Builder
from sim.report.diagram.model import NOWHERE, Broken, Lane, Picture, Point
from sim.report.summary import command
from sim.run import Plan, Report

SCRIPTS = ("state.js", "drawing.js", "hands.js")
"""One script in three parts: what there is to see, drawing it, and what keys and hands do."""


def picture(plan: Plan, report: Report) -> Picture:
    """Of a run whose trace was kept."""
    return draw(report, f"Seed {plan.seed}", command(plan))


def draw(report: Report, title: str, again: str) -> Picture:
    """Of whatever gave the report; `again` is the command that gives it again."""
    assert report.trace is not None
    records = report.trace.records
    devices: dict[str, None] = {}
    nodes: dict[str, None] = {}
    strangers = False
    for record in records:
        if isinstance(record, DeviceRecord | HeardRecord):
            devices[record.device] = None
        elif isinstance(record, NodeRecord | StartRecord):
            nodes[record.node] = None
        elif isinstance(record, LinkRecord):
            strangers = strangers or not record.link
    lanes = [Lane(name, "device") for name in sorted(devices, key=_device_order)]
    lanes += [Lane(STRANGERS, "stranger")] if strangers else []
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
        violation = Broken(length_ms, broken.invariant, broken.seen, about)
        words = f"VIOLATION: {broken.invariant}"
        party = broken.seen.split(" ")[0].rstrip(":")
        lane = next((n for n, lane in enumerate(lanes) if lane.name == party), NOWHERE)
        builder.points.append(Point(length_ms, lane, "violation", words, broken.seen, about))
    builder.finish(length_ms)
    return Picture(
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
    """The entries that the sentence of a violation speaks of, as `conversation:seq`."""
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
    """What stands under the title."""
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


def page(shown: Picture) -> str:
    """The diagram as one HTML document."""
    folder = files(__package__)
    data = json.dumps(msgspec.to_builtins(shown), ensure_ascii=False, separators=(",", ":"))
    parts = {
        "title": html.escape(f"{shown.title}: a simulated run"),
        "style": (folder / "page.css").read_text("utf-8"),
        "script": _script([(folder / name).read_text("utf-8") for name in SCRIPTS]),
        "data": data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    }
    before, *pieces = (folder / "page.html").read_text("utf-8").split("{{")
    return before + "".join(
        parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces)
    )
