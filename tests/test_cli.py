"""`chat-node` as people start, stop and misuse it: real processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat.cli import node_main
from chat.core.state.config import NodeConfig
from chat.options import EXIT_USAGE
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.schema import migrate
from deploy.servers import MariaDb, Redis, free_port
from tests.conftest import need
from tests.processes import NodeProcess, Process

HOST = "127.0.0.1"


@pytest.fixture(name="port")
def fixture_port() -> int:
    return free_port()


@pytest.fixture(name="node")
def fixture_node(port: int, tmp_path: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(port, tmp_path / "chat.db")
    yield process
    process.close()


def chat_node(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a chat-node that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "chat.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


def said(run: "subprocess.CompletedProcess[str]") -> str:
    """The one sentence it ended with."""
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith("chat-node: ")
    assert line.endswith(".")
    return line


class Caller:
    """A connection to a node, read line by line."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self._file = self.socket.makefile("rb")

    def line(self) -> Any:
        line = self._file.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self._file.close()
        self.socket.close()


# ---------------------------------------------------------------------------- start


def test_the_start_says_what_is_kept_where_and_how_to_connect(
    node: NodeProcess, port: int, tmp_path: Path
) -> None:
    text = "\n".join(node.out)
    assert str(tmp_path / "chat.db") in text
    assert "bus     local" in text
    assert re.search(r"chat-node \d+\.\d+\.\d+ \(node-\d+, process \d+\)", text)
    assert node.out[-1].startswith("ready")
    assert node.out[-1].endswith(f"chat-client {HOST} {port}")
    assert not node.err


