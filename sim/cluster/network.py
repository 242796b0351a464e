"""Connections between clients and nodes: bytes that take time, and the faults on their way.

A `SimConnection` is one TCP connection: two `Pipe`s, one in each direction. A pipe keeps the order
of its bytes and nothing else: they arrive late and in pieces of any size. A *stopped* pipe (a
partition) delivers nothing until it is resumed; a *black hole* (a half-open connection) discards
what is written. Bytes that the reader does not take stay in the writer's buffer, as in TCP, and the
writer is told the size of that buffer whenever it changes.

A connection ends by `close` from one side, after the bytes that this side wrote; by `reset`, at
once, with the loss of all that was on its way; or by `break_after` a number of bytes, perhaps in
the middle of a line. Each side hears of the end once, unless its connection is half-open.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sim.cluster.world import World

ADVERSARY = "stranger"
"""The name of the adversary's connections, as in stories; other names are those of devices."""
IN_OTHER_PROTOCOL_ID = 1_000_001
"""The id of requests that the adversary sends inside another protocol, and of no other ones."""
READ_EVERY_MS = 50
LINGER_MS = 10_000
"""How long a connection that the node closed may take to send its buffer."""
BREAK_MS = 2_000
"""How long `break_after` waits for the bytes before it breaks the connection anyway."""
ONE_BYTE_LIMIT_BYTES = 120
"""Longer writes are not sent byte by byte: that would take too long to simulate."""


class NetworkConditions(NamedTuple):
    """How a connection carries bytes: the latency, and the probabilities that a write is cut into
    a few pieces, or into single bytes."""

    latency_ms: tuple[int, int] = (0, 3)
    fragmented: float = 0.05
    one_byte: float = 0.0


NORMAL_CONDITIONS = NetworkConditions()


class Pipe:
    """One direction of a connection."""

    def __init__(self, world: World, rng: random.Random, conditions: NetworkConditions) -> None:
        self._world = world
        self._rng = rng
        self.conditions = conditions
        self._unsent = bytearray()
        self._in_flight: deque[bytes] = deque()
        self._held_back = 0
        self._last_arrival_ms = 0
        self._reading = False
        self.ended = False
        self._bytes_left: int | None = None
        self._broken: Callable[[], None] = lambda: None
        self.arrive: Callable[[bytes], None] = lambda data: None
        self.buffered: Callable[[int], None] = lambda size: None
        self.bytes_per_ms: int | None = None
        """How fast the reader reads; None: without a limit."""
        self.stopped = False
        """It delivers nothing until `resume`."""
        self.black_hole = False
        """It discards all bytes."""

    def write(self, data: bytes) -> None:
        self._unsent += data
        self._move()

    def resume(self) -> None:
        """The pipe delivers again, or its reader reads faster."""
        self.stopped = False
        held_back, self._held_back = self._held_back, 0
        for _ in range(held_back):
            self._world.later(0, self._arrive)
        self._move()

    def end(self) -> bytes:
        """Nothing more arrives. Returns the bytes that had not left the writer."""
        self.ended = True
        return bytes(self._unsent)

    @property
    def idle(self) -> bool:
        """The writer's buffer is empty."""
        return not self._unsent

    @property
    def flushed(self) -> bool:
        """All that was written has arrived."""
        return not (self._unsent or self._in_flight)

    def flush_ms(self) -> int:
        """How long until all bytes in flight have arrived, unless the pipe is stopped."""
        return max(0, self._last_arrival_ms - self._world.now_ms)

    def _move(self) -> None:
        """Sends the bytes that the reader takes now."""
        if self.stopped or self._reading or not self._unsent:
            self.buffered(len(self._unsent))
            return
        if self.bytes_per_ms is None:
            size = len(self._unsent)
        else:
            size = min(len(self._unsent), self.bytes_per_ms * READ_EVERY_MS)
            self._reading = True
            self._world.later(READ_EVERY_MS, self._read_again)
        data = bytes(self._unsent[:size])
        del self._unsent[:size]
        if data and not self.black_hole:
            for piece in self._cut(data):
                self._send(piece)
        self.buffered(len(self._unsent))

    def _read_again(self) -> None:
        self._reading = False
        self._move()

    def _cut(self, data: bytes) -> list[bytes]:
        rng, conditions = self._rng, self.conditions
        if len(data) < 2:
            return [data]
        if (
            conditions.one_byte
            and len(data) <= ONE_BYTE_LIMIT_BYTES
            and rng.random() < conditions.one_byte
        ):
            return [data[at : at + 1] for at in range(len(data))]
        if rng.random() >= conditions.fragmented:
            return [data]
        cuts = sorted({rng.randrange(1, len(data)) for _ in range(rng.randint(1, 3))})
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _send(self, piece: bytes) -> None:
        delay_ms = self._rng.randint(*self.conditions.latency_ms)
        at_ms = max(self._world.now_ms + delay_ms, self._last_arrival_ms)
        self._last_arrival_ms = at_ms
        self._in_flight.append(piece)
        self._world.later(at_ms - self._world.now_ms, self._arrive)

    def _arrive(self) -> None:
        """The next piece is due; pieces that are due while the pipe is stopped come on `resume`."""
        if self.stopped:
            self._held_back += 1
            return
        piece = self._in_flight.popleft()
        if self.ended or self.black_hole:
            return
        if self._bytes_left is None:
            self.arrive(piece)
            return
        piece, self._bytes_left = piece[: self._bytes_left], max(0, self._bytes_left - len(piece))
        if piece:
            self.arrive(piece)
        if not self._bytes_left:
            self._broken()

    def break_after(self, count: int, broken: Callable[[], None]) -> None:
        """Delivers `count` more bytes, and then calls `broken`."""
        self._bytes_left, self._broken = count, broken


