"""Authentication: connections that log in and close again, a fixed number at a time.

The load knows of a server only the bytes of the request, and bytes that the reply must contain.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from bench.load.peer import CheckFailed, dial
from bench.results.comparison import Target, compare
from bench.results.figures import Figure, median_of
from bench.results.machine import cpu_s
from bench.results.measurement import Measurement
from bench.targets.environment import Environment
from bench.targets.fixtures import PASSWORD, add_friends, add_users, token
from bench.targets.servers import ChatNode, Ngircd, Relay, has_ngircd, ready_ms
from chat.storage.backends.connection import DatabaseConnection

LOGIN_S: Final = 30.0
SOURCES: Final = [f"127.0.0.{n}" for n in range(2, 18)]
"""Source addresses: each has its own ports, which cannot be reused at once."""
USERS: Final = 200


class Handshake(NamedTuple):
    """The bytes to send, and bytes that the answer must contain."""

    request: bytes
    reply: bytes


class _LoginConnection(asyncio.Protocol):
    """One connection: sends the request, and closes when the reply has come."""

    def __init__(self, handshake: Handshake, done: asyncio.Future[bytes]) -> None:
        self._handshake = handshake
        self._done = done
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        place = self._received.find(self._handshake.reply)
        if place >= 0 and self._received.find(b"\n", place) >= 0:
            self._transport.close()
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._done.done():
            self._done.set_result(self._received)


class LoginLoad:
    """Logs in and closes, `at_once` connections at a time."""

    def __init__(
        self,
        port: int,
        handshake: Callable[[int], Handshake],
        pids: Mapping[str, int],
        *,
        at_once: int,
    ) -> None:
        self._port = port
        self._handshake = handshake
        self._pids = pids
        self._at_once = at_once
        self._numbers = itertools.count()
        self._latencies_s: list[float] = []
        self._open = False

    async def run(self, outstanding: int, seconds: float) -> Measurement:
        """`outstanding` is ignored in favour of `at_once`."""
        self._latencies_s = []
        self._open = True
        cpu = {name: cpu_s(pid) for name, pid in self._pids.items()}
        own, start = time.process_time(), time.perf_counter()
        tasks = [asyncio.ensure_future(self._log_in_repeatedly()) for _ in range(self._at_once)]
        await asyncio.sleep(seconds)
        self._open = False
        # Logins that began within the window count, with all the time that they took.
        await asyncio.gather(*tasks)
        elapsed = time.perf_counter() - start
        used = {name: cpu_s(pid) - cpu[name] for name, pid in self._pids.items()}
        latencies = self._latencies_s
        each = {name: seconds / len(latencies) * 1e6 for name, seconds in used.items()}
        return Measurement.of(elapsed, latencies, time.process_time() - own, each)

    async def _log_in_repeatedly(self) -> None:
        while True:
            start = time.perf_counter()
            await self._log_in(next(self._numbers))
            self._latencies_s.append(time.perf_counter() - start)
            if not self._open:
                return

    async def _log_in(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        handshake = self._handshake(number)
        done: asyncio.Future[bytes] = loop.create_future()
        source = SOURCES[number % len(SOURCES)]
        await loop.create_connection(
            lambda: _LoginConnection(handshake, done), sock=await dial(self._port, source)
        )
        received = await asyncio.wait_for(done, LOGIN_S)
        if handshake.reply not in received:
            raise CheckFailed(f"login failed: {received[-400:].decode(errors='replace')}")


def _resume(number: int) -> Handshake:
    user = 1 + number % USERS
    return Handshake(
        b'{"type":"resume","id":1,"token":"%b"}\n' % token(user).encode(),
        b'"type":"logged_in","re":1,"user":{"id":%d,' % user,
    )


def _login(number: int) -> Handshake:
    user = 1 + number % USERS
    return Handshake(
        b'{"type":"login","id":1,"user":%d,"password":"%b"}\n' % (user, PASSWORD.encode()),
        b'"type":"logged_in","re":1,"user":{"id":%d,' % user,
    )


def _nick(number: int) -> Handshake:
    return Handshake(b"NICK n%d\r\nUSER n%d 0 * :n\r\n" % (number, number), b" 376 ")


def _fill(connection: DatabaseConnection) -> None:
    add_users(connection, 1, USERS)
    add_friends(connection, [(n, n + 1) for n in range(1, USERS, 2)], 1)


def _login_loads(
    environment: Environment, handshake: Callable[[int], Handshake], at_once: int
) -> list[Target]:
    targets = []
    for store in environment.stores:
        node: ChatNode = environment.node(environment.new_store(store, _fill))
        load = LoginLoad(node.port, handshake, environment.pids(node, store), at_once=at_once)
        targets.append(Target(f"node, {store}", load))
    return targets


async def logins(environment: Environment) -> list[Figure]:
    """Passwords checked by argon2id with 19 MiB, 8 logins at once."""
    with environment.scope():
        targets = _login_loads(environment, _login, 8)
        return await compare("logins", targets, 8, environment.scale)


async def resumes(environment: Environment) -> list[Figure]:
    """Devices with a token, 32 at once; the same number on the relay and ngircd."""
    with environment.scope():
        targets = _login_loads(environment, _resume, 32)
        relay = environment.start(Relay)
        load = LoginLoad(
            relay.port, lambda n: Handshake(b"%d\n" % n, b"here"), {"relay": relay.pid}, at_once=32
        )
        targets.append(Target("relay", load))
        if has_ngircd():
            irc = environment.start(Ngircd)
            load = LoginLoad(irc.port, _nick, {"ngircd": irc.pid}, at_once=32)
            targets.append(Target("ngircd", load))
        return await compare("resumes", targets, 32, environment.scale)


async def ready(environment: Environment) -> list[Figure]:
    """Time from the start of the process to its `ready` line, on a new SQLite store."""
    times: Sequence[float] = [
        ready_ms(environment.fresh_folder() / "node")
        for _ in range(2 * environment.scale.rounds - 1)
    ]
    return [median_of("node ready", "node, sqlite", [{"ready_ms": one} for one in times])]
