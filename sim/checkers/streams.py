"""Streams: what each node writes to each connection, frame by frame.

A client hides faults of its node: it skips entries that it has, and reconnects where one is
missing. So an entry that is sent twice or left out does not show in what the devices apply; it
shows here.

- A connection gets each entry of a conversation once, in order, without a gap.
- A request has one reply, and one inside of another protocol (HTTP, say) has none.
- A connection whose buffer is full gets no entries.
- A connection is cut off, with the loss of its buffer, only if its peer reads nothing, is silent,
  or shut its side down `finish_ms` ago.
"""

import msgspec

from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from sim.checkers import Violation
from sim.cluster.host import Host
from sim.cluster.network import ADVERSARY, IN_OTHER_PROTOCOL_ID, SimConnection


class _Id(msgspec.Struct):
    id: int


class _Friend(msgspec.Struct):
    conversation: int


class _Frame(msgspec.Struct):
    """The fields of a frame that are checked."""

    type: str
    re: int | None = None
    conversation: int | None = None
    seq: int | None = None
    group: int | _Id | None = None
    friend: _Friend | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class _Stream:
    """One connection: the last entry of each conversation, and the requests answered so far."""

    __slots__ = ("answered", "full", "heard_ms", "input_ended_ms", "last", "progress_ms")

    def __init__(self, now_ms: int) -> None:
        self.last: dict[int, int] = {}
        self.answered: set[int] = set()
        self.full = False
        self.heard_ms = now_ms
        """When bytes last arrived, by the clock of the machine."""
        self.input_ended_ms: int | None = None
        """When the peer shut its side down."""
        self.progress_ms = now_ms
        """When the buffer last became full or shrank."""


_BUS = (ev.BusUp, ev.BusDown)
_BUFFER = (ev.WriteBufferFull, ev.WriteBufferDrained)


def _clock(host: Host) -> int:
    return host.world.now_ms + host.ahead_ms


class Streams:
    """Checks the events and effects of every node."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._streams: dict[SimConnection, _Stream] = {}
        self.bus: dict[str, tuple[bool, int]] = {}
        """By node: whether the last event of its bus was BusUp, and when it came."""

    def check(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        if isinstance(event, _BUS):
            self.bus[host.name] = isinstance(event, ev.BusUp), host.world.now_ms
        elif isinstance(event, _BUFFER):
            self._buffer(host, event)
        elif isinstance(event, ev.BytesReceived):
            stream = self._stream(host, event.connection)
            if stream is not None:
                stream.heard_ms = _clock(host)
        elif isinstance(event, ev.EndOfInput):
            stream = self._stream(host, event.connection)
            if stream is not None:
                stream.input_ended_ms = _clock(host)
        for effect in effects:
            if isinstance(effect, fx.Send):
                self._written(host, effect.data, (effect.connection,))
            elif isinstance(effect, fx.Deliver):
                self._written(host, effect.data, effect.connections)
            elif isinstance(effect, fx.Close) and effect.abort:
                self._cut_off(host, effect.connection)

    def _stream(self, host: Host, connection: int) -> _Stream | None:
        conn = host.connections.get(connection)
        if conn is None:
            return None
        stream = self._streams.get(conn)
        if stream is None:
            stream = self._streams[conn] = _Stream(_clock(host))
        return stream

    def _buffer(self, host: Host, event: ev.WriteBufferFull | ev.WriteBufferDrained) -> None:
        stream = self._stream(host, event.connection)
        if stream is None:
            return
        stream.progress_ms = _clock(host)
        if isinstance(event, ev.WriteBufferFull):
            stream.full = True
        elif event.buffered_bytes <= self._config.write_buffer_bytes // 4:
            stream.full = False

    def _cut_off(self, host: Host, connection: int) -> None:
        stream = self._stream(host, connection)
        if stream is None:
            return
        now_ms = _clock(host)
        stalled = stream.full and now_ms - stream.progress_ms >= self._config.stall_ms
        ended_ms = stream.input_ended_ms
        ended = ended_ms is not None and now_ms - ended_ms >= self._config.finish_ms
        silent = now_ms - stream.heard_ms >= self._config.dead_ms
        if not (stalled or ended or silent):
            raise Violation(
                "a live connection is not cut off",
                f"connection {connection} of {host.name}",
            )

    def _written(self, host: Host, data: bytes, connections: tuple[int, ...]) -> None:
        frames = [_decode(line) for line in data.splitlines()]
        for connection in connections:
            stream = self._stream(host, connection)
            if stream is None:
                continue
            for frame in frames:
                if frame.type == "message":
                    self._entry(host, connection, stream, frame)
                elif frame.re is not None:
                    self._reply(host, connection, stream, frame)
                elif frame.friend is not None:
                    stream.last.pop(frame.friend.conversation, None)
                elif isinstance(frame.group, _Id):
                    stream.last.pop(frame.group.id, None)
                elif frame.group is not None:
                    stream.last.pop(frame.group, None)

    def _entry(self, host: Host, connection: int, stream: _Stream, frame: _Frame) -> None:
        assert frame.conversation is not None and frame.seq is not None
        last = stream.last.get(frame.conversation)
        place = f"{frame.conversation}/{frame.seq} to connection {connection} of {host.name}"
        if last is not None and frame.seq != last + 1:
            raise Violation("a connection gets each entry once, in order", f"{place}, after {last}")
        if stream.full:
            raise Violation("a full buffer gets no entries", place)
        stream.last[frame.conversation] = frame.seq

    def _reply(self, host: Host, connection: int, stream: _Stream, frame: _Frame) -> None:
        assert frame.re is not None
        if frame.re in stream.answered and host.connections[connection].name != ADVERSARY:
            raise Violation(
                "a request has one reply",
                f"{frame.type} to request {frame.re} on connection {connection} of {host.name}",
            )
        if frame.re == IN_OTHER_PROTOCOL_ID:
            raise Violation(
                "nothing inside of another protocol is carried out",
                f"{frame.type} on connection {connection} of {host.name}",
            )
        stream.answered.add(frame.re)
        if frame.type == "logged_in":
            stream.last.clear()
        if frame.type == "sent":
            # It takes its entry's place in the stream, unless the stream is past that.
            assert frame.conversation is not None and frame.seq is not None
            if stream.last.get(frame.conversation) == frame.seq - 1:
                stream.last[frame.conversation] = frame.seq
