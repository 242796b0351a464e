"""What happened in a run, in order: a hash of all of it, and, if wanted, the records themselves.

Two runs of one seed on one commit have the same hash, in whatever process. The hash of each
thousand records is kept too, so that the place where two runs part can be told.
"""

import hashlib
from functools import partial
from typing import NamedTuple

import msgspec

from chat.client.session import interface as io
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
    effect: io.AnyEffect


class FaultRecord(NamedTuple):
    """A fault struck; `parties` are the lanes it touches, and `until_ms` when it ends by itself.
    The kind `healed` is no fault: from then on everything works again."""

    at_ms: int
    kind: str
    parties: tuple[str, ...]
    until_ms: int


class StartRecord(NamedTuple):
    """A node booted: it gives its tickets anew."""

    at_ms: int
    node: str


class LinkRecord(NamedTuple):
    """The balancer put a client through: `link` is the device's number of the connection, 0 for
    one that is no device, and `connection` the node's."""

    at_ms: int
    node: str
    connection: int
    client: str
    link: int


class HeardRecord(NamedTuple):
    """Bytes reached a device."""

    at_ms: int
    device: str
    link: int
    data: bytes


class SessionView(NamedTuple):
    """A session as it is after an event: up to which seq it was served in each conversation."""

    connection: int
    state: str
    user: int | None
    live: dict[int, int]
    behind: dict[int, int]


class SessionsRecord(NamedTuple):
    """The sessions that the event of the NodeRecord before was about, after it."""

    at_ms: int
    node: str
    sessions: tuple[SessionView, ...]


class StoreRecord(NamedTuple):
    """A transaction: the very operations of a node's queries, and what came of them."""

    at_ms: int
    node: str
    operations: list[StoreOperation]
    outcomes: list[StoreOutcome]


class BusRecord(NamedTuple):
    """The bus passes the very envelope of a node's Publish on to so many others."""

    at_ms: int
    node: str
    channel: str
    envelope: AnyBusMessage
    listeners: int


Record = NodeRecord | DeviceRecord
Note = (
    FaultRecord | StartRecord | LinkRecord | HeardRecord | SessionsRecord | StoreRecord | BusRecord
)
"""What follows from the records and the seed, and is there for the picture alone."""


def sessions_of(node: Node, event: AnyEvent, effects: list[AnyEffect]) -> tuple[SessionView, ...]:
    """The sessions that the event, or what was done about it, has to do with."""
    numbers: dict[int, None] = {}
    for happening in (event, *effects):
        number = getattr(happening, "connection", None)
        if isinstance(number, int):
            numbers[number] = None
    return tuple(view for view in map(partial(_view, node), numbers) if view is not None)


def _view(node: Node, connection: int) -> SessionView | None:
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
        """Kept if records are; no part of the hash. Ask `keep` first where it happens often."""
        if self.keep:
            self.records.append(note)

    def hexdigest(self) -> str:
        """Stands for all that has happened so far."""
        return self._hash.hexdigest()
