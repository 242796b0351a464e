"""Write coalescing: the effects of one loop iteration become one write for each connection.

Theory of operation
-------------------

A write to a socket costs far more than the bytes in it, and one event may bring about many effects
for the same connection. So `Send` and `Deliver` are buffered, and a *flush*, which the caller runs
in the next iteration of its loop, says what to write: one piece for each connection.

- A **shared write** is a Deliver to `shared_from` connections or more. It is buffered once for all
  of them, and so is the next Deliver to the same tuple of connections. As soon as something else
  follows for one of them, it is split: its data is buffered for each connection by itself.
- A **large fan-out** is a Deliver to `large_from` connections or more. It is written in parts of
  `large_per_flush` connections (chat/core/delivery/large_fan_out.py). What follows for a connection
  that waits for its part is buffered behind it.

The caller calls `send`, `deliver` and `close` with the effects in their order, and `drop` for a
connection that was lost. Whenever `flush_due` is true it calls `flush` in the next iteration of its
loop and writes all that this returns. If the result has a `pause_ms`, the caller calls `end_pause`
after that time and looks at `flush_due` again. A write may report a full buffer at once; the caller
feeds that event after the whole flush is written.

There is no clock here and no socket: the driver (chat/net/driver.py) and the simulated host
(sim/cluster/host.py) run the same class.

Invariants
----------

- The bytes written to a connection are the bytes of its effects, in the order of the effects.
- A connection is in at most one of `_buffered` and `_large`; the data of `_shared` comes after what
  is there. `_pieces` and `_large_pieces` have the connections of these two with several pieces.
- The work of a flush is bounded: it writes to the connections of at most one shared write (fewer
  than `large_from`), to `large_per_flush` of those that wait, and to those that were sent something
  else meanwhile.
"""

from itertools import repeat

from msgspec import Struct

from chat.core.delivery.large_fan_out import LargeFanOut
from chat.core.ports.effects import Close, Deliver, Send


class Flush(Struct, frozen=True, gc=False):
    """What to write now. No connection is in both `writes` and `shared`."""

    writes: dict[int, bytes]
    """The data by connection."""
    shared: tuple[int, ...]
    """Connections that all get `shared_data`."""
    shared_data: bytes
    pause_ms: int | None
    """If set, `end_pause` must be called after that time."""


