"""Transcripts: the lines that clients send to a node and the lines they get, as a file.

    # a comment
    ann: connect            a connection is made; ann: disconnect ends it
    node: restart           the node or cluster is restarted
    ann> {"type": …}        Ann's client sends this line
    ann< {"type": …}        the next line that Ann's client gets

Times and tokens are written as "*". A transcript is checked line by line over real sockets against
a server: one node, or a cluster. After an intended change, `python -m tests.transcript FILE`
sends the lines to one node and writes the answers into the file.

A cluster may differ in one point: a node that pushes a new friend does not know yet whether the
friend is online at another node. Where one node pushes a new friend as online, a cluster may push
`offline`, and the presence `online` after it.
"""

import contextlib
import json
import select
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from deploy.servers import free_port
from tests.processes import NodeProcess

MASKED = ("at", "now", "token", "registered_at", "node")
ANSWER_S = 10.0
QUIET_S = 0.4


def mask(value: Any) -> Any:
    """The value with the fields masked that differ from run to run."""
    if isinstance(value, dict):
        return {k: "*" if k in MASKED else mask(v) for k, v in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


class Service(Protocol):
    """One node or a cluster, with the port that clients connect to."""

    is_cluster: bool

    @property
    def port(self) -> int: ...

    def restart(self) -> None:
        """Stops it, which ends all connections, and starts it again on the same store."""

    def close(self) -> None: ...


class OneNode:
    """A node alone, on SQLite. Its restart is a kill."""

    is_cluster = False

    def __init__(self, folder: Path) -> None:
        self._store = folder / "chat.db"
        self.port = free_port()
        self._node = NodeProcess(self.port, self._store)

    def restart(self) -> None:
        self._node.close()
        self._node = NodeProcess(self.port, self._store)

    def close(self) -> None:
        self._node.close()


class Clients:
    """Connections to a service, by client name."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sockets: dict[str, socket.socket] = {}
        self._buffers: dict[str, bytes] = {}
        self._expected_later: dict[str, list[Any]] = {}
        """Pushes of presence that must still come."""

    def command(self, client: str, action: str) -> None:
        if action == "restart":
            self._service.restart()
        elif action == "connect":
            if client in self._sockets:
                self._sockets[client].close()
            self._sockets[client] = socket.create_connection(("127.0.0.1", self._service.port))
            self._buffers[client] = b""
            self._expected_later[client] = []
        else:
            assert action == "disconnect", action
            self._sockets.pop(client).close()
            del self._buffers[client], self._expected_later[client]

    def send(self, client: str, line: str) -> None:
        self._sockets[client].sendall(line.encode() + b"\n")

    def receive(self, client: str, seconds: float = ANSWER_S) -> Any:
        """The next line, masked; None if there is none in time."""
        while b"\n" not in self._buffers[client]:
            ready, _, _ = select.select([self._sockets[client]], [], [], seconds)
            data = self._sockets[client].recv(65_536) if ready else b""
            if not data:
                return None
            self._buffers[client] += data
        line, _, self._buffers[client] = self._buffers[client].partition(b"\n")
        return mask(json.loads(line))

    def receive_as(self, client: str, expected: Any) -> Any:
        """The next line, or `expected` if the line is an allowed variant of it."""
        got = self.receive_next(client)
        if self._service.is_cluster and got is not None and got["type"] == "friend":
            friend = {**got["friend"], "state": "online"}
            if got != expected and {**got, "friend": friend} == expected:
                news = {"type": "presence", "user": friend["id"], "state": "online"}
                self._expected_later[client].append(news)
                return expected
        return got

    def receive_next(self, client: str) -> Any:
        """The next line that is not one of the presence pushes expected later."""
        while (got := self.receive(client)) in self._expected_later[client]:
            self._expected_later[client].remove(got)
        return got

    def receive_expected_later(self) -> None:
        """Waits for the presence pushes expected later; fails if another line comes."""
        for client, pushes in self._expected_later.items():
            while pushes:
                got = self.receive(client)
                assert got in pushes, f"{client} expects {pushes} and got {got}"
                pushes.remove(got)

    def stray(self, seconds: float) -> tuple[str, bytes] | None:
        """The first client that gets another byte within `seconds`, and the bytes."""
        for client, data in self._buffers.items():
            if data:
                return client, data
        deadline = time.monotonic() + seconds
        waiting = {one: client for client, one in self._sockets.items()}
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            for one in select.select(list(waiting), [], [], left_s)[0]:
                if data := one.recv(65_536):
                    return waiting[one], data
                del waiting[one]
        return None

    def names(self) -> list[str]:
        return list(self._sockets)

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()


def parse(line: str) -> tuple[str, str, str] | None:
    """Client, one of `:<>`, and the rest; None for comments and blank lines."""
    if not line.strip() or line.startswith("#"):
        return None
    place = min(at for at in (line.find(sign) for sign in ":<>") if at > 0)
    return line[:place], line[place], line[place + 1 :].strip()


def check(path: Path, service: Service) -> None:
    """Plays a transcript; raises AssertionError at the first line that differs."""
    with contextlib.closing(Clients(service)) as clients:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            parts = parse(line)
            if parts is None:
                continue
            client, sign, rest = parts
            if sign == ":":
                clients.command(client, rest)
            elif sign == ">":
                clients.send(client, rest)
            else:
                expected = json.loads(rest)
                got = clients.receive_as(client, expected)
                assert got == expected, f"{path.name}:{number}: {client} got {got}"
        clients.receive_expected_later()
        stray = clients.stray(QUIET_S)
        assert stray is None, f"{path.name}: at the end came to {stray}"


def write(path: Path) -> None:
    """Plays the sent lines of a transcript, and writes the file with all answers."""
    lines: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(OneNode(Path(folder))) as service,
        contextlib.closing(Clients(service)) as clients,
    ):
        for line in path.read_text().splitlines():
            parts = parse(line)
            if parts is not None and parts[1] == "<":
                continue
            lines.append(line)
            if parts is None:
                continue
            client, sign, rest = parts
            if sign == ":":
                clients.command(client, rest)
            else:
                clients.send(client, rest)
            for name in clients.names():
                while (got := clients.receive(name, QUIET_S)) is not None:
                    lines.append(f"{name}< {json.dumps(got, ensure_ascii=False)}")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