class SimConnection:
    """One connection. `up` leads from the client to the node, `down` the other way.

    `name` is the client's; `client_number` is a device's own number of the connection, 0 for the
    adversary.
    """

    def __init__(
        self,
        world: World,
        name: str,
        conditions: NetworkConditions = NORMAL_CONDITIONS,
        *,
        client_number: int = 0,
    ) -> None:
        self._world = world
        self._rng = rng = world.random_stream("network")
        self.name = name
        self.client_number = client_number
        self.up = Pipe(world, rng, conditions)
        self.down = Pipe(world, rng, conditions)
        self.client_lost: Callable[[str], None] = lambda reason: None
        self.input_ended: Callable[[], None] = lambda: None
        self.node_lost: Callable[[], None] = lambda: None
        self._client_open = True
        self._node_open = True

    @property
    def open(self) -> bool:
        return self._client_open and self._node_open

    def half_close_by_client(self) -> None:
        """The client shuts its side down: the node is told after the client's last bytes, and may
        go on writing. The client must not write any more."""
        self._world.later(self.up.flush_ms() + 1, self._end_input)

    def _end_input(self) -> None:
        if self.up.ended:
            return
        if self.up.flushed:
            self.input_ended()
        else:
            self._world.later(READ_EVERY_MS, self._end_input)

    def close_by_client(self) -> None:
        """The client closes; the node hears of it after the client's last bytes."""
        if self._client_open:
            self._client_open = False
            self.down.end()
            self._world.later(self.up.flush_ms() + 1, self._lose_node)

    def close_by_node(self) -> None:
        """The node closes; the client hears of it after the node's last bytes. Until the client has
        read them, or LINGER_MS have passed, the connection lingers."""
        if self._node_open:
            self._node_open = False
            self._linger(self._world.now_ms + LINGER_MS)

    def _linger(self, until_ms: int) -> None:
        if self.down.idle or self._world.now_ms >= until_ms or not self._client_open:
            delay_ms = self.down.flush_ms() + 1
            self._world.later(delay_ms, self._end_up)
            self._world.later(delay_ms, self._lose_client, "closed")
        else:
            self._world.later(READ_EVERY_MS, self._linger, until_ms)

    def _end_up(self) -> None:
        self.up.end()
        self.node_lost()

    def abort_by_node(self) -> None:
        """The node closes at once; bytes in flight are lost. It is told a little later."""
        if self._node_open:
            self._node_open = False
            self.reset()
            self._world.later(self._rng.randint(0, 3), self.node_lost)

    def break_after(self, count: int, *, up: bool) -> None:
        """Resets the connection once `count` more bytes have arrived at the node (`up`) or the
        client, perhaps in the middle of a line; or after BREAK_MS, if they do not come."""
        (self.up if up else self.down).break_after(count, self.reset)
        self._world.later(BREAK_MS, self._break)

    def _break(self) -> None:
        if self.open:
            self.reset()

    def reset(self, *, client_hears: bool = True, node_hears: bool = True) -> None:
        """Ends the connection; bytes in flight are lost. A side that does not hear of it has a
        half-open connection and goes on writing to it."""
        self.up.end()
        self.down.end()
        self.up.black_hole = self.down.black_hole = True
        if client_hears:
            self._lose_client("reset")
        if node_hears:
            self._lose_node()

    def _lose_client(self, reason: str) -> None:
        if self._client_open:
            self._client_open = False
            self.down.end()
            self._world.later(0, self.client_lost, reason)

    def _lose_node(self) -> None:
        if self._node_open:
            self._node_open = False
            self.up.end()
            self._world.later(0, self.node_lost)
