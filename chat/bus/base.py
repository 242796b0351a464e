"""What a driver asks of a bus, whichever it is."""

from collections.abc import Callable
from typing import Final, Protocol

from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.events import AnyEvent
from chat.core.ports.operations import Refused
from chat.protocol.errors import ErrorCode

Feed = Callable[[AnyEvent], None]
"""Takes an event for the node; never calls back into the bus from within."""
UNAVAILABLE: Final = Refused(ErrorCode.UNAVAILABLE)
"""The outcome of a FindPresence while the directory cannot be read."""


class Bus(Protocol):
    """Bus messages between nodes, and the presence directory.

    Every event is given to `feed` in a later loop iteration, never from within a call. A node
    does not receive what it published itself, whether or not it is subscribed. After a reconnect
    each subscription is confirmed again (`Subscribed`), and only then comes `BusUp`. A
    `find_presence` is answered within two seconds, by `UNAVAILABLE` if need be.
    """

    def start(self, feed: Feed, cluster: str) -> None:
        """Begins to work. Nodes of one cluster, which the store names, receive each other's
        messages."""
        ...

    def publish(self, channel: str, message: AnyBusMessage) -> None: ...

    def subscribe(self, channel: str, ticket: int) -> None: ...

    def unsubscribe(self, channel: str) -> None: ...

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        """Enters users under this node in the presence directory, and removes others."""
        ...

    def find_presence(self, ticket: int, users: tuple[int, ...]) -> None: ...

    async def close(self) -> None:
        """Removes this node from the directory; nothing is fed any more."""
        ...
