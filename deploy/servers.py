"""The servers a cluster stands on, each in a folder and on a free port of its own.

`make cluster` and the tests start MariaDB, Redis and nginx with these, as processes of this
one, never as services of the machine. Each can be stopped, killed and started again in its folder,
and comes back on the same port with what it had on the disk.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Final, TypeAlias

import pymysql
from pymysql.cursors import Cursor

HOST: Final = "127.0.0.1"
START_S: Final = 30.0
STOP_S: Final = 20.0
PACKAGES: Final = {
    "mariadbd": "mariadb-server",
    "redis-server": "redis-server",
    "nginx": "nginx libnginx-mod-stream",
}
"""The Debian packages of the programs."""

_given: Final[set[int]] = set()
_SBIN: Final = "/usr/local/sbin:/usr/sbin:/sbin"
_STREAM_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

MySqlConnection: TypeAlias = "pymysql.Connection[Cursor]"


class ServerFailed(Exception):
    """A server did not start, or did not end; the text names it and has the end of its log."""


def find_program(name: str) -> str | None:
    """The path of a program on PATH or in the folders of administrators' programs."""
    return shutil.which(name) or shutil.which(name, path=_SBIN)


def missing(*programs: str) -> str | None:
    """A sentence on the missing programs, with the remedy; None if all are installed."""
    absent = [name for name in programs if find_program(name) is None]
    if "nginx" in programs and "nginx" not in absent and not _STREAM_MODULE.exists():
        absent.append("nginx")
    if not absent:
        return None
    packages = " ".join(PACKAGES[name] for name in absent)
    return f"{', '.join(absent)} cannot be found; install it: sudo apt-get install {packages}"


def free_port() -> int:
    """A free TCP port, never the same twice: an earlier caller may not have bound its port yet."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


class Server:
    """A program with a port. The subclass defines the command and the check for readiness."""

    program: str

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.log = folder / f"{self.program}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._group: int | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def prepare(self) -> None:
        """Creates what must exist before the first start."""

    def start(self) -> None:
        """Returns when the server is ready. Raises ServerFailed after START_S."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Starts the server without waiting for it."""
        self.prepare()
        with self.log.open("ab") as log:
            # Its own session, so that Ctrl-C in the terminal does not reach it.
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
            self._group = self._process.pid

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            if self.exit_status() is not None or time.monotonic() > deadline:
                status = self.exit_status()
                self.kill()
                raise ServerFailed(
                    f"{self.program} did not start (exit status {status}):\n{self.last_words()}"
                )
            time.sleep(0.02)

    def exit_status(self) -> int | None:
        """The exit status; None while the server runs."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> int:
        """Sends SIGTERM and waits; returns the exit status. Raises ServerFailed."""
        return self._end(SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL and waits."""
        self._end(SIGKILL)

    def suspend(self) -> None:
        self.signal(SIGSTOP)

    def resume(self) -> None:
        self.signal(SIGCONT)

    def signal(self, number: Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def last_words(self, lines: int = 20) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _end(self, number: Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerFailed(f"{self.program} did not end within {STOP_S:.0f} s") from None
        finally:
            self.end_group()

    def end_group(self) -> None:
        """Kills what is left of the process group of an ended server, such as a master's workers.

        Does so only once, since the number of the group may be used again.
        """
        if self._group is not None and self.exit_status() is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, SIGKILL)
            self._group = None


class MariaDb(Server):
    """A MariaDB with a user `chat` without administrator's rights, durable at each commit.

    `fresh_database` makes a database for a cluster.
    """

    program = "mariadbd"
    user: Final = "chat"
    password: Final = "secret"

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options
        self._databases = 0

    def command(self) -> list[str]:
        return [
            _path(self.program),
            "--no-defaults",
            *_as_root(),
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--init-file={self.folder / 'init.sql'}",
            # Another server clears its temporary folder when it starts.
            f"--tmpdir={self.folder}",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=128M",
            *self._options,
        ]

    def prepare(self) -> None:
        if (self.folder / "data" / "mysql").exists():
            return
        (self.folder / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{self.user}'@'{HOST}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON `chat%`.* TO '{self.user}'@'{HOST}';\n"
            f"CREATE USER IF NOT EXISTS 'admin'@'{HOST}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO 'admin'@'{HOST}' WITH GRANT OPTION;\n"
            "CREATE DATABASE IF NOT EXISTS chat;\n"
        )
        with self.log.open("ab") as log:
            subprocess.run(
                [
                    _path("mariadb-install-db"),
                    "--no-defaults",
                    *_as_root(),
                    f"--datadir={self.folder / 'data'}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ],
                check=True,
                stdout=log,
                stderr=log,
            )

    def is_ready(self) -> bool:
        with contextlib.suppress(pymysql.Error):
            self.connect().close()
            return True
        return False

    @property
    def url(self) -> str:
        return self.url_of("chat")

    def url_of(self, database: str) -> str:
        return f"mysql://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def connect(self, user: str = "chat", database: str | None = "chat") -> MySqlConnection:
        """Connects as `chat`, or as `admin`, a user with all rights."""
        return pymysql.connect(
            host=HOST,
            port=self.port,
            user=user,
            password=self.password,
            database=database,
            connect_timeout=5,
            autocommit=True,
        )

    def fresh_database(self) -> str:
        """The URL of a new and empty database."""
        self._databases += 1
        name = f"chat{self._databases}"
        with contextlib.closing(self.connect("admin")) as connection:
            connection.cursor().execute(f"CREATE DATABASE `{name}`")
        return self.url_of(name)


class Redis(Server):
    """A Redis without persistence."""

    program = "redis-server"

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options

    def command(self) -> list[str]:
        return [
            _path(self.program),
            *("--bind", HOST, "--port", str(self.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
            *self._options,
        ]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        return False

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"


class Nginx(Server):
    """nginx in front of the nodes. `configure` makes the text of nginx.conf from the port; it is
    written at each launch."""

    program = "nginx"

    def __init__(self, folder: Path, configure: Callable[[int], str]) -> None:
        super().__init__(folder)
        self._configure = configure
        self._pid_file = folder / "pid"

    def command(self) -> list[str]:
        return [
            _path(self.program),
            *("-p", str(self.folder), "-c", str(self.folder / "nginx.conf")),
            *("-e", str(self.folder / "error.log")),
            *("-g", f"daemon off; pid {self._pid_file};"),
        ]

    def prepare(self) -> None:
        (self.folder / "nginx.conf").write_text(self._configure(self.port))

    def is_ready(self) -> bool:
        """nginx writes the pid file when it listens. A connection as a probe would be passed on to
        a node, at an unknown time."""
        with contextlib.suppress(OSError):
            return self._pid_file.read_text() == f"{self.pid}\n"
        return False


def stop_all(servers: Sequence[Server]) -> None:
    """Stops the running servers, in this order; failures are ignored."""
    for server in servers:
        with contextlib.suppress(AssertionError, ServerFailed):
            if server.exit_status() is None:
                server.stop()


def _path(program: str) -> str:
    path = find_program(program)
    if path is None:
        raise ServerFailed(missing(program) if program in PACKAGES else f"{program} is not there")
    return path


def _as_root() -> list[str]:
    return ["--user=root"] if getpass.getuser() == "root" else []
