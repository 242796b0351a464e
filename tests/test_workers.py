"""Several workers on one port: real processes on MariaDB and Redis."""

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chat.cli import node_main
from chat.options import EXIT_USAGE
from deploy.servers import Redis, free_port
from tests.processes import ClientProcess, Process
from tests.test_cli import HOST, chat_node, said
from tests.test_kill import log_in

WORKERS = 2
CLIENTS = 6
"""Enough that all of them at one worker is very unlikely."""
WAIT_S = 20.0


class Cluster:
    """A chat-node with workers, on MariaDB and Redis."""

    def __init__(self, database: str, redis: Redis) -> None:
        self.database = database
        self.redis = redis
        self.port = free_port()
        self.parent = self.start(self.port)
        self.workers = self.started()

    def start(self, port: int) -> Process:
        return Process(*self.command(port))

    def command(self, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "chat.cli", HOST, str(port), "--workers", str(WORKERS)),
            *("--store", self.database, "--bus", self.redis.url),
        ]

    def started(self) -> list[int]:
        """The processes of the workers, once they are ready."""
        self.parent.wait_for("^ready: ")
        (line,) = self.parent.wait_for("workers, processes")
        return [int(number) for number in re.findall(r"\d+", line)[1:]]

    def close(self) -> None:
        self.parent.close()


@pytest.fixture(name="cluster")
def fixture_cluster(database: str, redis: Redis) -> Iterator[Cluster]:
    with contextlib.closing(Cluster(database, redis)) as cluster:
        yield cluster


def is_there(process: int) -> bool:
    """Whether the process is alive; a zombie is not."""
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
            log_in(client, f"user{number}")
        clients[0].write("creategroup:all:of us")
        (made,) = clients[0].wait_for(r"^You made the group all \(\d+\)")
        group = re.findall(r"\((\d+)\)", made)[0]
        for client in clients[1:]:
            client.write(f"joingroup:{group}")
            client.wait_for(r"^You are in the group all")
        for number, client in enumerate(clients):
            client.write(f"groupchat:{group}:before-{number}-end")
        for client in clients:
            client.wait_for(r"\[all\] \w+: before-.-end$", CLIENTS)
        os.kill(cluster.workers[0], signal.SIGKILL)
        for number, client in enumerate(clients):
            client.write(f"groupchat:{group}:after-{number}-end")
        for client in clients:
            client.wait_for(r"\[all\] \w+: after-.-end$", CLIENTS)
        until(lambda: any("started again" in line for line in cluster.parent.err))
    finally:
        for client in clients:
            client.close()


@pytest.mark.servers
def test_the_parent_ends_its_workers_and_they_do_not_outlive_it(cluster: Cluster) -> None:
    in_use = chat_node(*cluster.command(cluster.port)[3:])
    assert in_use.returncode == 3
    assert "in use" in said(in_use)
    alone = chat_node(HOST, cluster.port, "--store", cluster.database, "--bus", "none")
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
def test_what_is_missing_is_said_once(redis: Redis) -> None:
    database = f"mysql://chat:word@{HOST}:{free_port()}/chat"
    run = chat_node(
        *(HOST, free_port(), "--workers", WORKERS, "--store", database, "--bus", redis.url)
    )
    assert run.returncode == 4
    assert "does not answer" in said(run)


def test_workers_need_what_they_can_share(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ((), ("--store", "mysql://a:b@127.0.0.1:1/c"), ("--bus", "none")):
        assert node_main([HOST, "0", "--workers", "2", *options]) == EXIT_USAGE
        out, err = capsys.readouterr()
        assert not out
        (line,) = err.splitlines()
        assert line.startswith("chat-node: ")
        assert "share" in line
