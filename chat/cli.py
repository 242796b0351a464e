"""`chat-node`: the composition root, where node, sockets, store and bus are connected.

Exit codes: 0 stopped as asked, 1 an internal error, 2 wrong usage, 3 the port cannot be had, 4
the store cannot be opened, 5 the bus cannot be reached.
"""

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from chat import __version__
from chat.bus.base import Bus
from chat.bus.redis import BusUnreachable, RedisBus
from chat.core.node import Node
from chat.core.state.config import NodeConfig
from chat.net.driver import Driver
from chat.net.password_hasher import PasswordHasher
from chat.net.recorder import Recorder
from chat.net.tcp import listen
from chat.options import (
    EXIT_BUS,
    EXIT_INTERNAL_ERROR,
    EXIT_OK,
    EXIT_PORT,
    EXIT_STORE,
    EXIT_USAGE,
    OperatorError,
    StoreChoice,
    default_store,
    parser,
)
from chat.storage.errors import StoreError, StoreNotThere
from chat.storage.service import StoreService
from chat.workers import Workers

RETRY_AFTER_MS = 1_000
"""How long the clients of a node that stops are told to wait."""
WAIT_S = 0.5
"""How often a store or bus that is waited for is tried."""
SWITCH_S = 0.0005
"""The interpreter's switch interval. The store's threads release the interpreter at every step, and
get it back sooner with a short one."""

GC_THRESHOLD = (20_000, 20, 20)
"""Requests leave hardly any cycles, and a loop iteration makes thousands of objects."""

OWN_FILES = 64
"""Files that a node needs besides its connections: store, bus, log, and connections that it accepts
only to refuse them."""

_log = logging.getLogger("chat")


def node_main(argv: list[str] | None = None) -> int:
    """Runs a node until it is told to stop; gives its exit code."""
    options = parser().parse_args(argv)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        if options.workers > 1 and options.worker is None:
            return asyncio.run(_supervise(options, sys.argv[1:] if argv is None else argv))
        return _run(options)
    except OperatorError as failure:
        print(f"chat-node: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return EXIT_OK
    except Exception:
        _log.exception("chat-node stopped at an internal error")
        return EXIT_INTERNAL_ERROR


# ---------------------------------------------------------------------------- the run


def _run(options: argparse.Namespace) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(options))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(options))


