"""Verdicts: met, not met, not measured; nothing else."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.__main__ import main
from bench.budgets import BUDGETS, verdicts
from bench.figures import Figure, read_json, write_json
from bench.plot import plot

READY = Figure("node ready", "node, sqlite", {"ready_ms": 500.0})


@pytest.mark.parametrize(("ready_ms", "verdict"), [(600.0, "met"), (600.1, "NOT MET")])
def test_a_budget_is_met_up_to_its_limit(ready_ms: float, verdict: str) -> None:
    text, _ = verdicts([READY._replace(values={"ready_ms": ready_ms})])
    assert text.splitlines()[-1].startswith(f"{verdict} ")


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
