"""Each workload in miniature, on a real node."""

from pathlib import Path

import pytest

from bench.__main__ import WORKLOADS, main
from bench.results.figures import read_json

ON_SQLITE = sorted(set(WORKLOADS) - {"two-nodes"})


@pytest.mark.parametrize("workload", ON_SQLITE)
def test_shape(workload: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert main(["--tiny", "--store", "sqlite", "--only", workload, "--json", str(out)]) == 0
    figures = read_json(out)
    assert any(one.target.startswith("node, sqlite") for one in figures)
    assert all(one.values.get("rate", 1.0) > 0 for one in figures)
