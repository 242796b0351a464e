"""Verdicts: met, not met, not measured; nothing else."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.__main__ import main
from bench.results.budgets import BUDGETS, verdicts
from bench.results.figures import Figure, read_json, write_json
from bench.results.plot import plot

READY = Figure("node ready", "node, sqlite", {"ready_ms": 500.0})


@pytest.mark.parametrize(("ready_ms", "verdict"), [(600.0, "met"), (600.1, "NOT MET")])
def test_a_budget_is_met_up_to_its_limit(ready_ms: float, verdict: str) -> None:
    text, _ = verdicts([READY._replace(values={"ready_ms": ready_ms})])
    assert text.splitlines()[-1].startswith(f"{verdict} ")


@pytest.mark.parametrize(
    ("node_us", "ngircd_us", "verdict"),
    [(9.0, 6.6, "met"), (9.1, 6.6, "NOT MET"), (18.0, 13.2, "met"), (4.6, 3.3, "NOT MET")],
)
def test_microseconds_are_those_of_a_machine_on_which_ngircd_takes_what_it_took(
    node_us: float, ngircd_us: float, verdict: str
) -> None:
    workload = "group of 100 × 1"
    node = Figure(workload, "node, mysql", {"cpu_us.node": node_us})
    ngircd = Figure(workload, "ngircd", {"cpu_us.ngircd": ngircd_us})
    text, _ = verdicts([node, ngircd])
    (line,) = [line for line in text.splitlines() if "group × 1" in line]
    assert line.startswith(f"{verdict} ")
    assert f"here {node_us:.3g}" in line


def test_without_ngircd_they_count_as_they_are() -> None:
    text, _ = verdicts([Figure("group of 100 × 1", "node, mysql", {"cpu_us.node": 9.0})])
    assert "met           group × 1" in text


def test_what_was_not_measured_is_not_met() -> None:
    text, is_well = verdicts([])
    assert not is_well
    assert text.count("NOT MEASURED") == len(BUDGETS)


def test_check_tells_by_its_exit_code(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    write_json(figures, [READY])
    assert main(["check", "--figures", str(figures)]) == 1


def test_figures_come_back_from_the_file(tmp_path: Path) -> None:
    write_json(tmp_path / "figures.json", [READY])
    assert read_json(tmp_path / "figures.json") == [READY]


def test_the_plot_is_well_formed() -> None:
    figure = Figure("a < b & c", "node", {"cpu_us.node": 3.0, "cpu_us.mariadbd": 4.0, "rate": 9.0})
    root = ElementTree.fromstring(plot([figure, READY]))
    assert "a < b & c" in "".join(root.itertext())
