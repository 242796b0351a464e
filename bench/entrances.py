"""Getting in: connections that say who they are, are let in, and leave again.

A *door* is entered by so many at once, each again and again. What is said first and what the answer
must have in it is all that is known of the server.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from bench.comparison import Contestant, compare
from bench.figures import Figure, median_of
from bench.fixtures import PASSWORD, add_friends, add_users, token
from bench.machine import cpu_s
from bench.peer import Wrong, dial
from bench.stage import Stage
from bench.targets import ChatNode, Ngircd, Relay, has_ngircd, ready_ms
from bench.traffic import Measured
from chat.storage.backends.connection import DatabaseConnection

ENTER_S: Final = 30.0
SOURCES: Final = [f"127.0.0.{n}" for n in range(2, 18)]
"""Each address has ports of its own, which cannot be used again at once."""
USERS: Final = 200


class Way(NamedTuple):
    """What is said, and what the answer has in it."""

    says: bytes
    hears: bytes


class _Entrant(asyncio.Protocol):
    """One time through the door."""

    def __init__(self, way: Way, done: asyncio.Future[bytes]) -> None:
        self._way = way
        self._done = done
        self._heard = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._way.says)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        place = self._heard.find(self._way.hears)
        if place >= 0 and self._heard.find(b"\n", place) >= 0:
            self._transport.close()
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._done.done():
            self._done.set_result(self._heard)


class Door:
    """Goes in and out at a port."""

    def __init__(
        self, port: int, way: Callable[[int], Way], pids: Mapping[str, int], *, at_once: int
    ) -> None:
        self._port = port
        self._way = way
        self._pids = pids
        self._at_once = at_once
        self._numbers = itertools.count()
        self._latencies_s: list[float] = []
        self._open = False

    async def run(self, outstanding: int, seconds: float) -> Measured:
        """`outstanding` is not asked; how many go in at once was said before."""
        self._latencies_s = []
        self._open = True
        cpu = {name: cpu_s(pid) for name, pid in self._pids.items()}
        own, start = time.process_time(), time.perf_counter()
        walkers = [asyncio.ensure_future(self._walk()) for _ in range(self._at_once)]
        await asyncio.sleep(seconds)
        self._open = False
        # All that were let in count, with all the time that they took.
        await asyncio.gather(*walkers)
        elapsed = time.perf_counter() - start
        used = {name: cpu_s(pid) - cpu[name] for name, pid in self._pids.items()}
        latencies = self._latencies_s
        each = {name: seconds / len(latencies) * 1e6 for name, seconds in used.items()}
        return Measured.of(elapsed, latencies, time.process_time() - own, each)

    async def _walk(self) -> None:
        while True:
            start = time.perf_counter()
            await self._enter(next(self._numbers))
            self._latencies_s.append(time.perf_counter() - start)
            if not self._open:
                return

    async def _enter(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        way = self._way(number)
        done: asyncio.Future[bytes] = loop.create_future()
        source = SOURCES[number % len(SOURCES)]
        await loop.create_connection(
            lambda: _Entrant(way, done), sock=await dial(self._port, source)
        )
        heard = await asyncio.wait_for(done, ENTER_S)
        if way.hears not in heard:
            raise Wrong(f"not let in: {heard[-400:].decode(errors='replace')}")


def _resume(number: int) -> Way:
    user = 1 + number % USERS
    return Way(
        b'{"type":"resume","id":1,"token":"%b"}\n' % token(user).encode(),
        b'"type":"logged_in","re":1,"user":{"id":%d,' % user,
    )


def _login(number: int) -> Way:
    user = 1 + number % USERS
    return Way(
        b'{"type":"login","id":1,"user":%d,"password":"%b"}\n' % (user, PASSWORD.encode()),
        b'"type":"logged_in","re":1,"user":{"id":%d,' % user,
    )


def _nick(number: int) -> Way:
    return Way(b"NICK n%d\r\nUSER n%d 0 * :n\r\n" % (number, number), b" 376 ")


def _fill(connection: DatabaseConnection) -> None:
    add_users(connection, 1, USERS)
    add_friends(connection, [(n, n + 1) for n in range(1, USERS, 2)], 1)


def _doors(stage: Stage, way: Callable[[int], Way], at_once: int) -> list[Contestant]:
    contestants = []
    for store in stage.stores:
        node: ChatNode = stage.node(stage.new_store(store, _fill))
        door = Door(node.port, way, stage.pids(node, store), at_once=at_once)
        contestants.append(Contestant(f"node, {store}", door))
    return contestants


async def logins(stage: Stage) -> list[Figure]:
    """Passwords checked by argon2id with 19 MiB, 8 people at once."""
    with stage.scene():
        contestants = _doors(stage, _login, 8)
        return await compare("logins", contestants, 8, stage.scale)


async def resumes(stage: Stage) -> list[Figure]:
    """Devices with a token, 32 at once; the relay and ngircd greet as many."""
    with stage.scene():
        contestants = _doors(stage, _resume, 32)
        relay = stage.start(Relay)
        door = Door(
            relay.port, lambda n: Way(b"%d\n" % n, b"here"), {"relay": relay.pid}, at_once=32
        )
        contestants.append(Contestant("relay", door))
        if has_ngircd():
            irc = stage.start(Ngircd)
            door = Door(irc.port, _nick, {"ngircd": irc.pid}, at_once=32)
            contestants.append(Contestant("ngircd", door))
        return await compare("resumes", contestants, 32, stage.scale)


async def ready(stage: Stage) -> list[Figure]:
    """From the command to readiness, on a new SQLite store."""
    times: Sequence[float] = [
        ready_ms(stage.fresh_folder() / "node") for _ in range(2 * stage.scale.rounds - 1)
    ]
    return [median_of("node ready", "node, sqlite", [{"ready_ms": one} for one in times])]
