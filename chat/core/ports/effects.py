"""What a node wants done. Plain data; the driver carries it out, in order.

Effects never come back by themselves: what they bring about arrives as an event.
"""

from msgspec import Struct

from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.operations import AnyOperation


class Effect(Struct, frozen=True, gc=False, tag_field="effect"):
    """Base of all effects."""


class Send(Effect, frozen=True):
    """Whole frames, newlines included, for one connection."""

    connection: int
    data: bytes


class Deliver(Effect, frozen=True):
    """The same whole frames for many connections."""

    connections: tuple[int, ...]
    data: bytes


class Close(Effect, frozen=True):
    """Send what is buffered, then end the connection. With `abort`, end it at once. ConnectionLost
    follows in either case."""

    connection: int
    abort: bool = False


class PauseReading(Effect, frozen=True):
    """Take no more bytes from the connection, so that its peer has to wait."""

    connection: int


class ResumeReading(Effect, frozen=True):
    connection: int


class Query(Effect, frozen=True):
    """Ask the store, the password hasher or the presence directory. Every ticket is answered, by
    Refused if need be: what waits for the answer, a request or a page of a log, waits for ever."""

    ticket: int
    operation: AnyOperation


class Publish(Effect, frozen=True):
    """Tell the other nodes, on each of the channels."""

    channels: tuple[str, ...]
    message: AnyBusMessage


class Subscribe(Effect, frozen=True):
    """Hear a channel. Subscribed(ticket) says from when on."""

    channel: str
    ticket: int


class Unsubscribe(Effect, frozen=True):
    channel: str


class Announce(Effect, frozen=True):
    """Enter these users under this node in the presence directory, and take the others out."""

    online: tuple[int, ...]
    offline: tuple[int, ...]


AnyEffect = (
    Send
    | Deliver
    | Close
    | PauseReading
    | ResumeReading
    | Query
    | Publish
    | Subscribe
    | Unsubscribe
    | Announce
)
