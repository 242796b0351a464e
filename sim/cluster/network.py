"""Connections between clients and nodes: bytes that take their time, and what can go wrong with
them.

A `Wire` is one connection, two `Pipe`s back to back. A pipe keeps the order of its bytes and
nothing else: they arrive late, in pieces of any size, and while the pipe is *stopped* (a
partition) not at all; a *deaf* pipe swallows them (a half-open connection). What a reader does
not take stays in the writer's buffer, as it does in TCP, and the writer is told when it is full
and when it drained.

A wire ends by `close` from one side, after what that side wrote, or by `reset`, at once and with
whatever was on its way lost; with `break_after`, in the middle of whatever it was. Each side hears
of the end once, unless it is deaf to it.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sim.cluster.world import World

TAKE_EVERY_MS = 50
LINGER_MS = 10_000
"""How long a connection that the node closed may take to send what is buffered."""
BREAK_MS = 2_000
"""How long a connection that is to break in the middle of something waits for it."""
SHRED_BYTES = 120
"""What is longer is not sent byte by byte, which would take too long to simulate."""


class Manners(NamedTuple):
    """How a wire carries what is written: how long that takes, and how likely it is cut into some
    pieces, or into single bytes."""

    latency_ms: tuple[int, int] = (0, 3)
    fragments: float = 0.05
    shreds: float = 0.0


PLAIN = Manners()


class Pipe:
    """One direction of a wire."""

    def __init__(self, world: World, chance: random.Random, manners: Manners) -> None:
        self._world = world
        self._chance = chance
        self.manners = manners
        self._waiting = bytearray()
        self._flying: deque[bytes] = deque()
        self._overdue = 0
        self._last_arrival_ms = 0
        self._taking = False
        self._ended = False
        self._left: int | None = None
        self._broken: Callable[[], None] = lambda: None
        self.arrive: Callable[[bytes], None] = lambda data: None
        self.buffered: Callable[[int], None] = lambda size: None
        self.bytes_per_ms: int | None = None
        """How fast the reader reads; None: as fast as it comes."""
        self.stopped = False
        self.deaf = False

    def write(self, data: bytes) -> None:
        self._waiting += data
        self._move()

    def resume(self) -> None:
        """The pipe is not stopped any more, or its reader reads faster."""
        self.stopped = False
        overdue, self._overdue = self._overdue, 0
        for _ in range(overdue):
            self._world.later(0, self._arrive)
        self._move()

    def end(self) -> bytes:
        """Nothing more arrives; what had not left the writer."""
        self._ended = True
        return bytes(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent off."""
        return not self._waiting

    def flush_ms(self) -> int:
        """How long until all that was written so far has arrived, if nothing stops it."""
        return max(0, self._last_arrival_ms - self._world.now_ms)

    def _move(self) -> None:
        """Sends off what the reader takes now."""
        if self.stopped or self._taking or not self._waiting:
            self.buffered(len(self._waiting))
            return
        if self.bytes_per_ms is None:
            size = len(self._waiting)
        else:
            size = min(len(self._waiting), self.bytes_per_ms * TAKE_EVERY_MS)
            self._taking = True
            self._world.later(TAKE_EVERY_MS, self._take_again)
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        if data and not self.deaf:
            for piece in self._cut(data):
                self._send_off(piece)
        self.buffered(len(self._waiting))

    def _take_again(self) -> None:
        self._taking = False
        self._move()

    def _cut(self, data: bytes) -> list[bytes]:
        chance, manners = self._chance, self.manners
        if len(data) < 2:
            return [data]
        if manners.shreds and len(data) <= SHRED_BYTES and chance.random() < manners.shreds:
            return [data[at : at + 1] for at in range(len(data))]
        if chance.random() >= manners.fragments:
            return [data]
        cuts = sorted({chance.randrange(1, len(data)) for _ in range(chance.randint(1, 3))})
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _send_off(self, piece: bytes) -> None:
        delay_ms = self._chance.randint(*self.manners.latency_ms)
        at_ms = max(self._world.now_ms + delay_ms, self._last_arrival_ms)
        self._last_arrival_ms = at_ms
        self._flying.append(piece)
        self._world.later(at_ms - self._world.now_ms, self._arrive)

    def _arrive(self) -> None:
        """The next piece is due; those that are due while the pipe is stopped come when it
        moves."""
        if self.stopped:
            self._overdue += 1
            return
        piece = self._flying.popleft()
        if self._ended or self.deaf:
            return
        if self._left is None:
            self.arrive(piece)
            return
        piece, self._left = piece[: self._left], max(0, self._left - len(piece))
        if piece:
            self.arrive(piece)
        if not self._left:
            self._broken()

    def break_after(self, count: int, broken: Callable[[], None]) -> None:
        """So many bytes arrive yet, and then `broken` is called."""
        self._left, self._broken = count, broken


class Wire:
    """One connection. `up` is from the client to the node, `down` the other way. `link` is the
    number that a device has for it."""

    def __init__(self, world: World, name: str, manners: Manners = PLAIN, *, link: int = 0) -> None:
        self._world = world
        self._chance = chance = world.chance("network")
        self.name = name
        self.link = link
        self.up = Pipe(world, chance, manners)
        self.down = Pipe(world, chance, manners)
        self.client_lost: Callable[[str], None] = lambda reason: None
        self.node_lost: Callable[[], None] = lambda: None
        self._client_open = True
        self._node_open = True

    @property
    def open(self) -> bool:
        return self._client_open and self._node_open

    def close_by_client(self) -> None:
        """The client is through: the node hears of it after the client's last bytes."""
        if self._client_open:
            self._client_open = False
            self.down.end()
            self._world.later(self.up.flush_ms() + 1, self._lose_node)

    def close_by_node(self) -> None:
        """The node is through: the client hears of it after the node's last bytes, which may take
        as long as the client takes to read them; until then the connection lingers."""
        if self._node_open:
            self._node_open = False
            self._linger(self._world.now_ms + LINGER_MS)

    def _linger(self, until_ms: int) -> None:
        if self.down.idle or self._world.now_ms >= until_ms or not self._client_open:
            delay_ms = self.down.flush_ms() + 1
            self._world.later(delay_ms, self._end_up)
            self._world.later(delay_ms, self._lose_client, "closed")
        else:
            self._world.later(TAKE_EVERY_MS, self._linger, until_ms)

    def _end_up(self) -> None:
        self.up.end()
        self.node_lost()

    def abort_by_node(self) -> None:
        """The node is through, at once; what was on its way is lost. It is told a little later."""
        if self._node_open:
            self._node_open = False
            self.reset()
            self._world.later(self._chance.randint(0, 3), self.node_lost)

    def break_after(self, count: int, *, up: bool) -> None:
        """The connection is gone once so many bytes more have arrived at the node (`up`) or the
        client, in the middle of a line perhaps; or, if they do not come, after a while."""
        (self.up if up else self.down).break_after(count, self.reset)
        self._world.later(BREAK_MS, self._break)

    def _break(self) -> None:
        if self.open:
            self.reset()

    def reset(self, *, client_hears: bool = True, node_hears: bool = True) -> None:
        """The connection is gone, and so is what was on its way. A side that does not hear of it
        has a half-open connection, into which it goes on speaking."""
        self.up.end()
        self.down.end()
        self.up.deaf = self.down.deaf = True
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
