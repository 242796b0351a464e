"""Processes under measurement, on the servers' core: nodes, databases, and baseline servers."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench.results.machine import SERVER_CORE, on_core
from deploy.servers import (
    HOST,
    MariaDb,
    Nginx,
    Redis,
    Server,
    ServerFailed,
    find_program,
    free_port,
)

UNREACHED: Final = "1000000"
NODE_FLAGS: Final = (
    *("--sends-per-second", UNREACHED, "--send-burst", UNREACHED),
    *("--cost-per-second", UNREACHED, "--cost-burst", UNREACHED),
    *("--lines-per-second", UNREACHED, "--line-burst", UNREACHED),
    *("--registrations-per-minute", UNREACHED, "--registration-burst", UNREACHED),
    *("--logins-per-second", UNREACHED, "--login-burst", UNREACHED),
    *("--connections-per-user", UNREACHED, "--connections-per-device", UNREACHED),
    *("--unauthenticated-per-address", UNREACHED),
)
"""Every limit is checked, and none is exceeded."""
ROOT: Final = Path(__file__).parents[2]


class Pinned(Server):
    """A server that runs on the servers' core."""

    def launch(self) -> None:
        with on_core(SERVER_CORE):
            super().launch()

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return False


class ChatNode(Pinned):
    """A `chat-node` on a store and a bus."""

    program = "chat-node"
    limits: tuple[str, ...] = NODE_FLAGS

    def __init__(self, folder: Path, store: str, *flags: str) -> None:
        super().__init__(folder)
        self._store = store
        self._flags = flags

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "chat.cli", HOST, str(self.port)),
            *("--store", self._store, *self.limits, *self._flags),
        ]

    def launch(self) -> None:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(ROOT)
        try:
            super().launch()
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before


class DefaultNode(ChatNode):
    """A `chat-node` with its default limits, and with at most `files` open file descriptors."""

    limits = ()

    def __init__(self, folder: Path, store: str, *, files: int | None = None) -> None:
        super().__init__(folder, store)
        self._files = files

    def command(self) -> list[str]:
        command = super().command()
        if self._files is None:
            return command
        return [*("prlimit", f"--nofile={self._files}:{self._files}"), *command]


class Relay(Pinned):
    """The baseline server bench/targets/relay.py."""

    program = "relay"

    def command(self) -> list[str]:
        return [sys.executable, str(ROOT / "bench" / "targets" / "relay.py"), str(self.port)]


class Ngircd(Pinned):
    """An IRC server in C that stores nothing, with its limits switched off."""

    program = "ngircd"

    def command(self) -> list[str]:
        program = find_program(self.program)
        assert program is not None
        return [program, "--nodaemon", "--config", str(self.folder / "ngircd.conf")]

    def prepare(self) -> None:
        user = "root" if os.getuid() == 0 else ""
        (self.folder / "ngircd.conf").write_text(
            "[Global]\nName = irc.bench.local\nInfo = bench\nMotdPhrase = welcome\n"
            f"Listen = {HOST}\nPorts = {self.port}\n"
            + (f"ServerUID = {user}\nServerGID = {user}\n" if user else "")
            + "[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\n"
            "MaxPenaltyTime = 0\nPingTimeout = 600\n"
            "[Options]\nDNS = no\nIdent = no\nPAM = no\n"
        )


class PinnedMariaDb(MariaDb):
    """MariaDB on the servers' core, durable at each commit."""

    def launch(self) -> None:
        with on_core(SERVER_CORE):
            super().launch()


class PinnedRedis(Redis):
    """Redis on the servers' core."""

    def launch(self) -> None:
        with on_core(SERVER_CORE):
            super().launch()


class PinnedNginx(Nginx):
    """nginx on the servers' core."""

    def launch(self) -> None:
        with on_core(SERVER_CORE):
            super().launch()


def has_ngircd() -> bool:
    return find_program("ngircd") is not None


def ready_ms(folder: Path) -> float:
    """Time (ms) from the start of a node to its `ready` line, on a new SQLite store.

    Raises ServerFailed if the node ends first.
    """
    port = free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "chat.cli", HOST, str(port)]
    command += ["--store", f"sqlite:{folder / 'chat.db'}"]
    start = time.perf_counter()
    with on_core(SERVER_CORE), (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("ready"):
                return (time.perf_counter() - start) * 1000
        raise ServerFailed("the node ended before it was ready")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
