"""The bus of one process: channels and presence in memory.

It behaves like the one on Redis. What is published is fed later, in another loop iteration, to
every other node that was subscribed at the time of publishing; a subscription is confirmed by an
event. Several nodes may share one `LocalHub`.
"""

import asyncio

from chat.bus.base import Feed
from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.events import Answer, AnyEvent, BusMessageReceived, BusUp, Subscribed
from chat.core.ports.operations import PresenceFound


class LocalHub:
    """What the nodes of one process share: the subscribers by channel, and the nodes by user."""

    def __init__(self) -> None:
        self.channels: dict[str, dict[LocalBus, None]] = {}
        self.online: dict[int, set[LocalBus]] = {}


class LocalBus:
    """One node's client of a hub."""

    def __init__(self, hub: LocalHub | None = None) -> None:
        self._hub = hub or LocalHub()
        self._feed: Feed = _drop
        self._later: list[AnyEvent] = []

    def start(self, feed: Feed, cluster: str) -> None:
        self._feed = feed
        self._tell(BusUp())

    def publish(self, channel: str, message: AnyBusMessage) -> None:
        subscribers = self._hub.channels.get(channel)
        if subscribers and (len(subscribers) > 1 or self not in subscribers):
            event = BusMessageReceived(channel, message)
            for bus in subscribers:
                if bus is not self:
                    bus._tell(event)

    def subscribe(self, channel: str, ticket: int) -> None:
        self._hub.channels.setdefault(channel, {})[self] = None
        self._tell(Subscribed(ticket))

    def unsubscribe(self, channel: str) -> None:
        subscribers = self._hub.channels.get(channel)
        if subscribers is not None:
            subscribers.pop(self, None)
            if not subscribers:
                del self._hub.channels[channel]

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        for user in online:
            self._hub.online.setdefault(user, set()).add(self)
        for user in offline:
            nodes = self._hub.online.get(user, set())
            nodes.discard(self)
            if not nodes:
                self._hub.online.pop(user, None)

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None:
        online = tuple(user for user in users if user in self._hub.online)
        self._tell(Answer(ticket, PresenceFound(online)))

    async def close(self) -> None:
        """Takes the node from the hub; nothing more is fed to it."""
        self._feed = _drop
        for channel in [c for c, buses in self._hub.channels.items() if self in buses]:
            self.unsubscribe(channel)
        self.announce((), tuple(self._hub.online))

    def _tell(self, event: AnyEvent) -> None:
        if not self._later:
            asyncio.get_running_loop().call_soon(self._tell_all)
        self._later.append(event)

    def _tell_all(self) -> None:
        later, self._later = self._later, []
        for event in later:
            self._feed(event)


def _drop(event: AnyEvent) -> None:
    """Where events go before the start and after the end."""
