"""The bus on Redis: pub/sub for hints, sets with leases for presence.

Theory of operation
-------------------

Two connections make a link: one for commands, one that listens. The bus is up from the moment at
which the lease is written and everything that is wanted has been subscribed to and confirmed; when
either connection breaks the link is given up as a whole, the node is told `BusDown`, and after a
random pause a new one is made. While there is no link, what is published is dropped: it was a
hint.

Redis confirms subscriptions in the order of asking, so the tickets wait in one queue. A
confirmation counts only if its ticket is still the channel's latest; an envelope, only if the
channel has been confirmed and not been left. `PING up`, sent behind all the subscriptions of
a new link, comes back when the last of them is confirmed: that is `BusUp`.

All names begin with `chat:CLUSTER:`, after the store that the nodes share, so that several clusters
may use one Redis. What a turn of the loop has for one channel is published together, a line for
each envelope, behind the node's mark, the random name of this run of it; a node passes over what
bears its own.

Presence: the set `p:MARK` holds the users on one node and a dot. It expires unless it is
renewed, and with it goes whatever a dead node held; a node that starts again has another mark.
`nodes` lists the marks. Changes go out as small deltas; each renewal compares the size of the
set and writes it anew if it is not the expected one, which mends whatever happened to it. All
writes to the set are transactions that end in its expiry, so no set can stay for ever. A mark
whose set is gone is taken off the list by whoever notices; a living node enters itself again
with each renewal.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError, RedisError

from chat.bus.base import Feed
from chat.bus.redis_connection import Command, Reply, Wire
from chat.core.ports.bus_messages import AnyBusMessage, decode_bus_message, encode_bus_message
from chat.core.ports.events import Answer, AnyEvent, BusDown, BusMessageReceived, BusUp, Subscribed
from chat.core.ports.operations import PresenceFound, PresenceOutcome, Refused
from chat.protocol.errors import ErrorCode

DOT: Final = "."
"""The member that a node's set has even if nobody is there."""
CHANNELS_AT_ONCE: Final = 500
"""Channels in one SUBSCRIBE, users in one SADD."""
ENVELOPES_AT_ONCE: Final = 32
"""Envelopes in one PUBLISH."""
MOST_WAITING: Final = 10_000
"""Commands that wait to be written; beyond, what a turn publishes is dropped."""
CONNECT_S: Final = 2.0
CLOSE_S: Final = 1.0
COMPLAIN_S: Final = 10.0
UNAVAILABLE: Final = Refused(ErrorCode.UNAVAILABLE)

_log = logging.getLogger("chat.redis")


class Times(NamedTuple):
    """How long things take on this bus."""

    renew_ms: int = 5_000
    lease_ms: int = 15_000
    find_ms: int = 2_000
    retry_ms: tuple[int, int] = (100, 1_000)


TIMES: Final = Times()


class BusUnreachable(Exception):
    """Redis cannot be reached; the text is a sentence with cause and cure."""


