"""Each shape in miniature, on a real node."""

from pathlib import Path

import pytest

from bench.__main__ import SHAPES, main
from bench.figures import read_json

ON_SQLITE = sorted(set(SHAPES) - {"two-nodes"})


@pytest.mark.parametrize("shape", ON_SQLITE)
def test_shape(shape: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert main(["--tiny", "--store", "sqlite", "--only", shape, "--json", str(out)]) == 0
    figures = read_json(out)
    assert any(one.subject.startswith("node, sqlite") for one in figures)
    assert all(one.values.get("rate", 1.0) > 0 for one in figures)
