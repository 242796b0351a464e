"""Planted bugs fit the code they are planted in, and are caught; the code as it stands is not."""

import sys
from pathlib import Path

import pytest

from sim import cli
from sim.hunt import hunt_all
from sim.mutants import Catch, Edit, Mutant
from sim.mutants.catalogue import CANARY, MUTANTS, NOTHING
from sim.mutants.plant import CannotPlant, by_module, changed, plant, planted_code
from sim.mutants_cli import as_it_should, markdown

TABLE = Path(__file__).parents[2] / "docs" / "mutants.md"
QUICK = (
    "ack-before-commit",
    "repeat-delivered",
    "joined-one-too-early",
    "cursor-goes-back",
)
"""Caught by the first seed."""


@pytest.mark.parametrize("mutant", [CANARY, *MUTANTS], ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code(mutant: Mutant) -> None:
    """Each of its texts stands there exactly once, and what becomes of it is Python."""
    assert mutant.edits
    for module, edits in by_module(mutant.edits).items():
        assert planted_code(module, edits) is not None


def test_there_are_enough_and_each_has_its_name() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_alarm_rings_for_bugs_and_for_nothing_else() -> None:
    known = {mutant.name: mutant for mutant in MUTANTS}
    hunted = [(CANARY, 1), (NOTHING, 3), *((known[name], 2) for name in QUICK)]
    for catch in hunt_all(hunted, 2):
        assert as_it_should(catch), catch


def test_what_does_not_fit_is_not_planted() -> None:
    with pytest.raises(CannotPlant, match="0 times"):
        changed("a = 1\n", [Edit("sim.cluster.world", "b = 1", "b = 2")])
    with pytest.raises(CannotPlant, match="2 times"):
        changed("a = 1\na = 1\n", [Edit("sim.cluster.world", "a = 1", "a = 2")])
    with pytest.raises(CannotPlant, match="loaded before"):
        plant([Edit("sim.mutants", "a", "b")])
    assert not [finder for finder in sys.meta_path if type(finder).__module__ == plant.__module__]


def test_the_command_tells_and_its_code_says_whether_all_is_as_it_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.md"
    argv = ["mutants", "canary", "cursor-goes-back", "--markdown", str(path), "--jobs", "1"]
    assert cli.main(argv) == cli.OK
    assert "2 of 2 as it should be." in capsys.readouterr().out
    assert "| cursor-goes-back |" in path.read_text()
    assert cli.main(["mutants", "login-timeout-never", "--most-seeds", "1"]) == cli.VIOLATED
    assert "SURVIVED" in capsys.readouterr().out
    assert cli.main(["mutants", "--list"]) == cli.OK
    assert "no-anti-entropy" in capsys.readouterr().out


def test_what_a_planted_bug_does_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "canary.html"
    assert cli.main(["mutants", "canary", "--html", str(path)]) == cli.OK
    assert str(path) in capsys.readouterr().out
    assert "Planted: canary" in path.read_text()


@pytest.mark.parametrize("argv", [["nobody"], ["--markdown", "/no/such/folder/table.md"]])
def test_a_wrong_option_gets_one_sentence(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["mutants", *argv]) == cli.USAGE
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_table_in_the_docs_has_all_mutants_and_no_survivor() -> None:
    written = TABLE.read_text("utf-8")
    rows = [line.split(" | ")[:2] for line in written.splitlines() if line.startswith("| ")]
    wanted = [(mutant.name, mutant.what) for mutant in (CANARY, NOTHING, *MUTANTS)]
    assert [(name.removeprefix("| "), what) for name, what in rows[1:]] == wanted
    assert "SURVIVED" not in written


def test_a_survivor_stands_out_in_the_table() -> None:
    mutants = [CANARY, MUTANTS[0]]
    catches = [Catch("canary", 1, "all is well", ""), Catch(MUTANTS[0].name, 1_000, None, "")]
    assert f"| {MUTANTS[0].name} | {MUTANTS[0].what} | 1,000 | SURVIVED |" in markdown(
        mutants, catches, 1_000
    )