def test_port_0_takes_a_free_one_and_says_which(tmp_path: Path) -> None:
    node = Process(
        sys.executable, "-m", "chat.cli", HOST, "0", "--name", "n1",
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        port = int(node.wait_for("^ready")[0].split()[-1])
        caller = Caller(port)
        assert caller.line()["node"] == "n1"
        caller.close()
        assert (tmp_path / "chat-node" / f"{port}.db").exists()
        node.signal(signal.SIGTERM)
        assert node.exit_code() == 0
    finally:
        node.close()


def test_without_a_word_the_store_is_in_the_home_folder(port: int, tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("XDG_DATA_HOME", None)
    node = Process(sys.executable, "-m", "chat.cli", HOST, str(port), env=environment)
    try:
        store = tmp_path / ".local" / "share" / "chat-node" / f"{port}.db"
        node.wait_for(re.escape(str(store)))
        node.wait_for("^ready")
        assert store.stat().st_mode & 0o077 == 0
    finally:
        node.close()


def test_every_limit_is_a_flag_with_its_default() -> None:
    run = chat_node("--help")
    assert run.returncode == 0
    text = " ".join(run.stdout.split())
    for field in msgspec.structs.fields(NodeConfig):
        if type(field.default) is int:
            assert f"--{field.name.replace('_', '-')}" in text
            assert f"(default {field.default})" in text


def test_a_limit_that_is_given_holds(port: int, tmp_path: Path) -> None:
    node = NodeProcess(port, tmp_path / "chat.db", "--login-line-bytes", "100")
    caller = Caller(port)
    try:
        assert caller.line()["limits"]["login_line_bytes"] == 100
        caller.socket.sendall(b"x" * 200)
        assert caller.line()["code"] == "too_long"
        assert caller.line() is None
    finally:
        caller.close()
        node.close()


# ---------------------------------------------------------------------------- stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(node: NodeProcess, port: int, number: signal.Signals) -> None:
    caller = Caller(port)
    assert caller.line()["type"] == "welcome"
    node.signal(number)
    assert caller.line()["type"] == "draining"
    assert caller.line() is None
    caller.close()
    assert node.exit_code() == 0
    assert node.out[-1] == "stopped"
    assert not node.err


def test_the_port_is_free_again_at_once(node: NodeProcess, port: int, tmp_path: Path) -> None:
    caller = Caller(port)
    node.signal(signal.SIGTERM)
    assert node.exit_code() == 0
    again = NodeProcess(port, tmp_path / "chat.db")
    again.close()
    caller.close()


def stuff(port: int) -> socket.socket:
    """A peer who does not read, and for whom more waits than the sockets hold: the node has
    stopped reading from it."""
    stuffed = socket.socket()
    stuffed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stuffed.connect((HOST, port))
    stuffed.settimeout(0.5)
    with pytest.raises(TimeoutError):
        stuffed.sendall(b"x\n" * 20_000_000)
    return stuffed


UNPACED = ("--line-burst", "100000000")


def test_a_second_signal_stops_it_at_once(port: int, tmp_path: Path) -> None:
    node = NodeProcess(port, tmp_path / "chat.db", *UNPACED)
    stuffed = stuff(port)
    try:
        node.signal(signal.SIGTERM)
        node.wait_for("^stopping")
        node.signal(signal.SIGTERM)
        assert node.exit_code(3) == 0
        assert node.out[-1] == "stopped before all was finished"
    finally:
        stuffed.close()
        node.close()


def test_the_drain_ends_at_its_limit(port: int, tmp_path: Path) -> None:
    node = NodeProcess(port, tmp_path / "chat.db", "--drain-ms", "100", *UNPACED)
    stuffed = stuff(port)
    try:
        node.signal(signal.SIGTERM)
        assert node.exit_code(3) == 0
        assert node.out[-1] == "stopped before all was finished"
        assert not node.err
    finally:
        stuffed.close()
        node.close()


# ---------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "HOST"),
        ((HOST,), "PORT"),
        ((HOST, "http"), "65535"),
        ((HOST, "65536"), "65535"),
        ((HOST, "0", "--fast"), "--fast"),
        ((HOST, "0", "--store", "postgres://u@h/db"), "sqlite:PATH"),
        ((HOST, "0", "--store", "mysql://host/db"), "mysql://user"),
        ((HOST, "0", "--store", "sqlite:"), "sqlite:PATH"),
        ((HOST, "0", "--bus", "rabbit://h"), "redis://HOST:PORT/0"),
        ((HOST, "0", "--bus", "redis://h:port/0"), "redis://HOST:PORT/0"),
        ((HOST, "0", "--proxy-from", "nginx"), "10.0.0.0/24"),
        ((HOST, "0", "--ping-ms", "-1"), "--ping-ms"),
        ((HOST, "0", "--log-level", "loud"), "debug"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(
    arguments: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        node_main([*arguments])
    assert end.value.code == EXIT_USAGE
    assert word in capsys.readouterr().err.splitlines()[-1]


def test_wrong_usage_ends_the_process_with_2() -> None:
    run = chat_node(HOST, "http")
    assert run.returncode == 2
    assert "65535" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr


def test_a_taken_port_is_3(node: NodeProcess, port: int, tmp_path: Path) -> None:
    run = chat_node(HOST, port, "--store", f"sqlite:{tmp_path / 'other.db'}")
    assert run.returncode == 3
    assert "choose another port" in said(run)
    assert str(port) in said(run)
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("host", "word"),
    [("nobody.invalid", "no address"), ("192.0.2.1", "an address of this machine")],
)
def test_an_address_of_others_is_3(host: str, word: str, tmp_path: Path) -> None:
    run = chat_node(host, "0", "--store", f"sqlite:{tmp_path / 'chat.db'}")
    assert run.returncode == 3
    assert word in said(run)


def test_a_folder_that_cannot_be_written_is_4(port: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    run = chat_node(HOST, port, "--store", f"sqlite:{tmp_path / 'file' / 'chat.db'}")
    assert run.returncode == 4
    assert "cannot be written" in said(run)


def test_a_store_in_use_is_4(node: NodeProcess, tmp_path: Path) -> None:
    run = chat_node(HOST, "0", "--store", f"sqlite:{tmp_path / 'chat.db'}")
    assert run.returncode == 4
    assert "in use by another node" in said(run)


def test_a_newer_schema_is_4(port: int, tmp_path: Path) -> None:
    connection = open_sqlite(tmp_path / "chat.db")
    migrate(connection)
    connection.execute("UPDATE schema_version SET version = 999")
    connection.close()
    run = chat_node(HOST, port, "--store", f"sqlite:{tmp_path / 'chat.db'}")
    assert run.returncode == 4
    assert "newer version" in said(run)


def test_what_is_not_a_store_is_4_and_is_not_touched(port: int, tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_text("my diary, " * 1_000)
    run = chat_node(HOST, port, "--store", f"sqlite:{tmp_path / 'chat.db'}")
    assert run.returncode == 4
    assert "not a database" in said(run)
    assert (tmp_path / "chat.db").read_text() == "my diary, " * 1_000


def test_a_recording_that_cannot_be_written_is_2(port: int, tmp_path: Path) -> None:
    run = chat_node(HOST, port, "--record", tmp_path / "no" / "events")
    assert run.returncode == 2
    assert "cannot write the recording" in said(run)


def test_a_database_that_is_not_there_is_4_and_says_what_to_do() -> None:
    run = chat_node(HOST, 0, "--store", "mysql://ann:secret@127.0.0.1:1/chat")
    assert run.returncode == 4
    sentence = said(run)
    assert "start the database" in sentence
    assert "secret" not in sentence


@pytest.mark.servers
def test_a_node_waits_for_its_database_if_it_is_told_to(port: int, tmp_path: Path) -> None:
    need("mariadbd")
    server = MariaDb(tmp_path / "maria")
    command = ("-m", "chat.cli", HOST, str(port), "--store", server.url, "--wait")
    node = Process(sys.executable, *command)
    node.wait_for("^waiting: mysql://chat@127.0.0.1")
    assert server.password not in str(node)
    server.start()
    node.wait_for("^ready")
    node.signal(signal.SIGTERM)
    assert node.exit_code() == 0
    node.close()
    server.stop()


def test_a_node_that_waits_for_its_database_can_be_stopped(port: int) -> None:
    store = "mysql://ann@127.0.0.1:1/chat"
    node = Process(sys.executable, "-m", "chat.cli", HOST, str(port), "--store", store, "--wait")
    node.wait_for("^waiting")
    node.signal(signal.SIGTERM)
    assert node.exit_code() == 0
    node.close()


def test_a_redis_that_is_not_there_is_5_and_says_what_to_do(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'chat.db'}"
    run = chat_node(HOST, 0, "--store", store, "--bus", "redis://ann:secret@127.0.0.1:1/0")
    assert run.returncode == 5
    sentence = said(run)
    assert "127.0.0.1:1" in sentence
    assert "start it" in sentence
    assert "secret" not in sentence


@pytest.mark.servers
def test_a_node_waits_for_its_redis_if_it_is_told_to(port: int, tmp_path: Path) -> None:
    need("redis-server")
    server = Redis(tmp_path / "redis")
    store = f"sqlite:{tmp_path / 'chat.db'}"
    command = ("-m", "chat.cli", HOST, str(port), "--store", store, "--bus", server.url, "--wait")
    node = Process(sys.executable, *command)
    try:
        node.wait_for("^waiting: cannot use Redis")
        server.start()
        node.wait_for("^ready")
        assert f"bus     Redis at {HOST}:{server.port}" in "\n".join(node.out)
        node.signal(signal.SIGTERM)
        assert node.exit_code() == 0
    finally:
        node.close()
        server.stop()


def test_a_node_without_a_bus_says_so(port: int, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'chat.db'}"
    node = Process(
        sys.executable, "-m", "chat.cli", HOST, str(port), "--store", store, "--bus", "none"
    )
    try:
        node.wait_for("^ready")
        assert "bus     none" in "\n".join(node.out)
        caller = Caller(port)
        assert caller.line()["type"] == "welcome"
        caller.close()
        node.signal(signal.SIGTERM)
        assert node.exit_code() == 0
    finally:
        node.close()
