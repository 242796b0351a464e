"""`chat-node`: the composition root, where node, sockets, store and bus are put together.

Exit codes: 0 stopped as asked, 1 a bug, 2 wrong usage, 3 the port cannot be had, 4 the store cannot
be opened, 5 the bus cannot be reached.
"""

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn, get_type_hints

import msgspec

from chat import __version__
from chat.core.config import NodeConfig
from chat.core.node import Node
from chat.net.bus import Bus
from chat.net.driver import Driver
from chat.net.local_bus import LocalBus
from chat.net.no_bus import NoBus
from chat.net.proxy_protocol import Balancers
from chat.net.recording import Recorder
from chat.net.redis_bus import BusNotThere, RedisBus
from chat.net.tcp import NO_BALANCERS, listen
from chat.net.vault import Vault
from chat.storage.connection import Connection
from chat.storage.errors import StoreError, StoreNotThere
from chat.storage.mysql import Address, open_mysql
from chat.storage.service import StoreService
from chat.storage.sqlite import open_sqlite

EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_PORT, EXIT_STORE, EXIT_BUS = range(6)
DRAIN_MS = 10_000
RETRY_AFTER_MS = 1_000
"""What clients of a node that stops are told to wait."""
WAIT_S = 0.5
"""How often something that is waited for is looked for."""
SWITCH_S = 0.0005
"""The store's threads let go of the interpreter at every step; they get it back sooner."""

_log = logging.getLogger("chat")


class Failure(Exception):
    """Something that a person can mend: one sentence, and an exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def node_main(argv: list[str] | None = None) -> int:
    """Runs a node until it is told to stop; its exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        return _run(options)
    except Failure as failure:
        print(f"chat-node: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return EXIT_OK
    except Exception:
        _log.exception("chat-node stopped at a bug")
        return EXIT_BUG


# ---------------------------------------------------------------------------- options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chat-node",
        description="Runs a chat node on HOST PORT. Connect with: chat-client HOST PORT",
        epilog="exit codes: 0 stopped as asked, 1 a bug (see the log), 2 wrong usage, "
        "3 the port cannot be had, 4 the store cannot be opened, 5 the bus cannot be reached",
    )
    parser.add_argument("host", metavar="HOST", help="address to listen on, such as 127.0.0.1")
    parser.add_argument("port", metavar="PORT", type=_port, help="port; 0 takes a free one")
    parser.add_argument("--version", action="version", version=f"chat-node {__version__}")
    parser.add_argument("--name", help="what the node calls itself (default: node-PORT)")
    parser.add_argument(
        "--store",
        type=_store,
        metavar="sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE",
        help="where all is kept: a file of this node alone, or a database that nodes share "
        "(default: a file by port, in the folder chat-node of the user's data folder)",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait for a database or a Redis that is not there yet",
    )
    parser.add_argument(
        "--bus",
        type=_bus,
        default=_bus("local"),
        metavar="local, none or redis://[USER:PASSWORD@]HOST:PORT/0",
        help="how nodes hear each other: local: this node is alone (default); a Redis they "
        "share; none: not at all, so what others write is found within about a second",
    )
    parser.add_argument(
        "--proxy-from",
        type=_balancers,
        default=NO_BALANCERS,
        metavar="ADDRESS[,ADDRESS...]",
        help="balancers, by address or network (10.0.0.0/24), that begin each connection with a "
        "PROXY header, version 1 or 2; it is required of them and believed of nobody else",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="write all events to FILE, "
        "what people wrote and passwords included, to play them again",
    )
    parser.add_argument(
        "--drain-ms",
        type=_count,
        default=DRAIN_MS,
        metavar="MS",
        help=f"time to finish what is under way when stopping (default {DRAIN_MS})",
    )
    levels = ["debug", "info", "warning", "error"]
    parser.add_argument("--log-level", choices=levels, default="warning", help="default: warning")
    _add_limits(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """A flag for each limit of NodeConfig, described there."""
    limits = parser.add_argument_group("limits")
    hints = get_type_hints(NodeConfig, include_extras=True)
    for field in msgspec.structs.fields(NodeConfig):
        if type(field.default) is int:
            description = hints[field.name].__metadata__[0].description
            limits.add_argument(
                "--" + field.name.replace("_", "-"),
                type=_count,
                default=field.default,
                metavar="N",
                help=f"{description} (default {field.default})",
            )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; give a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {2**31}")
    return int(text)


class StoreChoice(NamedTuple):
    """Where all is kept, in words, and how to open a connection to it."""

    text: str
    open: Callable[[], Connection]


def _store(text: str) -> StoreChoice:
    kind, _, path = text.partition(":")
    if kind == "sqlite" and path:
        return _file(Path(path))
    if kind == "mysql":
        try:
            address = Address.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"that is no address of a database: {error}"
            ) from error
        return StoreChoice(str(address), partial(open_mysql, address))
    raise argparse.ArgumentTypeError(
        f"{text} is no store; give sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE"
    )


