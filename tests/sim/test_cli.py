"""The command line: what it prints, what it writes, and how it ends."""

import io
import json
from pathlib import Path

import pytest

from chat.core.node import Node
from chat.core.state.context import Context
from chat.core.state.session import Session
from sim import cli
from sim.checkers import Violation
from sim.report.run_report import Plan
from sim.report.summary import Totals, command

QUICK = ["--steps", "5", "--jobs", "1"]


def test_a_seed_is_run_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    assert cli.main(["--seed", "4", "--seeds", "2", "--json", str(path), *QUICK]) == cli.OK
    out = capsys.readouterr().out
    for word in ("seeds            2", "acked", "spec coverage", "sometimes", "a second"):
        assert word in out
    assert "No violation." in out
    told = json.loads(path.read_text())
    assert told["seeds"] == 2
    assert told["violation"] is None
    assert sorted(told["hashes"]) == ["4", "5"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--seeds", "0"],
        ["--seed", "-1"],
        ["--nodes", "99"],
        ["--clients", "one"],
        ["--steps", "0"],
        ["--jobs", "0"],
        ["--faults", "gremlins"],
        ["--faults", ","],
        ["--seeds", "²"],
        ["--json", "/no/such/folder/run.json"],
        ["story", "/no/such/story.txt"],
        ["mutants", "--markdown", "/"],
        ["mutants", "canary", "nothing", "--html", "both.html"],
        ["--html", "/no/such/folder/run.html", "--seed", "1"],
        ["--json", "/no/such/folder/run.json", "--seed", "1"],
        ["show", "x"],
        ["sing"],
    ],
)
def test_a_wrong_option_gets_one_sentence(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: int | str | None = cli.main(argv)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == cli.USAGE
    assert not captured.out
    assert captured.err.count("\n") == 1


def test_a_violation_is_told_with_the_line_to_run_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(context: Context, session: Session, data: bytes) -> None:
        raise Violation("an answer is an answer", "there was none")

    monkeypatch.setattr(Context, "reply", broken)
    path = tmp_path / "out.json"
    html = tmp_path / "failure.html"
    argv = ["--seed", "3", "--clients", "2", "--json", str(path), "--html", str(html), *QUICK]
    code = cli.main(argv)
    out = capsys.readouterr().out
    assert code == cli.VIOLATED
    for word in ("VIOLATION in seed 3", "an answer is an answer", "shortest story"):
        assert word in out
    assert "python -m sim --seed 3" in out
    assert f"diagram          {html}" in out
    assert "an answer is an answer" in html.read_text()
    told = json.loads(path.read_text())
    assert told["violation"]["invariant"] == "an answer is an answer"


def test_what_is_missing_does_not_bury_what_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(context: Context, session: Session, data: bytes) -> None:
        raise Violation("an answer is an answer", "there was none")

    monkeypatch.setattr(Context, "reply", broken)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--seeds", "2", *QUICK]) == cli.VIOLATED
    out = capsys.readouterr().out
    assert "READY × chat" not in out
    assert len(out.splitlines()) < 60


def test_a_file_that_cannot_be_written_gets_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--seed", "1", "--json", "/proc/out.json", *QUICK]) == cli.USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_of_something_else_than_the_default_need_not_come_to_everything() -> None:
    assert cli.main(["--faults", "none", "--clients", "2", *QUICK]) == cli.OK


def test_determinism_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--seed", "2", "--steps", "2", "--check-determinism"]) == cli.OK
    assert "No violation." in capsys.readouterr().out


def test_two_histories_of_one_seed_have_their_own_code() -> None:
    code = cli._verdict(Totals(), False, {3: "mark 2"}, complete=False, asked=1)
    assert code == cli.NOT_DETERMINISTIC


def test_a_gap_fails_the_default_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    totals = Totals(seeds=100)
    assert cli._verdict(totals, False, {}, complete=True, asked=100) == cli.VIOLATED
    assert "READY × chat was not reached" in capsys.readouterr().out
    assert cli._verdict(totals, False, {}, complete=False, asked=100) == cli.OK


def test_a_default_run_that_was_cut_short_tells_its_gaps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli._verdict(Totals(seeds=9), False, {}, complete=True, asked=100) == cli.OK
    told = capsys.readouterr().out
    assert "Stopped after 9 of 100 seeds" in told
    assert "READY × chat was not reached" in told


def test_the_line_to_run_a_plan_again() -> None:
    assert command(Plan(7)) == "python -m sim --seed 7"
    plan = Plan(7, nodes=2, devices=4, steps_ms=1_500, faults=())
    line = "python -m sim --seed 7 --nodes 2 --clients 4 --steps 1.5 --faults none"
    assert command(plan) == line


# ---------------------------------------------------------------------------- stories


STORY = """\
# Bob's node crashes.
> people ann bob
> ann on node-1
> bob on node-2
> strike node_crash at node-2
> ann-1 says bob: hello
> begin store_deadlock
> stranger on node-1: {"type":
> wait 5000
> heal
"""


def test_a_story_is_played_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    html = tmp_path / "story.html"
    monkeypatch.setattr("sys.stdin", io.StringIO(STORY))
    assert cli.main(["story", "-", "--html", str(html)]) == cli.OK
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith((">", "#"))] == STORY.splitlines()
    assert "bob-2 sees 1/1 ann: hello" in out
    assert "A story" in html.read_text()


def test_a_story_that_fails_says_what_is_violated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forgetful(node: Node) -> dict[str, int]:
        return {"sessions": 1}

    monkeypatch.setattr(Node, "resource_counts", forgetful)
    path = tmp_path / "story.txt"
    path.write_text(STORY)
    assert cli.main(["story", str(path)]) == cli.VIOLATED
    assert "invariant        nothing is left over after quiet" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "> dance",
        "> ann on node-9",
        "> bob-7 sleeps",
        "> ann-1 says zoe: hello",
        "> strike gremlins",
        "> begin reset",
        "> people ann bob",
    ],
)
def test_a_line_that_is_none_gets_one_sentence(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "story.txt"
    path.write_text(f"> people ann bob\n> ann on node-1\n{line}\n")
    assert cli.main(["story", str(path)]) == cli.USAGE
    assert capsys.readouterr().err.count("\n") == 1
