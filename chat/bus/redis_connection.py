"""One connection to Redis: commands go out in batches, replies come back in their order.

Whatever is sent within one turn of the loop goes out in one write. While the socket takes no more
the rest waits here, so nobody blocks; whoever can do without asks `backlog` first. The wire is
of one use: when it breaks, `run` raises what broke it, everyone who waits for a reply gets
`ConnectionError`, and a new wire is made.

A server that has gone silent is found by PING: one is sent whenever a look finds nothing under
way, and so many looks in a row without a byte break the wire. Looks are counted, not time, so a
process that was itself suspended does not blame the server. Each PING bears a number that comes
back in its place: if another reply does, something was lost on the way and the wire is no good.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from hiredis import pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

Command: TypeAlias = tuple[str | bytes | int, ...]
Reply: TypeAlias = object
Heard: TypeAlias = Callable[[Reply], None]

LOOK_S = 1.0
LOOKS = 4
"""Looks without a byte, after a PING, until the server is taken for gone."""
BATCH = 512
"""Commands in one write."""

_log = logging.getLogger("chat.redis")


def _buffered(connection: AbstractConnection) -> Callable[[bool], Reply] | None:
    """What gives the next reply that the library has read already, or NOT_ENOUGH_DATA; a tenth of
    the cost of asking the library for each of them. None if this library has no such thing inside:
    then it is asked."""
    parser = getattr(connection, "_parser", None)
    gets: Callable[[bool], Reply] | None = getattr(getattr(parser, "_reader", None), "gets", None)
    return gets if isinstance(parser, _AsyncHiredisParser) else None


class _Question:
    """Replies that somebody waits for."""

    __slots__ = ("future", "missing", "replies")

    def __init__(self, future: asyncio.Future[list[Reply]], missing: int) -> None:
        self.future = future
        self.missing = missing
        self.replies: list[Reply] = []


class Wire:
    """Takes commands without blocking. With `heard` every reply goes there: that is how pub/sub is
    listened to. Without, each reply belongs to a command, in order."""

    def __init__(self, connection: AbstractConnection, heard: Heard | None = None) -> None:
        self._connection = connection
        self._heard = heard
        self._out: deque[Command] = deque()
        self._wake = asyncio.Event()
        self._expected: deque[_Question | bytes | None] = deque()
        self._silent = 0
        self._pings = 0
        self._broken = False

    @property
    def backlog(self) -> int:
        """Commands that have not been written yet."""
        return len(self._out)

    def tell(self, *commands: Command) -> None:
        """Sends; an error that comes back is logged."""
        if not self._out:
            self._wake.set()
        self._out.extend(commands)
        if self._heard is None:
            self._expected.extend([None] * len(commands))

    def push(self, command: Command) -> None:
        """`tell` for one command, cheaper."""
        if not self._out:
            self._wake.set()
        self._out.append(command)
        if self._heard is None:
            self._expected.append(None)

    async def ask(self, *commands: Command) -> list[Reply]:
        """Sends; the replies, of which some may be a ResponseError. Raises ConnectionError."""
        if self._broken:
            raise ConnectionError("the connection is gone")
        self.tell(*commands)
        future = asyncio.get_running_loop().create_future()
        question = _Question(future, len(commands))
        for place in range(len(commands)):
            self._expected[-1 - place] = question
        replies: list[Reply] = await future
        return replies

    async def run(self) -> None:
        """Reads, writes and looks until the wire breaks. Raises an ExceptionGroup."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                group.create_task(self._read())
                group.create_task(self._look())
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Nobody waits for a reply any more."""
        self._broken = True
        for question in self._expected:
            if isinstance(question, _Question) and not question.future.done():
                question.future.set_exception(ConnectionError("the connection broke"))
        self._expected.clear()
        self._out.clear()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._out:
                size = min(len(self._out), BATCH)
                batch = [self._out.popleft() for _ in range(size)]
                # The library's stub allows tuples of one.
                packed = b"".join(map(pack_command, batch))  # type: ignore[arg-type]
                await self._connection.send_packed_command(packed, check_health=False)

    async def _read(self) -> None:
        read, take = self._connection.read_response, self._heard or self._replied
        buffered = _buffered(self._connection)
        while True:
            reply: Reply
            try:
                reply = await read(disable_decoding=True, timeout=math.inf)
            except ResponseError as error:
                reply = error
            self._silent = 0
            take(reply)
            if buffered is not None:
                while (reply := buffered(False)) is not NOT_ENOUGH_DATA:
                    if isinstance(reply, ConnectionError):
                        raise reply
                    take(reply)

    def _replied(self, reply: Reply) -> None:
        question = self._expected.popleft()
        if isinstance(question, bytes):
            if reply != question:
                raise ConnectionError("replies are missing")
        elif question is not None:
            question.replies.append(reply)
            question.missing -= 1
            if not question.missing and not question.future.done():
                question.future.set_result(question.replies)
        elif isinstance(reply, ResponseError):
            _log.warning("Redis refused a command: %s", reply)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._silent == 0:
                self._pings += 1
                token = b"%d" % self._pings
                self.push(("PING", token))
                if self._heard is None:
                    self._expected[-1] = token
            elif self._silent >= LOOKS:
                raise TimeoutError("Redis does not answer")
            self._silent += 1
