"""The options of `chat-node`, and the store, bus and limits that they choose."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_type_hints

import msgspec

from chat import __version__
from chat.bus.base import Bus
from chat.bus.local import LocalBus
from chat.bus.none import NoBus
from chat.bus.redis import RedisBus
from chat.bus.redis_address import RedisAddress
from chat.core.state.config import NodeConfig
from chat.net.proxy_protocol import Balancers
from chat.net.tcp import NO_BALANCERS
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import SCHEMES, MySqlAddress
from chat.storage.backends.sqlite import open_sqlite

EXIT_OK, EXIT_INTERNAL_ERROR, EXIT_USAGE, EXIT_PORT, EXIT_STORE, EXIT_BUS = range(6)
DRAIN_MS = 10_000


class OperatorError(Exception):
    """An error that the operator can fix: one sentence, and an exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="chat-node",
        description="Runs a chat node on HOST PORT. Connect with: chat-client HOST PORT",
        epilog="exit codes: 0 stopped as asked, 1 an internal error (see the log), "
        "2 wrong usage, 3 the port cannot be had, 4 the store cannot be opened, "
        "5 the bus cannot be reached",
    )
    options.add_argument("host", metavar="HOST", help="address to listen on, such as 127.0.0.1")
    options.add_argument("port", metavar="PORT", type=_port, help="port; 0 takes a free one")
    options.add_argument("--version", action="version", version=f"chat-node {__version__}")
    options.add_argument("--name", help="the name of the node (default: node-PORT)")
    options.add_argument(
        "--store",
        type=_store,
        metavar="sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE",
        help="where data is kept: a file of this node alone, or a database that nodes share, "
        "with mysql+mysqlclient:// through that driver, if it is installed "
        "(default: a file by port, in the folder chat-node of the user's data folder)",
    )
    options.add_argument(
        "--wait",
        action="store_true",
        help="wait for a database or a Redis that cannot be reached yet",
    )
    options.add_argument(
        "--bus",
        type=_bus,
        default=_bus("local"),
        metavar="local, none or redis://[USER:PASSWORD@]HOST:PORT/0",
        help="how nodes notify each other: local: there is one node only (default); a Redis they "
        "share; none: not at all, so what other nodes write is found within about a second",
    )
    options.add_argument(
        "--proxy-from",
        type=_balancers,
        default=NO_BALANCERS,
        metavar="ADDRESS[,ADDRESS...]",
        help="balancers, by address or network (10.0.0.0/24), that begin each connection with a "
        "PROXY header, version 1 or 2; it is required from them and not accepted from others",
    )
    options.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="run N nodes on the port, each a process, to use N cores; they need a "
        "database and a bus that they share; limits apply to each (default 1)",
    )
    options.add_argument("--worker", nargs=2, type=_count, help=argparse.SUPPRESS)
    options.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="write all events to FILE, passwords and messages included, to replay them; "
        "worker K writes to FILE.K",
    )
    options.add_argument(
        "--drain-ms",
        type=_count,
        default=DRAIN_MS,
        metavar="MS",
        help=f"time to finish what is under way when stopping (default {DRAIN_MS})",
    )
    levels = ["debug", "info", "warning", "error"]
    options.add_argument("--log-level", choices=levels, default="warning", help="default: warning")
    _add_limits(options)
    return options


def _add_limits(options: argparse.ArgumentParser) -> None:
    """A flag for each limit of NodeConfig, described there."""
    limits = options.add_argument_group("limits")
    hints = get_type_hints(NodeConfig, include_extras=True)
    for field in msgspec.structs.fields(NodeConfig):
        default = _cores() if field.name == "password_hashes" else field.default
        if type(default) is int:
            description = hints[field.name].__metadata__[0].description
            limits.add_argument(
                "--" + field.name.replace("_", "-"),
                type=_count,
                default=default,
                metavar="N",
                help=f"{description} (default {default})",
            )


def _cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; give a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {2**31}")
    return int(text)


class StoreChoice(NamedTuple):
    """Where data is kept, for people to read; how to open a connection to it; whether nodes can
    share it."""

    text: str
    open: Callable[[], DatabaseConnection]
    shared: bool = False


def _store(text: str) -> StoreChoice:
    kind, _, path = text.partition(":")
    if kind == "sqlite" and path:
        return _file(Path(path))
    if kind in SCHEMES:
        try:
            address = MySqlAddress.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"that is no address of a database: {error}"
            ) from error
        return StoreChoice(str(address), partial(open_mysql, address), shared=True)
    raise argparse.ArgumentTypeError(
        f"{text} is no store; give sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE"
    )


class BusChoice(NamedTuple):
    """The bus, for people to read; how to make it; whether no other node can be on it."""

    text: str
    open: Callable[[], Bus]
    alone: bool = False


def _bus(text: str) -> BusChoice:
    if text == "local":
        return BusChoice("local: this node alone", LocalBus, alone=True)
    if text == "none":
        return BusChoice("none: what other nodes write is looked for each second", NoBus)
    if text.startswith(("redis://", "rediss://", "unix://")):
        with contextlib.suppress(ValueError):
            return BusChoice(f"Redis at {RedisAddress.parse(text)}", partial(RedisBus, text))
    raise argparse.ArgumentTypeError("that is no bus; give local, none or redis://HOST:PORT/0")


def _file(path: Path) -> StoreChoice:
    return StoreChoice(f"{path.absolute()} (SQLite)", partial(open_sqlite, path))


def _balancers(text: str) -> Balancers:
    try:
        return Balancers.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; give addresses such as 10.0.0.5, or networks such as 10.0.0.0/24"
        ) from error


def default_store(port: int) -> StoreChoice:
    data = os.environ.get("XDG_DATA_HOME")
    try:
        folder = Path(data) if data else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise OperatorError(
            "there is no home folder to keep the store in; say where with --store sqlite:PATH.",
            EXIT_STORE,
        ) from error
    return _file(folder / "chat-node" / f"{port}.db")
