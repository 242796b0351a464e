"""Several workers on one port: real processes on MariaDB and Redis."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.servers import MariaDb, Redis, stop_all
from tests.conftest import need
from tests.net.test_cli import HOST, chat_node, said
from tests.processes import ClientProcess, Process, free_port
from tests.test_kill import enter

WORKERS = 2
CLIENTS = 6
"""So many that hardly ever all are at one worker."""
GROUP = 1
"""The first conversation of a new store."""
WAIT_S = 20.0


class Cluster:
    """A chat-node with workers, and what they need."""

    def __init__(self, folder: Path) -> None:
        self.mariadb = MariaDb(folder / "maria")
        self.redis = Redis(folder / "redis")
        self.mariadb.start()
        self.redis.start()
        self.port = free_port()
        self.parent = self.start(self.port)
        self.workers = self.started()

    def start(self, port: int) -> Process:
        return Process(*self.command(port))

    def command(self, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "chat.cli", HOST, str(port), "--workers", str(WORKERS)),
            *("--store", self.mariadb.url, "--bus", self.redis.url),
        ]

    def started(self) -> list[int]:
        """The processes of the workers, once they are ready."""
        self.parent.wait_for("^ready: ")
        (line,) = self.parent.wait_for("workers, processes")
        return [int(number) for number in re.findall(r"\d+", line)[1:]]

    def close(self) -> None:
        self.parent.close()
        stop_all([self.redis, self.mariadb])


@pytest.fixture(name="cluster")
def fixture_cluster(tmp_path: Path) -> Iterator[Cluster]:
    need("mariadbd", "redis-server")
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def is_there(process: int) -> bool:
    """Whether the process lives; one that only waits for its parent to look does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.servers
def test_people_at_different_workers_chat_while_one_is_killed(cluster: Cluster) -> None:
    clients = [ClientProcess(cluster.port) for _ in range(CLIENTS)]
    try:
        for number, client in enumerate(clients):
            enter(client, f"user{number}")
        clients[0].write("creategroup:all:of us")
        clients[0].wait_for("all")
        for client in clients[1:]:
            client.write(f"joingroup:{GROUP}")
            client.wait_for("all")
        for number, client in enumerate(clients):
            client.write(f"groupchat:{GROUP}:before-{number}-end")
        for client in clients:
            client.wait_for("before-.-end", CLIENTS)
        os.kill(cluster.workers[0], signal.SIGKILL)
        for number, client in enumerate(clients):
            client.write(f"groupchat:{GROUP}:after-{number}-end")
        for client in clients:
            client.wait_for("after-.-end", CLIENTS)
        until(lambda: any("started again" in line for line in cluster.parent.err))
    finally:
        for client in clients:
            client.close()


@pytest.mark.servers
def test_the_parent_ends_its_workers_and_they_do_not_outlive_it(cluster: Cluster) -> None:
    in_use = chat_node(*cluster.command(cluster.port)[3:])
    assert in_use.returncode == 3
    assert "in use" in said(in_use)
    alone = chat_node(HOST, cluster.port, "--store", cluster.mariadb.url, "--bus", "none")
    assert alone.returncode == 3
    cluster.parent.signal(signal.SIGTERM)
    assert cluster.parent.exit_code() == 0
    assert not any(map(is_there, cluster.workers))
    assert cluster.parent.out[-1] == "stopped"
    assert sum(line.startswith("chat-node ") for line in cluster.parent.out) == 1
    cluster.parent.close()
    cluster.parent = cluster.start(cluster.port)
    workers = cluster.started()
    cluster.parent.signal(signal.SIGKILL)
    until(lambda: not any(map(is_there, workers)))


@pytest.mark.servers
def test_what_is_missing_is_said_once(tmp_path: Path) -> None:
    need("mariadbd", "redis-server")
    redis = Redis(tmp_path / "redis")
    redis.start()
    try:
        database = f"mysql://chat:word@{HOST}:{free_port()}/chat"
        run = chat_node(
            *(HOST, free_port(), "--workers", WORKERS, "--store", database, "--bus", redis.url)
        )
    finally:
        stop_all([redis])
    assert run.returncode == 4
    assert "does not answer" in said(run)


def test_workers_need_what_they_can_share() -> None:
    for options in ((), ("--store", "mysql://a:b@127.0.0.1:1/c"), ("--bus", "none")):
        run = chat_node(HOST, free_port(), "--workers", 2, *options)
        assert run.returncode == 2
        assert "share" in said(run)