class BusChoice(NamedTuple):
    """The bus in words, how to make it, and whether nobody else can be on it."""

    text: str
    open: Callable[[], Bus]
    alone: bool = False


def _bus(text: str) -> BusChoice:
    if text == "local":
        return BusChoice("local: this node alone", LocalBus, alone=True)
    if text == "none":
        return BusChoice("none: what others write is looked for each second", NoBus)
    if text.startswith(("redis://", "rediss://", "unix://")):
        with contextlib.suppress(ValueError):
            return BusChoice(f"Redis at {RedisBus(text).address}", partial(RedisBus, text))
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


def _default_store(port: int) -> StoreChoice:
    data = os.environ.get("XDG_DATA_HOME")
    try:
        folder = Path(data) if data else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise Failure(
            "there is no home folder to keep the store in; say where with --store sqlite:PATH.",
            EXIT_STORE,
        ) from error
    return _file(folder / "chat-node" / f"{port}.db")


# ---------------------------------------------------------------------------- the run


def _run(options: argparse.Namespace) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(options))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    stop = _Stop(asyncio.get_running_loop())
    port = options.port or _free_port(options.host)
    given = {
        field: getattr(options, field) for field in NodeConfig.__struct_fields__ if field in options
    }
    config = NodeConfig(
        **given | {"name": options.name or f"node-{port}", "alone": options.bus.alone}
    )
    choice: StoreChoice = options.store or _default_store(port)
    recorder = _recorder(options.record, config)
    driver = Driver(Node(config), bus := options.bus.open(), recorder)
    with contextlib.closing(await _listen(driver, config, options, port)) as server:
        wait_until = stop if options.wait else None
        if not await _reach_bus(bus, wait_until):
            return EXIT_OK
        store = await _open_store(choice, driver, wait_until)
        if store is None:
            return EXIT_OK
        driver.store, driver.vault = store, (vault := Vault(driver.answer_threadsafe))
        try:
            bus.start(driver.feed, store.cluster)
            await _serve_from_now(server, options.host, port)
            _say_hello(options, port, config, choice)
            sys.setswitchinterval(SWITCH_S)
            gc.collect()
            gc.freeze()
            await stop.asked.wait()
            server.close()
            _say("stopping: finishing what is under way (once more to stop at once)")
            clean = await stop.unless_again(
                driver.drain(retry_after_ms=RETRY_AFTER_MS, limit_ms=options.drain_ms)
            )
            _say("stopped" if clean else "stopped before all was finished")
        finally:
            driver.stop()
            await bus.close()
            vault.close()
            store.close()
            if recorder is not None:
                recorder.close()
    return EXIT_OK


async def _open_store(
    choice: StoreChoice, driver: Driver, wait_until: "_Stop | None"
) -> StoreService | None:
    """The store at work; None if the node is to stop before it is there."""
    store = StoreService(choice.open, driver.answer_threadsafe)

    async def start() -> None:
        await asyncio.to_thread(store.start)

    try:
        return store if await _there(start, StoreNotThere, EXIT_STORE, wait_until) else None
    except StoreError as error:
        raise Failure(str(error), EXIT_STORE) from error


