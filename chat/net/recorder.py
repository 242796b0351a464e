"""Recordings: the events of a node in a file, and their replay.

A recording is a sequence of records: each is its length in four bytes, most significant first, and
then MessagePack. The first record is the node's configuration, every other one [now_ms, event]. A
node of the same version gives the same effects for it, byte for byte. A recording holds everything
that users wrote, passwords too: it is for debugging one's own node, and not to be passed on.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from chat.core.node import Node
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig

_LENGTH_BYTES = 4


class Recorder:
    """Appends each event to a file as it is handled. Raises OSError if it cannot be written."""

    def __init__(self, path: Path, config: NodeConfig) -> None:
        self._file = path.open("wb")
        path.chmod(0o600)
        self._encoder = msgspec.msgpack.Encoder()
        self._write(self._encoder.encode(config))

    def record(self, event: AnyEvent, now_ms: int) -> None:
        self._write(self._encoder.encode((now_ms, event)))

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        self._file.flush()


def replay(path: Path) -> Iterator[tuple[int, AnyEvent, list[AnyEffect]]]:
    """Feeds a recording to a new node; gives time, event and effects, one by one.

    A last record that was cut short by a crash is left out.
    """
    records = _records(path.read_bytes())
    node = Node(msgspec.msgpack.decode(next(records), type=NodeConfig))
    decoder = msgspec.msgpack.Decoder(tuple[int, AnyEvent])
    for record in records:
        now_ms, event = decoder.decode(record)
        yield now_ms, event, node.handle(event, now_ms)


def _records(data: bytes) -> Iterator[bytes]:
    start = 0
    while start + _LENGTH_BYTES <= len(data):
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
        start += _LENGTH_BYTES
        if start + length > len(data):
            return
        yield data[start : start + length]
        start += length
