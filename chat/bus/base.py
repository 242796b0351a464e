"""What a driver asks of a bus, whichever it is."""

from collections.abc import Callable
from typing import Protocol

from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.events import AnyEvent

Feed = Callable[[AnyEvent], None]
"""Takes an event for the node; never calls back into the bus from within."""


class Bus(Protocol):
    """Hints between nodes, and the presence directory. Everything is told to `feed`, later.

    What a node publishes is for the others: it does not hear it itself, whether or not it is
    subscribed. After a reconnect each subscription is confirmed again (`Subscribed`), and only then
    comes `BusUp`. `find_presence` is always answered within two seconds, by
    Refused(unavailable) if need be.
    """

    def start(self, feed: Feed, cluster: str) -> None:
        """From here on. Nodes hear each other if they are of one cluster, which the store names."""
        ...

    def publish(self, channel: str, envelope: AnyBusMessage) -> None: ...

    def subscribe(self, channel: str, ticket: int) -> None: ...

    def unsubscribe(self, channel: str) -> None: ...

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None: ...

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None: ...

    async def close(self) -> None: ...
