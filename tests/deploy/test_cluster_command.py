"""`make cluster` from start to end: the real programs, none left afterwards."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster import EXIT_MISSING, EXIT_OK
from deploy.servers import free_port
from tests.conftest import need
from tests.processes import ClientProcess, Process

START_S = 60.0
PARTS = ("mariadb", "redis", "node-1", "node-2", "nginx")


@pytest.fixture(name="cluster")
def fixture_cluster(tmp_path: Path) -> Iterator[Process]:
    need("mariadbd", "redis-server", "nginx")
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


def rows(cluster: Process) -> dict[str, int]:
    """The process ids that the command prints, by part."""
    cluster.wait_for("^ready", seconds=START_S)
    found = [re.match(r"  (\S+) +\d+ +(\d+) ", line) for line in cluster.out]
    return {row[1]: int(row[2]) for row in found if row}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(cluster: Process, *lines: str) -> list[str]:
    """The output of the client that the command names, run by a script through the balancer."""
    port = int(cluster.wait_for("^ready", seconds=START_S)[0].split()[-1])
    client = ClientProcess(port)
    try:
        client.write(*lines, "quit")
        client.end_input()
        assert client.exit_code() == 0, str(client)
    finally:
        client.close()
    return client.out


@pytest.mark.servers
def test_it_runs_until_it_is_stopped_and_leaves_nothing(cluster: Process, tmp_path: Path) -> None:
    parts = rows(cluster)
    assert tuple(parts) == PARTS
    assert all(is_alive(pid) for pid in parts.values())
    assert re.search(r"chat-client 127\.0\.0\.1 \d+$", cluster.out[-1])
    (folder,) = tmp_path.iterdir()
    assert str(folder) in "\n".join(cluster.out)

    ask(cluster, "2", "ann", "correct horse", "1", "ann", "correct horse", "showme")

    os.kill(parts["node-1"], signal.SIGKILL)
    cluster.wait_for(r"^node-1 was ended by SIGKILL; the others go on")
    shown = ask(cluster, "1", "ann", "correct horse", "showme")
    assert any("ann" in line for line in shown)

    cluster.signal(signal.SIGINT)
    assert cluster.exit_code(START_S) == EXIT_OK
    assert cluster.out[-1] == "stopped"
    assert not cluster.err
    assert not any(is_alive(pid) for pid in parts.values())
    assert not folder.exists()


@pytest.mark.servers
def test_it_can_be_stopped_while_it_starts(cluster: Process, tmp_path: Path) -> None:
    cluster.wait_for("^starting redis", seconds=START_S)
    cluster.signal(signal.SIGTERM)
    assert cluster.exit_code(START_S) == EXIT_OK
    assert cluster.out[-1] == "stopped"
    assert not list(tmp_path.iterdir())


def test_a_free_port_is_given_once() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)


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
