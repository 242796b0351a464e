"""`--bus none`: a bus that is down for ever. The node finds by its sweep what others wrote, each
second, and knows who is online only of its own users."""

import asyncio

from chat.bus.base import Feed
from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.events import Answer, AnyEvent
from chat.core.ports.operations import Refused
from chat.protocol.errors import ErrorCode

UNAVAILABLE = Refused(ErrorCode.UNAVAILABLE)


class NoBus:
    """Takes everything, confirms nothing, and finds nobody."""

    def __init__(self) -> None:
        self._feed: Feed | None = None

    def start(self, feed: Feed, cluster: str) -> None:
        self._feed = feed

    def publish(self, channel: str, envelope: AnyBusMessage) -> None:
        """Nobody hears it."""

    def subscribe(self, channel: str, ticket: int) -> None:
        """It is not confirmed."""

    def unsubscribe(self, channel: str) -> None:
        """There is nothing to leave."""

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        """There is no directory."""

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None:
        asyncio.get_running_loop().call_soon(self._tell, Answer(ticket, UNAVAILABLE))

    async def close(self) -> None:
        self._feed = None

    def _tell(self, event: AnyEvent) -> None:
        if self._feed is not None:
            self._feed(event)
