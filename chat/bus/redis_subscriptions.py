"""The subscribing side of the bus on Redis: which channels, what is confirmed, what is received.

Theory of operation
-------------------

The node's subscriptions are kept here by channel, with the ticket of the latest `subscribe`; they
outlive a connection. A new connection subscribes to all of them, and `PING up` is sent behind: it
comes back when the last is confirmed, and that is when the bus is up.

Redis confirms subscriptions in the order of the commands, so the tickets wait in one queue. A
confirmation counts only if its ticket is still the channel's latest; a message counts only if its
channel has been confirmed and was not unsubscribed since.

With each confirmation Redis says how many subscriptions it has. A count that differs from ours
means that it has forgotten some (a proxy may have gone on with another server), and breaks the
connection.

What is published is the sender's run id, a space, and a line for each bus message that the sender
had for the channel in one loop iteration. A node drops what has its own run id.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from chat.bus.base import Feed
from chat.bus.redis_connection import MAX_QUOTED, RedisConnection, Reply
from chat.core.ports.bus_messages import decode_bus_message
from chat.core.ports.events import BusMessageReceived, Subscribed

CHANNELS_PER_COMMAND: Final = 500
WARN_EVERY_S: Final = 10.0
"""How often, at most, a message that cannot be read is logged."""

_log = logging.getLogger("chat.redis")


class RedisSubscriptions:
    """What begins with `own`, this node's run id and a space, is dropped. `feed` gets Subscribed
    and BusMessageReceived; `on_up` is called when all subscriptions of a new connection are
    confirmed."""

    def __init__(self, own: bytes, feed: Feed, on_up: Callable[[], None]) -> None:
        self.prefix = ""
        """Of the names of all channels, set before the first connection."""
        self._own = own
        self._feed = feed
        self._on_up = on_up
        self._connection: RedisConnection | None = None
        self._tickets: dict[str, int] = {}
        self._to_confirm: deque[tuple[str, int]] = deque()
        self._confirmed: dict[bytes, str] = {}
        """By Redis' name of a channel: the node's, for the channels whose messages count."""
        self._subscribed: set[bytes] = set()
        """The channels that Redis should have for this connection."""
        self._to_subscribe: list[str] = []
        self._to_unsubscribe: list[str] = []
        """The channels of this loop iteration. At most one of the two lists has any, so the order
        is kept."""
        self._warn_at_s = 0.0

    def subscribe(self, channel: str, ticket: int) -> None:
        self._tickets[channel] = ticket
        if self._connection is not None:
            if self._to_unsubscribe:
                self._send_channels()
            if not self._to_subscribe:
                asyncio.get_running_loop().call_soon(self._send_channels)
            self._to_subscribe.append(channel)
            self._to_confirm.append((channel, ticket))

    def unsubscribe(self, channel: str) -> None:
        if self._tickets.pop(channel, None) is None:
            return
        self._confirmed.pop((self.prefix + channel).encode(), None)
        if self._connection is not None:
            if self._to_subscribe:
                self._send_channels()
            if not self._to_unsubscribe:
                asyncio.get_running_loop().call_soon(self._send_channels)
            self._to_unsubscribe.append(channel)

    # ------------------------------------------------------------------ the connection

    def connected(self, connection: RedisConnection) -> None:
        """Subscribes to everything on a new connection."""
        self._connection = connection
        connection.stream_to(self._receive)
        self._to_confirm.extend(self._tickets.items())
        self._send_each("SUBSCRIBE", self._tickets)
        connection.send(("PING", "up"))

    def disconnected(self) -> None:
        """The connection is broken: nothing is confirmed any more."""
        self._connection = None
        self._confirmed.clear()
        self._subscribed.clear()
        self._to_confirm.clear()
        self._to_subscribe.clear()
        self._to_unsubscribe.clear()

    def _send_channels(self) -> None:
        self._send_each("SUBSCRIBE", self._to_subscribe)
        self._send_each("UNSUBSCRIBE", self._to_unsubscribe)
        self._to_subscribe.clear()
        self._to_unsubscribe.clear()

    def _send_each(self, command: str, channels: Iterable[str]) -> None:
        if self._connection is not None:
            names = [self.prefix + channel for channel in channels]
            for start in range(0, len(names), CHANNELS_PER_COMMAND):
                self._connection.send((command, *names[start : start + CHANNELS_PER_COMMAND]))

    # ------------------------------------------------------------------ what Redis sends

    def _receive(self, reply: Reply) -> None:
        if isinstance(reply, list) and len(reply) == 3:
            kind, channel, data = reply
            if kind == b"message":
                name = self._confirmed.get(channel)
                if name is not None and not data.startswith(self._own):
                    for line in data[len(self._own) :].split(b"\n"):
                        self._receive_message(name, line)
            elif kind == b"subscribe":
                self._subscribed.add(channel)
                self._check_count(data)
                self._confirm(channel)
            elif kind == b"unsubscribe":
                self._subscribed.discard(channel)
                self._check_count(data)
        elif isinstance(reply, bytes) and self._confirmed:
            # A PING on a connection with subscriptions is answered by a list.
            raise ConnectionError("Redis has forgotten the subscriptions")
        elif reply in (b"up", [b"pong", b"up"]):
            self._on_up()
        elif isinstance(reply, Exception):
            raise ConnectionError(f"Redis refused a subscription: {reply!s:.{MAX_QUOTED}}")

    def _check_count(self, count: int) -> None:
        if count != len(self._subscribed):
            raise ConnectionError("Redis has forgotten subscriptions")

    def _confirm(self, channel: bytes) -> None:
        name, ticket = self._to_confirm.popleft()
        if self._tickets.get(name) == ticket:
            self._confirmed[channel] = name
            self._feed(Subscribed(ticket))

    def _receive_message(self, channel: str, data: bytes) -> None:
        try:
            message = decode_bus_message(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            now_s = asyncio.get_running_loop().time()
            if now_s >= self._warn_at_s:
                self._warn_at_s = now_s + WARN_EVERY_S
                _log.warning(
                    "dropped what is no bus message on channel %s: %.*s", channel, MAX_QUOTED, error
                )
            return
        self._feed(BusMessageReceived(channel, message))
