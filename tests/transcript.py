"""Transcripts: what people say to a node and what it says to them, line by line, as a file.

    # a comment
    ann: connect            a connection is made; ann: hang up ends it
    node: restart           what she connects to is ended and started again
    ann> {"type": …}        Ann's client sends this line
    ann< {"type": …}        the next line that Ann's client gets

Times and tokens are written as "*". A transcript is checked line by line over real sockets against
a site: one node, or a cluster. After a change that is meant, `python -m tests.transcript FILE`
plays the lines that are sent to one node and writes what comes back.

In one thing a cluster differs: a node that shows a new friend has yet to find out whether another
node has them. Where one node says that a new friend is online, `offline` will do, if the news that
they are online comes after it.
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
    """The value with what differs from run to run left out."""
    if isinstance(value, dict):
        return {k: "*" if k in MASKED else mask(v) for k, v in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


class Site(Protocol):
    """What people connect to."""

    is_cluster: bool

    @property
    def port(self) -> int: ...

    def restart(self) -> None:
        """Ends it, with all connections, and starts it again on what it has stored."""

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


class Stage:
    """A site and the connections to it, by name."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sockets: dict[str, socket.socket] = {}
        self._buffers: dict[str, bytes] = {}
        self._owed: dict[str, list[Any]] = {}
        """News of presence that still have to come."""

    def command(self, who: str, what: str) -> None:
        if what == "restart":
            self._site.restart()
        elif what == "connect":
            if who in self._sockets:
                self._sockets[who].close()
            self._sockets[who] = socket.create_connection(("127.0.0.1", self._site.port))
            self._buffers[who] = b""
            self._owed[who] = []
        else:
            assert what == "hang up", what
            self._sockets.pop(who).close()
            del self._buffers[who], self._owed[who]

    def send(self, who: str, line: str) -> None:
        self._sockets[who].sendall(line.encode() + b"\n")

    def receive(self, who: str, seconds: float = ANSWER_S) -> Any:
        """The next line, masked; None if there is none in time."""
        while b"\n" not in self._buffers[who]:
            ready, _, _ = select.select([self._sockets[who]], [], [], seconds)
            data = self._sockets[who].recv(65_536) if ready else b""
            if not data:
                return None
            self._buffers[who] += data
        line, _, self._buffers[who] = self._buffers[who].partition(b"\n")
        return mask(json.loads(line))

    def receive_as(self, who: str, expected: Any) -> Any:
        """The next line, or what is expected if it comes to the same."""
        got = self.receive_news(who)
        if self._site.is_cluster and got is not None and got["type"] == "friend":
            friend = {**got["friend"], "state": "online"}
            if got != expected and {**got, "friend": friend} == expected:
                news = {"type": "presence", "user": friend["id"], "state": "online"}
                self._owed[who].append(news)
                return expected
        return got

    def receive_news(self, who: str) -> Any:
        """The next line that was not owed."""
        while (got := self.receive(who)) in self._owed[who]:
            self._owed[who].remove(got)
        return got

    def receive_owed(self) -> None:
        """Waits for all that is owed, which may be long in coming, and fails if it is not."""
        for who, owed in self._owed.items():
            while owed:
                got = self.receive(who)
                assert got in owed, f"{who} was owed {owed} and got {got}"
                owed.remove(got)

    def stray(self, seconds: float) -> tuple[str, bytes] | None:
        """Who gets anything within that time, and what."""
        for who, data in self._buffers.items():
            if data:
                return who, data
        deadline = time.monotonic() + seconds
        waiting = {one: who for who, one in self._sockets.items()}
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
    """Who, one of `:<>`, and the rest; None for comments and blank lines."""
    if not line.strip() or line.startswith("#"):
        return None
    place = min(at for at in (line.find(sign) for sign in ":<>") if at > 0)
    return line[:place], line[place], line[place + 1 :].strip()


def check(path: Path, site: Site) -> None:
    """Plays a transcript; raises AssertionError at the first line that is not so."""
    with contextlib.closing(Stage(site)) as stage:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            parts = parse(line)
            if parts is None:
                continue
            who, sign, rest = parts
            if sign == ":":
                stage.command(who, rest)
            elif sign == ">":
                stage.send(who, rest)
            else:
                expected = json.loads(rest)
                got = stage.receive_as(who, expected)
                assert got == expected, f"{path.name}:{number}: {who} got {got}"
        stage.receive_owed()
        stray = stage.stray(QUIET_S)
        assert stray is None, f"{path.name}: at the end came to {stray}"


def write(path: Path) -> None:
    """Plays what is sent in a transcript, and writes it with all that came back."""
    lines: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(OneNode(Path(folder))) as site,
        contextlib.closing(Stage(site)) as stage,
    ):
        for line in path.read_text().splitlines():
            parts = parse(line)
            if parts is not None and parts[1] == "<":
                continue
            lines.append(line)
            if parts is None:
                continue
            who, sign, rest = parts
            if sign == ":":
                stage.command(who, rest)
            else:
                stage.send(who, rest)
            for name in stage.names():
                while (got := stage.receive(name, QUIET_S)) is not None:
                    lines.append(f"{name}< {json.dumps(got, ensure_ascii=False)}")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
