"""`--bus none`: a bus that is never up.

The node finds what others wrote by its anti-entropy, each second, and knows only of its own users
whether they are online.
"""

import asyncio

from chat.bus.base import UNAVAILABLE, Feed
from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.events import Answer, AnyEvent


class NoBus:
    """Drops what is published, confirms no subscription, and refuses to look for presence."""

    def __init__(self) -> None:
        self._feed: Feed | None = None

    def start(self, feed: Feed, cluster: str) -> None:
        self._feed = feed

    def publish(self, channel: str, message: AnyBusMessage) -> None:
        """Drops it."""

    def subscribe(self, channel: str, ticket: int) -> None:
        """Is never confirmed."""

    def unsubscribe(self, channel: str) -> None:
        """Does nothing."""

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        """Does nothing: there is no directory."""

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None:
        asyncio.get_running_loop().call_soon(self._tell, Answer(ticket, UNAVAILABLE))

    async def close(self) -> None:
        self._feed = None

    def _tell(self, event: AnyEvent) -> None:
        if self._feed is not None:
            self._feed(event)
