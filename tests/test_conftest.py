"""A server test that is skipped fails where servers are required."""

import os
import sys
from pathlib import Path

from tests.processes import Process

SKIPPED = """
import pytest

@pytest.mark.servers
def test_on_a_server() -> None:
    pytest.skip("no server here")

def test_of_something_else() -> None:
    pytest.skip("not here")
"""


def test_a_skipped_server_test_fails_where_servers_are_required(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPED)
    command = (sys.executable, "-m", "pytest", "-p", "tests.conftest", str(tmp_path))
    lax, strict = runs = [
        Process(*command, "-c", os.devnull, env={**os.environ, "CHAT_REQUIRE_SERVERS": required})
        for required in ("", "1")
    ]
    try:
        assert lax.exit_code() == 0, str(lax)
        assert "2 skipped" in lax.out[-1]
        assert strict.exit_code() == 1, str(strict)
        assert "1 failed, 1 skipped" in strict.out[-1]
    finally:
        for run in runs:
            run.close()
