"""The diagram: its data for a known run, and a page that is safe and loads nothing."""

import json
import re
from pathlib import Path

import pytest

from chat.client.session.ports import notices
from chat.client.session.ports.effects import Transmit
from chat.protocol.messages import Entry, EntryKind, User
from sim import cli
from sim.cluster.trace import DeviceRecord, FaultRecord
from sim.cluster.world import START_MS
from sim.report import diagram
from sim.report.diagram.model import NEVER, NOWHERE, Arrow, Diagram
from sim.report.run_report import Plan, Report
from sim.run import run_plan

QUIET = Plan(7, nodes=2, devices=2, steps_ms=8_000, faults=())
HOSTILE = '</script><script>alert("1")</script><!-- & {{data}} \u2028 ]]> "'


@pytest.fixture(scope="module")
def quiet() -> Diagram:
    return diagram.of_plan(QUIET, run_plan(QUIET, keep_trace=True))


def arrows_about(picture: Diagram, entry: str) -> list[Arrow]:
    return [arrow for arrow in picture.arrows if entry in arrow.entries]


def test_each_party_has_a_lane(quiet: Diagram) -> None:
    names = [(lane.name, lane.kind) for lane in quiet.lanes]
    assert names[0][1] == "device"
    assert [lane for lane in names if lane[1] != "device"] == [
        ("node-1", "node"),
        ("node-2", "node"),
        ("bus", "bus"),
        ("store", "store"),
    ]


def test_a_text_is_followed_from_its_device_to_the_store_and_on(quiet: Diagram) -> None:
    sent = next(arrow for arrow in quiet.arrows if arrow.name == "chat" and arrow.target >= 0)
    (entry,) = sent.entries
    about = arrows_about(quiet, entry)
    device, node = quiet.lanes[sent.source_lane], quiet.lanes[sent.target_lane]
    assert (device.kind, node.kind) == ("device", "node")
    names = [arrow.name for arrow in about]
    for name in ("chat", "append", "appended", "sent"):
        assert name in names
    answered = next(arrow for arrow in about if arrow.name == "sent")
    assert (answered.source_lane, answered.target_lane) == (sent.target_lane, sent.source_lane)
    asked = next(arrow for arrow in about if arrow.name == "append")
    assert quiet.lanes[asked.target_lane].kind == "store"
    assert sent.left_ms < sent.arrived_ms < asked.arrived_ms < answered.arrived_ms
    detail = quiet.points[sent.target].detail
    assert "is READY" in detail
    assert "→ query" in detail


def test_arrows_join_points_and_go_forward(quiet: Diagram) -> None:
    assert quiet.arrows
    for arrow in quiet.arrows:
        assert arrow.source_lane != NOWHERE
        if arrow.source != NOWHERE:
            assert quiet.points[arrow.source].lane == arrow.source_lane
            assert quiet.points[arrow.source].at_ms == arrow.left_ms
        if arrow.target != NOWHERE:
            assert quiet.points[arrow.target].lane == arrow.target_lane
            assert quiet.points[arrow.target].at_ms == arrow.arrived_ms
        assert arrow.arrived_ms == NEVER or arrow.arrived_ms >= arrow.left_ms
    times = [point.at_ms for point in quiet.points]
    assert times == sorted(times)


def test_a_quiet_run_loses_nothing_on_the_way_to_the_store(quiet: Diagram) -> None:
    """Workload who speak and go lose their own last words; nodes lose nothing."""
    assert not quiet.bands
    assert not [a for a in quiet.arrows if a.kind == "query" and a.target == NOWHERE]


@pytest.mark.parametrize(
    ("kind", "lane"),
    [("node_crash", "node"), ("store_restart", "store"), ("bus_restart", "bus")],
)
def test_a_fault_is_a_band_over_its_lanes(kind: str, lane: str) -> None:
    plan = Plan(3, steps_ms=15_000, faults=(kind,))
    report = run_plan(plan, keep_trace=True)
    picture = diagram.of_plan(plan, report)
    bands = [band for band in picture.bands if band.kind == kind.replace("_", " ")]
    assert len(bands) >= report.faults[kind] > 0
    assert {picture.lanes[number].kind for band in bands for number in band.lanes} == {lane}
    assert any(band.until_ms > band.from_ms for band in bands)
    assert all(band.until_ms <= picture.length_ms for band in bands)
    assert [point.kind for point in picture.points].count("healed") == 1


