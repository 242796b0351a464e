"""The trace of a run: a hash over what happened, in order, and on request the records themselves.

Two runs of one seed on one commit have the same hash, in any process. The hash after each thousand
records is kept too, so that the first difference between two runs can be located.
"""

import hashlib
from functools import partial
from typing import NamedTuple

import msgspec

from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.core.node import Node
from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.ports.operations import StoreOperation, StoreOutcome

MARK_EVERY = 1_000


class NodeRecord(NamedTuple):
    """A node handled an event."""

    at_ms: int
    node: str
    event: AnyEvent
    effects: list[AnyEffect]


class DeviceRecord(NamedTuple):
    """A device's session had an effect."""

    at_ms: int
    device: str
    effect: ClientEffect


class FaultRecord(NamedTuple):
    """A fault was injected; `parties` are the lanes it concerns, and at `until_ms` it ends by
    itself. The kind `healed` is no fault: from then on everything works again."""

    at_ms: int
    kind: str
    parties: tuple[str, ...]
    until_ms: int


class StartRecord(NamedTuple):
    """A node booted; its tickets begin at 1 again."""

    at_ms: int
    node: str


class AcceptRecord(NamedTuple):
    """A node accepted a connection: `connection` is the node's number of it, `client_number` the
    device's, or 0 for the adversary, which is no device."""

    at_ms: int
    node: str
    connection: int
    client: str
    client_number: int


class ReceivedRecord(NamedTuple):
    """Bytes reached a device."""

    at_ms: int
    device: str
    client_number: int
    data: bytes


class SessionView(NamedTuple):
    """A session after an event. `live` and `behind`: by conversation, the seq up to which the
    connection was served."""

    connection: int
    state: str
    user: int | None
    live: dict[int, int]
    behind: dict[int, int]


class SessionsRecord(NamedTuple):
    """The sessions that the last NodeRecord concerns, as they are after it."""

    at_ms: int
    node: str
    sessions: tuple[SessionView, ...]


class StoreRecord(NamedTuple):
    """A transaction: the operation objects of a node's queries, and their outcomes."""

    at_ms: int
    node: str
    operations: list[StoreOperation]
    outcomes: list[StoreOutcome]


class BusRecord(NamedTuple):
    """The bus passes the message object of a node's Publish on to that number of listeners."""

    at_ms: int
    node: str
    channel: str
    message: AnyBusMessage
    listeners: int


Record = NodeRecord | DeviceRecord
Note = (
    FaultRecord
    | StartRecord
    | AcceptRecord
    | ReceivedRecord
    | SessionsRecord
    | StoreRecord
    | BusRecord
)
"""Records for the diagram, outside the hash: they follow from the hashed ones and the seed."""


def sessions_of(node: Node, event: AnyEvent, effects: list[AnyEffect]) -> tuple[SessionView, ...]:
    """The sessions that the event or one of its effects names."""
    numbers: dict[int, None] = {}
    for happening in (event, *effects):
        number = getattr(happening, "connection", None)
        if isinstance(number, int):
            numbers[number] = None
    return tuple(view for view in map(partial(view_of, node), numbers) if view is not None)


def view_of(node: Node, connection: int) -> SessionView | None:
    """The session as it is now; None if the node has none on that connection."""
    session = node.session(connection)
    if session is None:
        return None
    attached = session.conversations.values()
    live = {one.id: one.head for one in attached if connection in one.live}
    behind = {one.id: one.behind[connection] for one in attached if connection in one.behind}
    user = session.user.id if session.user is not None else None
    return SessionView(connection, session.state.name, user, live, behind)


class Trace:
    """`records` is filled only if `keep` is set."""

    def __init__(self, *, keep: bool = False) -> None:
        self.records: list[Record | Note] = []
        self.count = 0
        self.marks: list[str] = []
        self.keep = keep
        self._hash = hashlib.blake2b(digest_size=16)
        self._encoder = msgspec.msgpack.Encoder()

    def add(self, record: Record) -> None:
        self._hash.update(self._encoder.encode(record))
        self.count += 1
        if self.count % MARK_EVERY == 0:
            self.marks.append(self._hash.hexdigest())
        if self.keep:
            self.records.append(record)

    def note(self, note: Note) -> None:
        """Keeps a record that is no part of the hash. On hot paths test `keep` first."""
        if self.keep:
            self.records.append(note)

    def hexdigest(self) -> str:
        """The hash of everything recorded so far."""
        return self._hash.hexdigest()
