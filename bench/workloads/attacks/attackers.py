"""Connections of attackers, which obey nothing.

Theory of operation
-------------------

Each connection follows a *plan*: what it writes first, and then as fast as the node reads. It
ignores errors and waits, and when the node closes it the attackers open another one at once. Only a
connection that cannot be opened at all is tried again after RETRY_S, so that the loop of the
attackers does not spin.

What the node answers is counted and thrown away, or never read.
"""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from bench.load.peer import dial
from bench.targets.fixtures import token
from bench.workloads.attacks.population import LOG_ENTRIES, LOG_GROUP

RETRY_S: Final = 0.02
BUFFER_BYTES: Final = 262_144
"""Attackers write until this much waits in their own process."""
MOST_WAITED_FOR_BYTES: Final = 64
SMALL_WINDOW_BYTES: Final = 4_096
"""Receive buffer of a connection that never reads."""


def sources(count: int) -> list[str]:
    """`count` addresses that belong to no legitimate user."""
    return [f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(count)]


def resume(user: int, device: int = 1, cursor: int = LOG_ENTRIES) -> bytes:
    """A request to log in; the log of LOG_GROUP is wanted from the cursor on."""
    line = b'{"type":"resume","id":1,"token":"%b","cursors":{"%d":%d}}\n'
    return line % (token(user, device).encode(), LOG_GROUP, cursor)


LOGGED_IN: Final = b'"type":"logged_in"'


class Plan(NamedTuple):
    """What one connection does."""

    source: str
    """The address that it comes from."""
    opening: bytes = b""
    """Written when it is connected."""
    chunks: Iterator[bytes] | None = None
    """Written after the opening, as fast as the node reads or one each `pace_s`."""
    waits_for: bytes = b""
    """Bytes that the node must send before the chunks begin."""
    pace_s: float = 0.0
    reads: bool = True
    leaves: bool = False
    """Whether it closes when `waits_for` has come, or at once, and connects again."""


class Attackers:
    """All connections of one attack, and what became of them."""

    def __init__(self, port: int) -> None:
        self.counts: Counter[str] = Counter()
        """By what happened: connections opened, failed to open, closed; bytes written; lines
        received, and errors among them."""
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, plan: Plan) -> None:
        """Opens a connection that follows the plan, and again each time that it ends."""
        task = asyncio.ensure_future(self._connect(plan))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection = await dial(self._port, plan.source)
                if not plan.reads:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
                await loop.create_connection(lambda: _Attacker(self, plan), sock=connection)
            except OSError:
                self.counts["failed"] += 1
                await asyncio.sleep(RETRY_S)
            else:
                self.counts["opened"] += 1
                return


class _Attacker(asyncio.Protocol):
    """One connection."""

    def __init__(self, attackers: Attackers, plan: Plan) -> None:
        self._attackers = attackers
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._started = False
        self._full = False
        self._ended = False
        self._tail = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if not self._plan.reads:
            self._transport.pause_reading()
        if self._plan.opening:
            self._transport.write(self._plan.opening)
        if not self._plan.waits_for:
            self._start()

    def data_received(self, data: bytes) -> None:
        counts = self._attackers.counts
        counts["lines received"] += data.count(b"\n")
        counts["errors"] += data.count(b'"type":"error"')
        if not self._started:
            # What is waited for may come in two pieces.
            self._tail = (self._tail + data)[-MOST_WAITED_FOR_BYTES - len(data) :]
            if self._plan.waits_for in self._tail:
                self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._attackers.counts["closed"] += 1
        self._attackers.open(self._plan)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._write()

    def _start(self) -> None:
        self._started = True
        if self._plan.leaves:
            self._transport.close()
        else:
            self._write()

    def _write(self) -> None:
        if self._full or self._ended or self._plan.chunks is None:
            return
        chunk = next(self._plan.chunks)
        self._attackers.counts["bytes written"] += len(chunk)
        self._transport.write(chunk)
        if self._plan.pace_s:
            self._loop.call_later(self._plan.pace_s, self._write)
        else:
            self._loop.call_soon(self._write)


def repeat(*lines: bytes, times: int = 1) -> Iterator[bytes]:
    """The lines, `times` times in one chunk, without end."""
    return itertools.repeat(b"".join(lines) * times)
