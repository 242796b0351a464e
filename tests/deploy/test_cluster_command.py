"""`make cluster` as people start and end it: the real programs, all gone afterwards."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster import EXIT_MISSING, EXIT_OK
from deploy.servers import missing
from tests.processes import Process

START_S = 60.0
PARTS = ("mariadb", "redis", "node-1", "node-2", "nginx")


@pytest.fixture(name="cluster")
def fixture_cluster(tmp_path: Path) -> Iterator[Process]:
    sentence = missing("mariadbd", "redis-server", "nginx")
    if sentence is not None:
        pytest.skip(sentence)
    process = command(tmp_path)
    yield process
    with contextlib.suppress(ProcessLookupError):
        process.signal(signal.SIGTERM)
    process.exit_code(START_S)
    process.close()


def command(folder: Path, **environment: str) -> Process:
    return Process(
        *(sys.executable, "-m", "deploy.cluster"),
        env={**os.environ, "TMPDIR": str(folder), **environment},
    )


@pytest.mark.servers
def test_it_can_be_stopped_while_it_starts(cluster: Process, tmp_path: Path) -> None:
    cluster.wait_for("^starting redis", seconds=START_S)
    cluster.signal(signal.SIGTERM)
    assert cluster.exit_code(START_S) == EXIT_OK
    assert cluster.out[-1] == "stopped"
    assert not list(tmp_path.iterdir())


def test_a_program_that_is_missing_is_named_with_its_cure(tmp_path: Path) -> None:
    cluster = Process(
        *(sys.executable, "-c"),
        "import sys; from deploy import cluster, servers; "
        "servers._SBIN = '/nowhere'; sys.exit(cluster.main([]))",
        env={**os.environ, "PATH": "/nowhere", "TMPDIR": str(tmp_path)},
    )
    try:
        assert cluster.exit_code() == EXIT_MISSING
        (line,) = cluster.err
        assert "mariadbd, redis-server, nginx cannot be found" in line
        assert "sudo apt-get install mariadb-server redis-server nginx libnginx-mod-stream" in line
    finally:
        cluster.close()