async def _supervise(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """The parent of several workers, which are nodes of their own."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OperatorError("this system cannot share a port; leave --workers out.", EXIT_USAGE)
    if options.store is None or not options.store.shared or options.bus.alone:
        raise OperatorError(
            "--workers needs a store and a bus that workers can share; give --store mysql://... and"
            " --bus redis://... as well.",
            EXIT_USAGE,
        )
    port = _bindable_port(options.host, options.port)

    def ready(processes: Sequence[int]) -> None:
        _print_banner(options, port, options.name or f"node-{port}", options.store, processes)

    workers = Workers(
        options.workers,
        lambda number: [*arguments, "--worker", str(number), str(port)],
        tell=_print,
        ready=ready,
    )
    code = await workers.run(stop_s=options.drain_ms / 1000)
    if code == EXIT_OK:
        _print("stopped")
    return code


async def _serve(options: argparse.Namespace) -> int:
    stop = _Stop(asyncio.get_running_loop())
    port = options.port or _bindable_port(options.host, 0)
    name = options.name or f"node-{port}"
    if options.worker is not None:
        number, port = options.worker
        name = f"{options.name or f'node-{port}'}-{number}"
        if options.record is not None:
            options.record = options.record.with_name(f"{options.record.name}.{number}")
        stop.watch_input()
    given = {
        field: getattr(options, field) for field in NodeConfig.__struct_fields__ if field in options
    }
    given["connections"] = min(given["connections"], _files_for_connections())
    config = NodeConfig(**given | {"name": name, "alone": options.bus.alone})
    choice: StoreChoice = options.store or default_store(port)
    recorder = _recorder(options.record, config)
    driver = Driver(Node(config), bus := options.bus.open(), recorder)
    with contextlib.closing(await _listen(driver, config, options, port)) as server:
        wait_until = stop if options.wait else None
        if not await _reach_bus(bus, wait_until):
            return EXIT_OK
        store = await _open_store(choice, driver, wait_until)
        if store is None:
            return EXIT_OK
        driver.store = store
        driver.password_hasher = hasher = PasswordHasher(
            driver.answer_threadsafe, threads=config.password_hashes
        )
        try:
            bus.start(driver.feed, store.cluster)
            await _start_serving(server, options.host, port)
            _print_banner(options, port, name, choice)
            sys.setswitchinterval(SWITCH_S)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLD)
            await stop.asked.wait()
            server.close()
            _print("stopping: finishing what is under way (once more to stop at once)")
            clean = await stop.unless_again(
                driver.drain(retry_after_ms=RETRY_AFTER_MS, limit_ms=options.drain_ms)
            )
            _print("stopped" if clean else "stopped before all was finished")
        finally:
            driver.stop()
            await bus.close()
            hasher.close()
            store.close()
            if recorder is not None:
                recorder.close()
    return EXIT_OK


def _files_for_connections() -> int:
    """How many connections the system lets this process have; its soft limit is raised first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(1, soft - OWN_FILES, soft // 3)


async def _open_store(
    choice: StoreChoice, driver: Driver, wait_until: "_Stop | None"
) -> StoreService | None:
    """The store, started; None if the node is to stop before it can be reached."""
    store = StoreService(choice.open, driver.answer_threadsafe)

    async def start() -> None:
        await asyncio.to_thread(store.start)

    try:
        return store if await _reach(start, StoreNotThere, EXIT_STORE, wait_until) else None
    except StoreError as error:
        raise OperatorError(str(error), EXIT_STORE) from error


async def _reach_bus(bus: Bus, wait_until: "_Stop | None") -> bool:
    """Whether the bus was reached before the node is to stop."""
    if isinstance(bus, RedisBus):
        return await _reach(bus.check, BusUnreachable, EXIT_BUS, wait_until)
    return True


async def _reach(
    reach: Callable[[], Coroutine[None, None, None]],
    absent: type[Exception],
    code: int,
    wait_until: "_Stop | None",
) -> bool:
    """Calls `reach` until it does not raise `absent`; False if the node is to stop first. Without
    `wait_until`, it is called once, and a OperatorError with that code is raised."""
    printed = False
    while True:
        try:
            await reach()
            return True
        except absent as error:
            if wait_until is None:
                raise OperatorError(str(error), code) from error
            if not printed:
                _print(f"waiting: {error}")
            printed = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_until.asked.wait(), WAIT_S)
            return False


async def _listen(
    driver: Driver, config: NodeConfig, options: argparse.Namespace, port: int
) -> asyncio.Server:
    try:
        return await listen(
            driver,
            config,
            options.host,
            port,
            balancers=options.proxy_from,
            shared_port=options.worker is not None,
        )
    except OSError as error:
        raise _cannot_listen(options.host, port, error) from error


async def _start_serving(server: asyncio.Server, host: str, port: int) -> None:
    try:
        await server.start_serving()
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


def _bindable_port(host: str, port: int) -> int:
    """The port, if it can be bound; for 0 a free one, the same for all addresses of the host.
    Raises OperatorError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> OperatorError:
    if isinstance(error, socket.gaierror):
        return OperatorError(f"there is no address {host}; give 127.0.0.1 or 0.0.0.0.", EXIT_PORT)
    reason = os.strerror(error.errno) if error.errno else str(error)
    cure = {
        errno.EADDRINUSE: "choose another port, or stop what has it",
        errno.EADDRNOTAVAIL: "give an address of this machine, such as 127.0.0.1",
        errno.EACCES: "choose a port from 1024 up",
    }.get(error.errno or 0, "choose another address or port")
    return OperatorError(f"cannot listen on {host} port {port} ({reason}); {cure}.", EXIT_PORT)


def _recorder(path: Path | None, config: NodeConfig) -> Recorder | None:
    if path is None:
        return None
    try:
        return Recorder(path, config)
    except OSError as error:
        raise OperatorError(
            f"cannot write the recording to {path} ({error.strerror}); choose another file.",
            EXIT_USAGE,
        ) from error


def _print_banner(
    options: argparse.Namespace,
    port: int,
    name: str,
    store: StoreChoice,
    workers: Sequence[int] = (),
) -> None:
    host, record = options.host, options.record
    lines = [
        f"chat-node {__version__} ({name}, process {os.getpid()})",
        f"  store   {store.text}",
        f"  bus     {options.bus.text}",
        f"  listens on {host} port {port}",
    ]
    if str(options.proxy_from):
        lines.append(f"  takes the PROXY header of {options.proxy_from} for the address of a peer")
    if workers:
        processes = ", ".join(map(str, workers))
        lines.append(f"  {len(workers)} workers, processes {processes}")
    if record is not None:
        lines.append(f"  records all events, passwords too, to {record.absolute()}")
    lines.append(f"ready: connect with  {_client_program()} {_reachable(host)} {port}")
    _print("\n".join(lines))


def _client_program() -> str:
    """The command that runs the client of this installation."""
    beside = Path(sys.executable).with_name("chat-client")
    found = shutil.which("chat-client")
    if not beside.exists() or (found is not None and Path(found).samefile(beside)):
        return "chat-client"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _print(text: str) -> None:
    """Prints to standard output, if its reader is still there."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


class _Stop:
    """SIGTERM and SIGINT: the first signal asks to stop, the second to stop at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.asked = asyncio.Event()
        self._again = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)

    def watch_input(self) -> None:
        """The end of standard input asks to stop as well: the parent process, which holds the other
        end, is gone."""
        self._loop.add_reader(sys.stdin.fileno(), self._read_input)

    def _read_input(self) -> None:
        if not os.read(sys.stdin.fileno(), 1):
            self._loop.remove_reader(sys.stdin.fileno())
            self.asked.set()

    def _ask(self) -> None:
        (self._again if self.asked.is_set() else self.asked).set()

    async def unless_again(self, work: Coroutine[None, None, bool]) -> bool:
        """The result of the work, or False if the second signal comes first."""
        task = asyncio.ensure_future(work)
        again = asyncio.ensure_future(self._again.wait())
        await asyncio.wait({task, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not task.done():
            task.cancel()
            return False
        return task.result()


if __name__ == "__main__":
    sys.exit(node_main())
