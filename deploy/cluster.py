"""`make cluster`: MariaDB, Redis, two nodes and nginx, on this machine, until Ctrl-C.

Everything is in one temporary folder and on free ports, and nothing of it is left at the end. nginx
runs with `nginx.conf` from beside this file, so what is deployed is what is tried here.

Exit codes: 0 stopped as asked, 1 an internal error, 2 wrong usage, 3 a program is missing, 4 a
part did not start.
"""

import argparse
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from deploy.servers import HOST, MariaDb, Nginx, Redis, Server, ServerFailed, missing

EXIT_OK, EXIT_INTERNAL_ERROR, EXIT_USAGE, EXIT_MISSING, EXIT_START = range(5)
NODES: Final = 2
CHECK_S: Final = 0.2
"""Interval of the check that all parts are running."""
LAST_LINES: Final = 10
TOP: Final = Path(__file__).parent.parent
NGINX_CONF: Final = Path(__file__).with_name("nginx.conf")

_NODE_LINES: Final = re.compile(
    r"(?m)(?:^(?P<before> *server )\S+(?P<after> .*# node )\d+\n)+",
)
_LISTEN_LINE: Final = re.compile(r"(?m)^( *listen )\S+(.*# balancer)$")
_NO_ADDRESS: Final = b"PROXY UNKNOWN\r\n"


# ---------------------------------------------------------------------------- the parts


class ChatNode(Server):
    """A chat-node on this machine, behind a balancer unless `balanced` is false."""

    program = "chat-node"

    def __init__(
        self, folder: Path, store: str, bus: str, *flags: str, balanced: bool = True
    ) -> None:
        super().__init__(folder)
        self._balanced = balanced
        self.store = store
        self.bus = bus
        self._flags = flags

    def command(self) -> list[str]:
        return [
            *("env", f"PYTHONPATH={TOP}", sys.executable, "-m", "chat.cli", HOST, str(self.port)),
            *("--name", self.folder.name, "--store", self.store, "--bus", self.bus),
            *(("--proxy-from", HOST) if self._balanced else ()),
            *self._flags,
        ]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1) as probe:
            if self._balanced:
                probe.sendall(_NO_ADDRESS)
            return b'"welcome"' in probe.recv(4_096)
        return False


def nginx_conf(port: int, nodes: Sequence[int]) -> str:
    """The deployed nginx.conf with the ports of the balancer and of the nodes on this machine.

    Raises ValueError if the marked lines are missing.
    """

    def servers(lines: re.Match[str]) -> str:
        return "".join(
            f"{lines['before']}{HOST}:{node}{lines['after']}{number}\n"
            for number, node in enumerate(nodes, 1)
        )

    text, nodes_found = _NODE_LINES.subn(servers, NGINX_CONF.read_text("utf-8"))
    text, listens_found = _LISTEN_LINE.subn(rf"\g<1>{HOST}:{port}\g<2>", text)
    if (nodes_found, listens_found) != (1, 1):
        raise ValueError(f"{NGINX_CONF} lacks the lines marked `# node N` or `# balancer`")
    return text


class Cluster:
    """All parts of a cluster, each in its own folder under `folder`.

    `database` and `bus` may be running servers of the caller; the cluster then does not stop them.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = NODES,
        *flags: str,
        database: MariaDb | None = None,
        bus: Redis | None = None,
    ) -> None:
        self.servers: dict[str, Server] = {}
        """The servers that the cluster starts and stops, by name, in the order of starting."""
        self.database = database or MariaDb(folder / "mariadb")
        if database is None:
            self.servers["mariadb"] = self.database
        self.bus = bus or Redis(folder / "redis")
        if bus is None:
            self.servers["redis"] = self.bus
        url = self.database.url if database is None else self.database.fresh_database()
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        self.nodes = [ChatNode(folder / name, url, self.bus.url, *flags) for name in names]
        self.servers.update(zip(names, self.nodes, strict=True))
        ports = [node.port for node in self.nodes]
        self.balancer = Nginx(folder / "nginx", lambda port: nginx_conf(port, ports))
        self.servers["nginx"] = self.balancer
        self._started: list[str] = []

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.balancer.port

    def start(self) -> None:
        """Raises ServerFailed; the parts that have started keep running."""
        for name in self.servers:
            self.launch(name)
            self.servers[name].wait_ready()

    def launch(self, name: str) -> None:
        """Starts one part without waiting for it. Raises ServerFailed."""
        try:
            self.servers[name].launch()
        except (OSError, subprocess.CalledProcessError) as error:
            words = self.servers[name].last_words(LAST_LINES)
            raise ServerFailed(f"{name} did not start ({error}):\n{words}") from error
        if name not in self._started:
            self._started.append(name)

    def stop(self) -> list[str]:
        """Stops all parts, the nodes first, so that they can finish their requests.

        Returns a sentence for each part that failed to stop or ended with an error.
        """
        complaints = []
        nodes = [name for name in self._started if isinstance(self.servers[name], ChatNode)]
        others = [name for name in reversed(self._started) if name not in nodes]
        for name in nodes + others:
            server = self.servers[name]
            if server.exit_status() is None:
                server.resume()
                try:
                    status = server.stop()
                except ServerFailed as error:
                    complaints.append(str(error))
                else:
                    if status != 0:
                        complaints.append(f"{name} {describe(status)}")
            server.end_group()
        return complaints

    def kill(self) -> None:
        """Kills all parts."""
        for name in self._started:
            server = self.servers[name]
            if server.exit_status() is None:
                server.kill()
            server.end_group()


def describe(status: int) -> str:
    """An exit status in words that follow the name of the program."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