def test_lost_messages_never_arrive() -> None:
    plan = Plan(3, steps_ms=30_000, faults=("bus_message_lost", "store_lost_reply", "reset"))
    report = run_plan(plan, keep_trace=True)
    picture = diagram.of_plan(plan, report)
    kinds = {band.kind for band in picture.bands}
    assert {"bus message lost", "store lost reply", "reset"} <= kinds
    assert any(arrow.target == NOWHERE for arrow in picture.arrows)


def test_the_adversary_has_a_lane() -> None:
    plan = Plan(3, steps_ms=8_000, faults=("hostile_bytes",))
    picture = diagram.of_plan(plan, run_plan(plan, keep_trace=True))
    assert [lane.kind for lane in picture.lanes].count("adversary") == 1


@pytest.mark.parametrize(
    ("seen", "entries"),
    [
        ("bob-2 is at 4 of 5 in conversation 2", ("2:5",)),
        ("ann-1 applied 9 after 7 of 3", ("3:9", "3:8")),
        ("ann-1 applied this at 7/12, the log has None", ("7:12",)),
        ("ann-1 was told (7, 12) for that, the log has None", ("7:12",)),
        ("dan-4 is not logged in", ()),
    ],
)
def test_a_violation_leads_to_the_entries_it_speaks_of(seen: str, entries: tuple[str, ...]) -> None:
    assert diagram.concerned(seen) == entries


# ------------------------------------------------------------------ the page


def hostile(report: Report) -> Report:
    """The run, with a text that would be markup in the page."""
    assert report.trace is not None
    entry = Entry(
        seq=1, kind=EntryKind.TEXT, from_=User(id=1, name=HOSTILE), text=HOSTILE, at=1, key=None
    )
    applied = notices.EntryApplied(9, entry, own=False, backlog=False)
    report.trace.records += [
        DeviceRecord(START_MS + 9_000, "ann-1", applied),
        DeviceRecord(START_MS + 9_001, "ann-1", Transmit(1, HOSTILE.encode() + b"\n\xff\n")),
        FaultRecord(START_MS + 9_002, HOSTILE, ("nobody",), START_MS + 9_003),
    ]
    return report


def test_the_page_is_alone_and_safe() -> None:
    plan = QUIET._replace(steps_ms=2_000)
    picture = diagram.of_plan(plan, hostile(run_plan(plan, keep_trace=True)))
    picture.title = HOSTILE
    page = diagram.page(picture)
    assert "alert(" in page
    assert page.count("<script") == page.count("</script>") == 2
    assert "<!--" not in page
    without_svg = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|src=|href=|@import|url\(", without_svg)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    told = json.loads(data.group(1))
    assert told["title"] == HOSTILE
    assert "{{" not in page.replace("{{data}}", "")


def test_show_writes_the_page_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["show", "7", "--steps", "2"]) == cli.OK
    assert str(tmp_path / "sim-7.html") in capsys.readouterr().out
    assert (tmp_path / "sim-7.html").read_text("utf-8").startswith("<!doctype html>")
    named = tmp_path / "run.html"
    assert cli.main(["show", "7", "--steps", "2", "--html", str(named)]) == cli.OK
    assert named.exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["show"],
        ["show", "x"],
        ["show", "-1"],
        ["show", "1", "2"],
        ["show", "1", "--nodes", "0"],
        ["show", "1", "--faults", "gremlins"],
        ["show", "1", "--html", "/no/such/folder/run.html"],
        ["show", "1", "--html", "/"],
    ],
)
def test_bad_usage_gets_one_sentence(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: int | str | None = cli.main(argv)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == cli.USAGE
    assert not captured.out
    assert captured.err.count("\n") == 1