class WriteCoalescer:
    """Buffers what a node sends until it is flushed; the module says how it is to be called."""

    def __init__(
        self,
        *,
        shared_from: int = 8,
        large_from: int = 500,
        large_per_flush: int = 32,
        large_pause_ms: int = 1,
    ) -> None:
        self._shared_from = shared_from
        self._large_from = large_from
        self.flush_due = False
        """Whether there may be something to write."""
        self._buffered: dict[int, bytes] = {}
        """The first piece by connection, for the next flush."""
        self._pieces: dict[int, list[bytes]] = {}
        """All pieces by connection, the first included. A list for every connection would make the
        garbage collector run in a fan-out to thousands."""
        self._large: dict[int, bytes] = {}
        """The first piece by connection, for those that wait in `_parts`."""
        self._large_pieces: dict[int, list[bytes]] = {}
        self._parts = LargeFanOut(per_flush=large_per_flush, pause_ms=large_pause_ms)
        """A connection in a part that is not in `_large` any more is passed over."""
        self._shared: list[bytes] = []
        """The pieces of the shared write; empty if there is none."""
        self._shared_connections: tuple[int, ...] = ()
        self._shared_set: frozenset[int] = frozenset()

    # ------------------------------------------------------------------ effects

    def send(self, effect: Send) -> None:
        """Buffers the data for its connection."""
        connection, buffered = effect.connection, self._buffered
        if self._shared and connection in self._shared_set:
            self._split_shared()
        if connection in buffered:
            if connection in self._pieces:
                self._pieces[connection].append(effect.data)
            else:
                self._pieces[connection] = [buffered[connection], effect.data]
        elif self._large and connection in self._large:
            self._append(connection, effect.data)
        else:
            buffered[connection] = effect.data
            self.flush_due = True

    def deliver(self, effect: Deliver) -> None:
        """Buffers the data for each of its connections."""
        connections = effect.connections
        if self._shared:
            if connections is self._shared_connections:
                self._shared.append(effect.data)
                return
            self._split_shared()
        if self._shared_from <= len(connections) < self._large_from:
            self._shared.append(effect.data)
            if connections is not self._shared_connections:
                self._shared_connections = connections
                self._shared_set = frozenset(connections)
        else:
            self._buffer(connections, effect.data)
        self.flush_due = True

    def close(self, effect: Close) -> bytes:
        """Takes what must be written before the connection is closed: nothing if it is aborted,
        which drops what is buffered."""
        if self._shared and effect.connection in self._shared_set:
            self._split_shared()
        data = self._take(effect.connection)
        return b"" if effect.abort else data

    def drop(self, connection: int) -> None:
        """Forgets what is buffered for the connection, which was lost."""
        self._take(connection)

    def holds(self, connection: int) -> bool:
        """Whether anything is buffered for the connection."""
        return (
            connection in self._buffered
            or connection in self._large
            or (bool(self._shared) and connection in self._shared_set)
        )

    # ------------------------------------------------------------------ flush

    def flush(self, unanswered_jobs: int) -> Flush:
        """Takes what is to be written now. `unanswered_jobs` is the number of queries that the
        store and the password hasher have not answered yet."""
        self.flush_due = False
        shared: tuple[int, ...] = ()
        shared_data = b""
        pause_ms = None
        if self._parts.is_due:
            shared, shared_data = self._take_large()
            pause_ms = self._parts.pause(unanswered_jobs)
            self.flush_due = pause_ms is None and bool(self._parts)
        if self._shared:
            self._buffered.update(dict.fromkeys(shared, shared_data))
            shared, shared_data = self._take_shared()
        writes, self._buffered = self._buffered, {}
        if self._pieces:
            for connection, pieces in self._pieces.items():
                writes[connection] = b"".join(pieces)
            self._pieces = {}
        return Flush(writes, shared, shared_data, pause_ms)

    def end_pause(self) -> None:
        """The time that `flush` returned as `pause_ms` is over."""
        self._parts.end_pause()
        self.flush_due = True

    # ------------------------------------------------------------------ buffers

    def _buffer(self, connections: tuple[int, ...], data: bytes) -> None:
        """Buffers the data for each of the connections by itself."""
        count, buffered, large = len(connections), self._buffered, self._large
        if count < self._shared_from:
            for connection in connections:
                if connection in buffered or connection in large:
                    self._append(connection, data)
                else:
                    buffered[connection] = data
            return
        fresh = connections
        if not (
            buffered.keys().isdisjoint(fresh) and (not large or large.keys().isdisjoint(fresh))
        ):
            fresh = tuple([one for one in fresh if one not in buffered and one not in large])
            for connection in set(connections).difference(fresh):
                self._append(connection, data)
        if count < self._large_from:
            buffered.update(dict.fromkeys(fresh, data))
        else:
            large.update(dict.fromkeys(fresh, data))
            self._parts.add(fresh)

    def _append(self, connection: int, data: bytes) -> None:
        """Buffers one more piece for a connection that has one."""
        is_large = connection in self._large
        first, pieces = (
            (self._large, self._large_pieces) if is_large else (self._buffered, self._pieces)
        )
        if connection in pieces:
            pieces[connection].append(data)
        else:
            pieces[connection] = [first[connection], data]

    def _split_shared(self) -> None:
        """Buffers the shared write for each of its connections by itself."""
        pieces, self._shared = self._shared, []
        self._buffer(self._shared_connections, b"".join(pieces))

    def _take_large(self) -> tuple[tuple[int, ...], bytes]:
        """The next part. If it is the same data for all of it, as it nearly always is,
        it is returned as a shared write; else it is moved to `_buffered`."""
        part = self._parts.take()
        # At the speed of C: there may be thousands of connections to go.
        first_pieces = list(map(self._large.pop, part, repeat(None)))
        data = first_pieces[0]
        if data is not None and not self._large_pieces and first_pieces.count(data) == len(part):
            return part, data
        for connection, first in zip(part, first_pieces, strict=True):
            if first is not None:
                self._buffered[connection] = first
                if connection in self._large_pieces:
                    self._pieces[connection] = self._large_pieces.pop(connection)
        return (), b""

    def _take_shared(self) -> tuple[tuple[int, ...], bytes]:
        """The shared write and its connections. What is buffered for one of them must be written
        first: that connection gets both as a write of its own."""
        pieces, self._shared = self._shared, []
        connections, data = self._shared_connections, b"".join(pieces)
        buffered = self._buffered
        if self._large:
            for connection in self._large.keys() & self._shared_set:
                buffered[connection] = self._take(connection)
        own = buffered.keys() & self._shared_set
        if not own:
            return connections, data
        for connection in own:
            if connection in self._pieces:
                self._pieces[connection].append(data)
            else:
                buffered[connection] += data
        if len(own) == len(connections):
            return (), b""
        return tuple([one for one in connections if one not in own]), data

    def _take(self, connection: int) -> bytes:
        """Removes what is buffered for the connection alone."""
        pieces = self._pieces.pop(connection, None) or self._large_pieces.pop(connection, None)
        first = self._buffered.pop(connection, b"") or self._large.pop(connection, b"")
        return first if pieces is None else b"".join(pieces)