async def _reach_bus(bus: Bus, wait_until: "_Stop | None") -> bool:
    """Whether it is there; not if the node is to stop before it is."""
    if isinstance(bus, RedisBus):
        return await _there(bus.check, BusNotThere, EXIT_BUS, wait_until)
    return True


async def _there(
    reach: Callable[[], Coroutine[None, None, None]],
    absent: type[Exception],
    code: int,
    wait_until: "_Stop | None",
) -> bool:
    """Reaches what the node cannot do without. If it is absent it is waited for, or until the node
    is to stop, which makes it False; a Failure if nothing is to be waited for."""
    told = False
    while True:
        try:
            await reach()
            return True
        except absent as error:
            if wait_until is None:
                raise Failure(str(error), code) from error
            if not told:
                _say(f"waiting: {error}")
            told = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_until.asked.wait(), WAIT_S)
            return False


async def _listen(
    driver: Driver, config: NodeConfig, options: argparse.Namespace, port: int
) -> asyncio.Server:
    try:
        return await listen(driver, config, options.host, port, balancers=options.proxy_from)
    except OSError as error:
        raise _cannot_listen(options.host, port, error) from error


async def _serve_from_now(server: asyncio.Server, host: str, port: int) -> None:
    try:
        await server.start_serving()
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


def _free_port(host: str) -> int:
    """A port that is free now, the same for all addresses that the host has."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _cannot_listen(host, 0, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> Failure:
    if isinstance(error, socket.gaierror):
        return Failure(f"there is no address {host}; give 127.0.0.1 or 0.0.0.0.", EXIT_PORT)
    reason = os.strerror(error.errno) if error.errno else str(error)
    cure = {
        errno.EADDRINUSE: "choose another port, or stop what has it",
        errno.EADDRNOTAVAIL: "give an address of this machine, such as 127.0.0.1",
        errno.EACCES: "choose a port from 1024 up",
    }.get(error.errno or 0, "choose another address or port")
    return Failure(f"cannot listen on {host} port {port} ({reason}); {cure}.", EXIT_PORT)


def _recorder(path: Path | None, config: NodeConfig) -> Recorder | None:
    if path is None:
        return None
    try:
        return Recorder(path, config)
    except OSError as error:
        raise Failure(
            f"cannot write the recording to {path} ({error.strerror}); choose another file.",
            EXIT_USAGE,
        ) from error


def _say_hello(
    options: argparse.Namespace, port: int, config: NodeConfig, store: StoreChoice
) -> None:
    host, record = options.host, options.record
    lines = [
        f"chat-node {__version__} ({config.name}, process {os.getpid()})",
        f"  store   {store.text}",
        f"  bus     {options.bus.text}",
        f"  listens on {host} port {port}",
    ]
    if record is not None:
        lines.append(f"  records all events, passwords too, to {record.absolute()}")
    lines.append(f"ready: connect with  {_client_program()} {_reachable(host)} {port}")
    _say("\n".join(lines))


def _client_program() -> str:
    """What to type for the client that belongs to this node."""
    beside = Path(sys.executable).with_name("chat-client")
    found = shutil.which("chat-client")
    if not beside.exists() or (found is not None and Path(found).samefile(beside)):
        return "chat-client"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _say(text: str) -> None:
    """To whoever started the node, if they still listen."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


class _Stop:
    """SIGTERM and Ctrl-C: the first asks to stop, the second to stop at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked = asyncio.Event()
        self._again = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        (self._again if self.asked.is_set() else self.asked).set()

    async def unless_again(self, work: Coroutine[None, None, bool]) -> bool:
        """The result of the work, or False once the signal has come again."""
        task = asyncio.ensure_future(work)
        again = asyncio.ensure_future(self._again.wait())
        await asyncio.wait({task, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not task.done():
            task.cancel()
            return False
        return task.result()


def _exit() -> NoReturn:
    sys.exit(node_main())


if __name__ == "__main__":
    _exit()