class RedisBus:
    """One node's place on a Redis. Raises ValueError for a URL that is none."""

    def __init__(self, url: str, times: Times = TIMES, chance: random.Random | None = None) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_S,
            driver_info=None,
        )
        self.address = _address(self._pool)
        self._times = times
        self._chance = chance or random.SystemRandom()
        name = f"{self._chance.getrandbits(48):012x}"
        self._mark = f"{name} ".encode()
        self._name = name
        self._prefix = self._nodes = self._key = ""
        self._feed: Feed = _unheard
        self._task: asyncio.Task[None] | None = None
        self._finders: set[asyncio.Task[None]] = set()
        self._wanted: dict[str, int] = {}
        self._online: set[int] = set()
        self._commands: Wire | None = None
        self._hearing: Wire | None = None
        self._up = False
        self._left = False
        self._last: tuple[AnyBusMessage | None, bytes] = (None, b"")
        # What the listening connection has confirmed, and what is to be confirmed, in order.
        self._heard: dict[bytes, str] = {}
        self._asked: deque[tuple[str, int]] = deque()
        self._subscribed: set[bytes] = set()
        """What Redis should be sending: it says with each change how many those are."""
        # What goes out at the end of this turn.
        self._joins: list[str] = []
        self._leaves: list[str] = []
        self._changed: dict[int, bool] = {}
        self._published: dict[str, list[bytes]] = {}
        self._complain_at_s = 0.0

    async def check(self) -> None:
        """Raises BusUnreachable if Redis cannot be reached, or does not let us in."""
        connection = self._connection()
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("PING", check_health=False)
                await connection.read_response()
        except (RedisError, OSError) as error:
            reason = str(error).rstrip(".") or "no answer"
            raise BusUnreachable(
                f"cannot use Redis at {self.address} ({reason}); start it, or mend --bus, or "
                "wait for it with --wait."
            ) from error
        finally:
            await _disconnect(connection)

    def start(self, feed: Feed, cluster: str) -> None:
        self._feed = feed
        self._prefix = f"chat:{cluster}:"
        self._nodes = f"{self._prefix}nodes"
        self._key = f"{self._prefix}p:{self._name}"
        self._task = asyncio.get_running_loop().create_task(self._run())

    # ------------------------------------------------------------------ what the node asks for

    def publish(self, channel: str, envelope: AnyBusMessage) -> None:
        if self._commands is None:
            return
        last, data = self._last
        if last is not envelope:
            data = encode_bus_message(envelope)
            self._last = (envelope, data)
        envelopes = self._published.get(channel)
        if envelopes is not None:
            envelopes.append(data)
            return
        if not self._published:
            asyncio.get_running_loop().call_soon(self._send_published)
        self._published[channel] = [data]

    def subscribe(self, channel: str, ticket: int) -> None:
        self._wanted[channel] = ticket
        if self._hearing is not None:
            if self._leaves:
                self._send_channels()
            if not self._joins:
                asyncio.get_running_loop().call_soon(self._send_channels)
            self._joins.append(channel)
            self._asked.append((channel, ticket))

    def unsubscribe(self, channel: str) -> None:
        if self._wanted.pop(channel, None) is None:
            return
        self._heard.pop((self._prefix + channel).encode(), None)
        if self._hearing is not None:
            if self._joins:
                self._send_channels()
            if not self._leaves:
                asyncio.get_running_loop().call_soon(self._send_channels)
            self._leaves.append(channel)

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        changed = {user: True for user in online if user not in self._online}
        changed |= {user: False for user in offline if user in self._online}
        self._online |= set(online)
        self._online -= set(offline)
        if changed and self._commands is not None:
            if not self._changed:
                asyncio.get_running_loop().call_soon(self._send_changes)
            self._changed |= changed

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None:
        loop = asyncio.get_running_loop()
        if self._commands is None or not self._up:
            loop.call_soon(self._tell, Answer(ticket, UNAVAILABLE))
            return
        task = loop.create_task(self._find(self._commands, ticket, users))
        self._finders.add(task)
        task.add_done_callback(self._finders.discard)

    async def close(self) -> None:
        """Takes the node's users away, as far as Redis is there, and ends the connections."""
        self._feed = _unheard
        self._left = True
        wire = self._commands
        if wire is not None:
            self._send_published()
            self._send_changes()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await wire.ask(("DEL", self._key), ("SREM", self._nodes, self._name))
            except (RedisError, OSError) as error:
                _log.info("could not take leave of Redis: %s", error)
        tasks = [task for task in (self._task, *self._finders) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ the link

    async def _run(self) -> None:
        """Has a link whenever there can be one, until the node leaves: a cancellation that comes
        while the link breaks does not get through."""
        complained = False
        while not self._left:
            try:
                await self._link()
            except* (RedisError, OSError) as group:
                if self._up or not complained:
                    _log.warning("no Redis at %s: %s", self.address, _first(group))
                complained = True
            except* Exception:
                _log.exception("the link to Redis ended at a bug")
            if self._up:
                self._up = False
                complained = False
                self._tell(BusDown())
            if not self._left:
                await asyncio.sleep(self._chance.uniform(*self._times.retry_ms) / 1000)

    async def _link(self) -> None:
        """Connects, and stays until the link breaks, which it raises."""
        connections = [self._connection() for _ in range(2)]
        try:
            async with asyncio.timeout(CONNECT_S):
                for connection in connections:
                    await connection.connect()  # type: ignore[no-untyped-call]
            commands = Wire(connections[0])
            hearing = Wire(connections[1], self._hear)
            async with asyncio.TaskGroup() as group:
                group.create_task(commands.run())
                self._commands = commands
                await self._write_lease(commands)
                group.create_task(hearing.run())
                group.create_task(self._renew(commands))
                self._hearing = hearing
                self._join_all(hearing)
        finally:
            self._commands = self._hearing = None
            self._heard.clear()
            self._subscribed.clear()
            for waiting in (self._asked, self._joins, self._leaves, self._changed):
                waiting.clear()
            for connection in connections:
                await _disconnect(connection)

    def _connection(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    def _tell(self, event: AnyEvent) -> None:
        self._feed(event)

    # ------------------------------------------------------------------ channels

    def _join_all(self, hearing: Wire) -> None:
        """Subscribes to everything again; the PING comes back when all is confirmed."""
        self._asked.extend(self._wanted.items())
        self._send_each(hearing, "SUBSCRIBE", self._wanted)
        hearing.tell(("PING", "up"))

    def _send_channels(self) -> None:
        """What was joined or left in this turn: at any time only one of the lists has anything."""
        if self._hearing is not None:
            self._send_each(self._hearing, "SUBSCRIBE", self._joins)
            self._send_each(self._hearing, "UNSUBSCRIBE", self._leaves)
        self._joins.clear()
        self._leaves.clear()

    def _send_each(self, wire: Wire, command: str, channels: Iterable[str]) -> None:
        names = [self._prefix + channel for channel in channels]
        for start in range(0, len(names), CHANNELS_AT_ONCE):
            wire.push((command, *names[start : start + CHANNELS_AT_ONCE]))

    def _hear(self, reply: Reply) -> None:
        if isinstance(reply, bytes) and self._heard:
            # A PING on a connection with subscriptions is answered by a list.
            raise ConnectionError("Redis has forgotten the subscriptions")
        if isinstance(reply, list) and len(reply) == 3:
            kind, channel, data = reply
            if kind == b"message":
                name = self._heard.get(channel)
                if name is not None and not data.startswith(self._mark):
                    self._take(name, data)
            elif kind == b"subscribe":
                self._subscribed.add(channel)
                self._check_count(data)
                self._confirmed(channel)
            elif kind == b"unsubscribe":
                self._subscribed.discard(channel)
                self._check_count(data)
        elif reply in (b"up", [b"pong", b"up"]):
            self._up = True
            self._tell(BusUp())
        elif isinstance(reply, Exception):
            raise ConnectionError(f"Redis refused a subscription: {reply}")

    def _check_count(self, count: int) -> None:
        if count != len(self._subscribed):
            raise ConnectionError("Redis has forgotten subscriptions")

    def _confirmed(self, channel: bytes) -> None:
        name, ticket = self._asked.popleft()
        if self._wanted.get(name) == ticket:
            self._heard[channel] = name
            self._tell(Subscribed(ticket))

    def _take(self, name: str, data: bytes) -> None:
        for line in data[len(self._mark) :].split(b"\n"):
            self._take_line(name, line)

    def _take_line(self, name: str, line: bytes) -> None:
        try:
            envelope = decode_bus_message(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            now_s = asyncio.get_running_loop().time()
            if now_s >= self._complain_at_s:
                self._complain_at_s = now_s + COMPLAIN_S
                _log.warning("what came on channel %s is no envelope: %s", name, error)
            return
        self._feed(BusMessageReceived(name, envelope))

    def _send_published(self) -> None:
        """What a turn has for a channel goes out together, a line for each envelope."""
        published, self._published = self._published, {}
        wire = self._commands
        if wire is None or wire.backlog > MOST_WAITING:
            return
        for channel, envelopes in published.items():
            for start in range(0, len(envelopes), ENVELOPES_AT_ONCE):
                lines = b"\n".join(envelopes[start : start + ENVELOPES_AT_ONCE])
                wire.push(("PUBLISH", self._prefix + channel, self._mark + lines))

    # ------------------------------------------------------------------ presence

    def _send_changes(self) -> None:
        if self._commands is not None and self._changed:
            came = [user for user, online in self._changed.items() if online]
            went = [user for user, online in self._changed.items() if not online]
            self._commands.tell(
                ("MULTI",),
                *_each("SADD", self._key, came),
                *_each("SREM", self._key, went),
                ("PEXPIRE", self._key, self._times.lease_ms),
                ("EXEC",),
            )
        self._changed.clear()

    async def _write_lease(self, wire: Wire) -> None:
        """Writes the whole set anew. Raises ConnectionError."""
        self._changed.clear()
        replies = await wire.ask(
            ("MULTI",),
            ("SADD", self._nodes, self._name),
            ("DEL", self._key),
            *_each("SADD", self._key, [DOT, *self._online]),
            ("PEXPIRE", self._key, self._times.lease_ms),
            ("EXEC",),
        )
        if isinstance(replies[-1], Exception):
            raise ConnectionError(f"Redis does not take the lease: {replies[-1]}")

    async def _renew(self, wire: Wire) -> None:
        """Until the wire breaks, which is found there."""
        try:
            while True:
                await asyncio.sleep(self._times.renew_ms / 1000)
                self._send_changes()
                expected = len(self._online) + 1
                _, there, size = await wire.ask(
                    ("SADD", self._nodes, self._name),
                    ("PEXPIRE", self._key, self._times.lease_ms),
                    ("SCARD", self._key),
                )
                if there != 1 or size != expected:
                    _log.warning("the presence of this node was gone from Redis; written again")
                    await self._write_lease(wire)
        except ConnectionError as error:
            _log.debug("not renewed: %s", error)
            raise

    async def _find(self, wire: Wire, ticket: int, users: tuple[int, ...]) -> None:
        outcome: PresenceOutcome = UNAVAILABLE
        try:
            async with asyncio.timeout(self._times.find_ms / 1000):
                outcome = await self._look_up(wire, users)
        except (RedisError, OSError) as error:
            _log.debug("presence was not found: %s", error)
        self._tell(Answer(ticket, outcome))

    async def _look_up(self, wire: Wire, users: tuple[int, ...]) -> PresenceOutcome:
        self._send_changes()
        (nodes,) = await wire.ask(("SMEMBERS", self._nodes))
        if not isinstance(nodes, list):
            return UNAVAILABLE
        if not nodes:
            return PresenceFound(())
        prefix = f"{self._prefix}p:".encode()
        replies = await wire.ask(*[("SMISMEMBER", prefix + node, DOT, *users) for node in nodes])
        online: set[int] = set()
        for node, reply in zip(nodes, replies, strict=True):
            if not isinstance(reply, list) or len(reply) != len(users) + 1:
                return UNAVAILABLE
            if not reply[0]:
                wire.push(("SREM", self._nodes, node))
            online.update(user for user, there in zip(users, reply[1:], strict=True) if there)
        return PresenceFound(tuple(user for user in users if user in online))


def _each(command: str, key: str, members: Sequence[str | int]) -> list[Command]:
    """The command for so many members at a time."""
    return [
        (command, key, *members[start : start + CHANNELS_AT_ONCE])
        for start in range(0, len(members), CHANNELS_AT_ONCE)
    ]


def _address(pool: ConnectionPool) -> str:
    """The address without the password."""
    where = pool.connection_kwargs
    if "path" in where:
        return str(where["path"])
    return f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"


async def _disconnect(connection: AbstractConnection) -> None:
    try:
        await connection.disconnect()
    except (RedisError, OSError) as error:
        _log.debug("a connection to Redis ended badly: %s", error)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _unheard(event: AnyEvent) -> None:
    """Where events go before the start and after the end."""