# ---------------------------------------------------------------------------- the command


class Stopped(Exception):
    """SIGINT or SIGTERM was received."""


class Stop:
    """SIGINT and SIGTERM interrupt only a wait, so that no process is left half started."""

    def __init__(self) -> None:
        self._asked = False
        self._waiting = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._waiting:
            raise Stopped

    @contextlib.contextmanager
    def ends_this(self) -> Iterator[None]:
        """Raises Stopped inside the block when a signal comes, or has come before it."""
        self._waiting = True
        try:
            if self._asked:
                raise Stopped
            yield
        finally:
            self._waiting = self._asked = False


def main(argv: list[str] | None = None) -> int:
    """Runs a cluster until a signal; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make cluster",
        description="Runs MariaDB, Redis, two chat nodes and nginx on free ports of this machine, "
        "in a temporary folder, until Ctrl-C.",
        epilog="exit codes: 0 stopped as asked, 1 an internal error, 2 wrong usage, "
        "3 a program is missing, 4 a part did not start",
    )
    parser.parse_args(argv)
    sentence = missing("mariadbd", "redis-server", "nginx")
    if sentence is not None:
        print(f"cluster: {sentence}", file=sys.stderr)
        return EXIT_MISSING
    stop = Stop()
    folder = Path(tempfile.mkdtemp(prefix="chat-cluster-"))
    try:
        return _run(Cluster(folder), folder, stop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(cluster: Cluster, folder: Path, stop: Stop) -> int:
    try:
        for name, server in cluster.servers.items():
            say(f"starting {name}")
            cluster.launch(name)
            with stop.ends_this():
                server.wait_ready()
        say(_screen(cluster, folder))
        _follow(cluster, stop)
    except Stopped:
        return EXIT_OK
    except ServerFailed as error:
        print(f"cluster: {error}", file=sys.stderr)
        return EXIT_START
    finally:
        _take_down(cluster, stop)
    return EXIT_OK


def _follow(cluster: Cluster, stop: Stop) -> None:
    """Reports parts that end; the others go on."""
    watched = dict(cluster.servers)
    while True:
        for name, server in list(watched.items()):
            status = server.exit_status()
            if status is not None:
                del watched[name]
                server.end_group()
                say(f"{name} {describe(status)}; the others go on. Its last lines:")
                for line in server.last_words(LAST_LINES).splitlines():
                    say(f"    {line}")
        with stop.ends_this():
            time.sleep(CHECK_S)


def _take_down(cluster: Cluster, stop: Stop) -> None:
    say("stopping: the nodes finish what is under way (once more to stop at once)")
    try:
        with stop.ends_this():
            for complaint in cluster.stop():
                say(complaint)
        say("stopped")
    except Stopped:
        say("stopped before all was finished")
    finally:
        cluster.kill()


def _screen(cluster: Cluster, folder: Path) -> str:
    rows = [
        (name, str(server.port), str(server.pid), str(server.log.relative_to(folder)))
        for name, server in cluster.servers.items()
    ]
    rows.insert(0, ("part", "port", "process", "log"))
    lines = [f"  {name:8}  {port:>5}  {pid:>7}  {log}" for name, port, pid, log in rows]
    return "\n".join(
        [
            "",
            *lines,
            "",
            f"The logs are in {folder}, which is removed at the end.",
            "A part that is killed is reported here, and the others go on. Ctrl-C ends all.",
            "",
            f"ready: connect with  {client_program()} {HOST} {cluster.port}",
        ]
    )


def client_program() -> str:
    """The command that starts the client of this installation."""
    beside = Path(sys.executable).with_name("chat-client")
    if not beside.exists():
        return "chat-client"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def say(text: str) -> None:
    """Prints for the user of the command; a closed output is ignored."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _exit() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _exit()
