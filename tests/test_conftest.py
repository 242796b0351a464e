"""A server test that is skipped fails where servers are required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = """
import pytest

@pytest.mark.servers
def test_on_a_server() -> None:
    pytest.skip("no server here")

def test_of_something_else() -> None:
    pytest.skip("not here")
"""


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_a_skipped_server_test_fails_where_servers_are_required(
    required: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPED)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", str(tmp_path), "-c", os.devnull],
        env={**os.environ, "CHAT_REQUIRE_SERVERS": required},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == code, run.stdout
    assert ("1 failed, 1 skipped" if code else "2 skipped") in run.stdout
