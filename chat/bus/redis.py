"""The bus on Redis: pub/sub for bus messages, sets with leases for presence.

Theory of operation
-------------------

The bus has a connection pair: one connection for commands (publishing, presence), one that
subscribes. It is up from the moment at which the lease is written and every subscription of the
node is confirmed. When either connection breaks, both are given up: the node is told `BusDown`, and
after a random pause a new pair is opened. While there is none, what is published is dropped; a bus
message is a hint.

All names in Redis begin with `chat:CLUSTER:`, after the store that the nodes share, so several
clusters may use one Redis. What one loop iteration has for a channel is published together
(chat/bus/redis_subscriptions.py says in which form). Presence is in chat/bus/redis_presence.py.
"""

import asyncio
import logging
import random
from typing import Final

from chat.bus.base import UNAVAILABLE, Feed
from chat.bus.redis_address import RedisAddress
from chat.bus.redis_connection import RedisConnection, check_reply, open_connection
from chat.bus.redis_presence import RedisPresence, Times
from chat.bus.redis_subscriptions import RedisSubscriptions
from chat.core.ports.bus_messages import AnyBusMessage, encode_bus_message
from chat.core.ports.events import Answer, AnyEvent, BusDown, BusUp
from chat.core.ports.operations import PresenceOutcome

MESSAGES_PER_PUBLISH: Final = 32
MAX_BACKLOG: Final = 10_000
"""Commands that wait to be written; beyond, what is published is dropped."""
CONNECT_S: Final = 2.0
CLOSE_S: Final = 1.0
TIMES: Final = Times()

_log = logging.getLogger("chat.redis")


class BusUnreachable(Exception):
    """Redis cannot be reached; the text is a sentence with cause and cure."""


class RedisBus:
    """One node's client of a Redis. Raises ValueError for a URL that is none."""

    def __init__(self, url: str, times: Times = TIMES, rng: random.Random | None = None) -> None:
        self._redis = RedisAddress.parse(url)
        self.address = str(self._redis)
        """Where the Redis is, without the password."""
        self._times = times
        self._rng = rng or random.SystemRandom()
        run_id = f"{self._rng.getrandbits(48):012x}"
        self._own = f"{run_id} ".encode()
        self._prefix = ""
        self._feed: Feed = _drop
        self._task: asyncio.Task[None] | None = None
        self._finders: set[asyncio.Task[None]] = set()
        self._subscriptions = RedisSubscriptions(self._own, self._tell, self._on_up)
        self._presence = RedisPresence(run_id, times)
        self._commands: RedisConnection | None = None
        self._up = False
        self._closing = False
        self._encoded: tuple[AnyBusMessage | None, bytes] = (None, b"")
        """The message that was published last: it may go to several channels."""
        self._published: dict[str, list[bytes]] = {}
        """By channel: the messages of this loop iteration."""

    async def check(self) -> None:
        """Raises BusUnreachable if Redis cannot be reached, or refuses the login."""
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await open_connection(self._redis)
                try:
                    check_reply(*await connection.call(("PING",)))
                finally:
                    await connection.close()
        except OSError as error:
            reason = str(error).rstrip(".") or "no answer"
            raise BusUnreachable(
                f"cannot use Redis at {self.address} ({reason}); start it, or mend --bus, or "
                "wait for it with --wait."
            ) from error

    def start(self, feed: Feed, cluster: str) -> None:
        self._feed = feed
        self._prefix = f"chat:{cluster}:"
        self._subscriptions.prefix = self._prefix
        self._presence.set_prefix(self._prefix)
        self._task = asyncio.get_running_loop().create_task(self._run())

    # ------------------------------------------------------------------ what the node asks for

    def publish(self, channel: str, message: AnyBusMessage) -> None:
        if self._commands is None:
            return
        last, data = self._encoded
        if last is not message:
            data = encode_bus_message(message)
            self._encoded = (message, data)
        messages = self._published.get(channel)
        if messages is not None:
            messages.append(data)
            return
        if not self._published:
            asyncio.get_running_loop().call_soon(self._send_published)
        self._published[channel] = [data]

    def subscribe(self, channel: str, ticket: int) -> None:
        self._subscriptions.subscribe(channel, ticket)

    def unsubscribe(self, channel: str) -> None:
        self._subscriptions.unsubscribe(channel)

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        self._presence.announce(online, offline)

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None:
        loop = asyncio.get_running_loop()
        if self._commands is None or not self._up:
            loop.call_soon(self._tell, Answer(ticket, UNAVAILABLE))
            return
        task = loop.create_task(self._find(self._commands, ticket, users))
        self._finders.add(task)
        task.add_done_callback(self._finders.discard)

    async def close(self) -> None:
        """Removes the node's users from the directory if Redis is reachable, and ends the
        connections."""
        self._feed = _drop
        self._closing = True
        if self._commands is not None:
            self._send_published()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._presence.leave(self._commands)
            except OSError as error:
                _log.info("this node's presence was not removed from Redis: %s", error)
        tasks = [task for task in (self._task, *self._finders) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ the connection pair

    async def _run(self) -> None:
        """Keeps a connection pair until the bus is closed. `_closing` is checked each time, since a
        cancellation that comes while the pair breaks is lost."""
        logged = False
        while not self._closing:
            try:
                await self._connect_and_stay()
            except* OSError as group:
                if self._up or not logged:
                    _log.warning("no connection to Redis at %s: %s", self.address, _first(group))
                logged = True
            except* Exception:
                _log.exception("internal error in the connection to Redis")
            if self._up:
                self._up = False
                logged = False
                self._tell(BusDown())
            if not self._closing:
                await asyncio.sleep(self._rng.uniform(*self._times.retry_ms) / 1000)

    async def _connect_and_stay(self) -> None:
        """Opens a connection pair, and raises what breaks it."""
        connections: list[RedisConnection] = []
        try:
            async with asyncio.timeout(CONNECT_S):
                for _ in range(2):
                    connections.append(await open_connection(self._redis))
            commands, subscriber = connections
            async with asyncio.TaskGroup() as group:
                group.create_task(commands.broken())
                group.create_task(subscriber.broken())
                self._commands = commands
                await self._presence.connected(commands)
                group.create_task(self._presence.renew(commands))
                self._subscriptions.connected(subscriber)
        finally:
            self._commands = None
            self._presence.disconnected()
            self._subscriptions.disconnected()
            for connection in connections:
                await connection.close()

    def _on_up(self) -> None:
        self._up = True
        self._tell(BusUp())

    def _tell(self, event: AnyEvent) -> None:
        self._feed(event)

    # ------------------------------------------------------------------ commands

    def _send_published(self) -> None:
        """Publishes the messages of this loop iteration, a line for each."""
        published, self._published = self._published, {}
        connection = self._commands
        if connection is None or connection.backlog > MAX_BACKLOG:
            return
        for channel, messages in published.items():
            for start in range(0, len(messages), MESSAGES_PER_PUBLISH):
                lines = b"\n".join(messages[start : start + MESSAGES_PER_PUBLISH])
                connection.send(("PUBLISH", self._prefix + channel, self._own + lines))

    async def _find(self, connection: RedisConnection, ticket: int, users: tuple[int, ...]) -> None:
        outcome: PresenceOutcome = UNAVAILABLE
        try:
            async with asyncio.timeout(self._times.find_ms / 1000):
                outcome = await self._presence.find(connection, users)
        except OSError as error:
            _log.debug("presence was not found: %s", error)
        self._tell(Answer(ticket, outcome))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _drop(event: AnyEvent) -> None:
    """Where events go before the start and after the end."""
