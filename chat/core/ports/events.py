"""What can happen to a node. Plain data: a run of events can be written down and played again.

`connection` numbers are given by the driver and never used twice. Times are not in the
events; they come beside them, as `now_ms`.
"""

from collections.abc import Sequence

from msgspec import Struct

from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.operations import AnyOutcome


class Event(Struct, frozen=True, gc=False, tag_field="event"):
    """Base of all events."""


class ConnectionOpened(Event, frozen=True):
    """`address` is the peer's host, without its port."""

    connection: int
    address: str


class BytesReceived(Event, frozen=True):
    connection: int
    data: bytes


class EndOfInput(Event, frozen=True):
    """The peer has shut its side down: no more bytes come, and it may still be written to. A loop
    may say it again after a pause in reading; only the first counts."""

    connection: int


class ConnectionLost(Event, frozen=True):
    """The connection is gone, whichever side ended it. Always the last event of a connection."""

    connection: int


class WriteBufferFull(Event, frozen=True):
    """What was sent to the connection and not yet taken by the peer is over the limit."""

    connection: int


class WriteBufferDrained(Event, frozen=True):
    """The outbound buffer shrank to `buffered_bytes`. Said when it falls under the low mark, and
    until then every few seconds while the peer takes anything at all."""

    connection: int
    buffered_bytes: int


class Answer(Event, frozen=True):
    """The outcome of the Query with this ticket. Each ticket is answered at most once."""

    ticket: int
    outcome: AnyOutcome


class Answers(Event, frozen=True):
    """Outcomes that came together, each with its ticket, in their order: a transaction that carried
    many appends answers them all at once. To the node they are as many Answers."""

    answers: tuple[tuple[int, AnyOutcome], ...]


class BusMessageReceived(Event, frozen=True):
    """A hint from the bus. It may be repeated, late, out of order, or never come."""

    channel: str
    message: AnyBusMessage


class Subscribed(Event, frozen=True):
    """The bus confirms the Subscribe with this ticket: what is published from now on is heard."""

    ticket: int


class BusUp(Event, frozen=True):
    """The bus is there (again), and everything that was subscribed to is (again)."""


class BusDown(Event, frozen=True):
    """The bus is gone; nothing is heard until BusUp."""


class Tick(Event, frozen=True):
    """It is now_ms; all that is due is done. The driver sends it at next_deadline_ms()."""


class Drain(Event, frozen=True):
    """The node is about to stop: finish what is under way and close all connections."""

    retry_after_ms: int


AnyEvent = (
    ConnectionOpened
    | BytesReceived
    | EndOfInput
    | ConnectionLost
    | WriteBufferFull
    | WriteBufferDrained
    | Answer
    | Answers
    | BusMessageReceived
    | Subscribed
    | BusUp
    | BusDown
    | Tick
    | Drain
)


def answer_event(answers: Sequence[tuple[int, AnyOutcome]]) -> Answer | Answers:
    """The event for outcomes that came together, each with its ticket; at least one."""
    return Answer(*answers[0]) if len(answers) == 1 else Answers(tuple(answers))
