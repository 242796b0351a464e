"""What happened in a run, in order: a hash of all of it, and, if wanted, the records themselves.

Two runs of one seed on one commit have the same hash, in whatever process. The hash of each
thousand records is kept too, so that the place where two runs part can be told.
"""

import hashlib
from typing import NamedTuple

import msgspec

from chat.client import interface as io
from chat.core.effects import AnyEffect
from chat.core.events import AnyEvent

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
    """A fault struck; `parties` are the lanes it touches, and `until_ms` when it ends by itself."""

    at_ms: int
    kind: str
    parties: tuple[str, ...]
    until_ms: int


Record = NodeRecord | DeviceRecord | FaultRecord


class Trace:
    """`records` is filled only if `keep` is set."""

    def __init__(self, *, keep: bool = False) -> None:
        self.records: list[Record] = []
        self.count = 0
        self.marks: list[str] = []
        self._keep = keep
        self._hash = hashlib.blake2b(digest_size=16)
        self._encoder = msgspec.msgpack.Encoder()

    def add(self, record: Record) -> None:
        self._hash.update(self._encoder.encode(record))
        self.count += 1
        if self.count % MARK_EVERY == 0:
            self.marks.append(self._hash.hexdigest())
        if self._keep:
            self.records.append(record)

    def hexdigest(self) -> str:
        """Stands for all that has happened so far."""
        return self._hash.hexdigest()
