"""One connection to Redis: commands go out in batches, replies come back in their order.

Theory of operation
-------------------

The connection speaks RESP2 (the Redis serialization protocol, version 2) with hiredis' packer and
reader. Commands of one loop iteration go out in one write. While the socket takes no more, the
rest waits here: no caller is blocked, and a caller that can do without a command asks `backlog`
first.

Replies have the order of the commands. A command of `call` has its replies collected; a command of
`send` has its reply dropped, and logged if it is an error. Once `stream_to` was called the
connection is one of pub/sub, and every reply goes to its receiver instead.

The reader looks for the end of an unfinished line from its beginning, each time that it is asked
for a reply. So pieces are joined until an end of line is among them, as every reply ends with one:
then the work is linear in the bytes, however small the pieces. A reply of more than MAX_REPLY_BYTES
breaks the connection.

The connection is of one use. When it breaks, for whatever reason, `broken` raises that reason,
pending calls raise ConnectionError, and a new connection must be opened.

A silent server is found by PING. One is sent at a check that finds something received since the
check before; `SILENT_CHECKS` checks in a row that find nothing break the connection. Checks are
counted and not time, so a process that was itself suspended does not blame the server. Each PING
has a number that comes back in its place; if another reply does, some reply was lost on the way,
and the connection is broken.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias, cast

from hiredis import HiredisError, Reader, ReplyError, pack_command

from chat.bus.redis_address import RedisAddress

Command: TypeAlias = tuple[str | bytes | int, ...]
Reply: TypeAlias = object
"""bytes, int, None, a list of replies, or a hiredis.ReplyError."""
Receiver: TypeAlias = Callable[[Reply], None]
"""Raises ConnectionError to break the connection."""

CHECK_S: Final = 1.0
"""How often a connection is checked for silence."""
SILENT_CHECKS = 4
COMMANDS_PER_WRITE: Final = 512
MAX_REPLY_BYTES: Final = 64 * 1024 * 1024
"""Far more than any reply that is asked for has."""
MAX_QUOTED: Final = 200
"""This many characters of what Redis sent go into an error or the log."""
CLOSE_S: Final = 1.0
"""How long the end of a connection is waited for."""

_NOT_ENOUGH_DATA: Final = object()
_LINE_END: Final = b"\r\n"
_log = logging.getLogger("chat.redis")


class _PendingReplies:
    """The replies of one call: the future has them once all have come."""

    __slots__ = ("future", "missing", "replies")

    def __init__(self, future: asyncio.Future[list[Reply]], missing: int) -> None:
        self.future = future
        self.missing = missing
        self.replies: list[Reply] = []


class RedisConnection(asyncio.Protocol):
    """See the module. `open_connection` makes one that is logged in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(notEnoughData=_NOT_ENOUGH_DATA)
        self._transport: asyncio.Transport
        self._pieces: list[bytes] = []
        """What came and was not given to the reader."""
        self._unfinished_bytes = 0
        """What came since the last reply was complete."""
        self._out: deque[Command] = deque()
        self._write_paused = False
        self._writing = False
        """A write comes at the end of this loop iteration."""
        self._pending: deque[_PendingReplies | bytes | None] = deque()
        """What becomes of each reply: part of a call's; this one as it stands here; dropped."""
        self._receive: Receiver = self._replied
        self._is_stream = False
        self._silent_checks = 0
        self._pings = 0
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        """Why the connection is broken; None while it is not."""
        self._broken = asyncio.Event()
        self._lost = asyncio.Event()

    # ------------------------------------------------------------------ commands

    @property
    def backlog(self) -> int:
        """Commands that have not been written yet."""
        return len(self._out)

    def send(self, *commands: Command) -> None:
        """Sends commands whose replies are not needed."""
        if self._error is not None:
            return
        if not self._is_stream:
            self._pending.extend([None] * len(commands))
        self._send(commands)

    async def call(self, *commands: Command) -> list[Reply]:
        """Sends commands; their replies, of which some may be a ReplyError. Raises ConnectionError
        if the connection breaks before they have come."""
        if self._error is not None:
            raise ConnectionError("the connection is broken") from self._error
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._pending.extend([_PendingReplies(future, len(commands))] * len(commands))
        self._send(commands)
        return await future

    def stream_to(self, receiver: Receiver) -> None:
        """From now on every reply goes to the receiver. All calls must have been answered."""
        self._receive = receiver
        self._is_stream = True
        self._pending.clear()

    def _send(self, commands: tuple[Command, ...]) -> None:
        self._out.extend(commands)
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._writing = False
        out = self._out
        while out and not self._write_paused:
            batch = [out.popleft() for _ in range(min(len(out), COMMANDS_PER_WRITE))]
            # The library's stub allows tuples of one.
            self._transport.write(b"".join(map(pack_command, batch)))  # type: ignore[arg-type]

    # ------------------------------------------------------------------ the end

    async def broken(self) -> NoReturn:
        """Waits until the connection is broken, and raises why."""
        await self._broken.wait()
        raise cast(Exception, self._error)

    async def close(self) -> None:
        """Ends the connection; what was not written is dropped."""
        self._break(ConnectionError("the connection was closed"))
        try:
            await asyncio.wait_for(self._lost.wait(), CLOSE_S)
        except TimeoutError:
            _log.debug("a connection to Redis did not end in time")

    def _break(self, error: Exception) -> None:
        if self._error is not None:
            return
        self._error = error
        for pending in self._pending:
            if isinstance(pending, _PendingReplies) and not pending.future.done():
                pending.future.set_exception(ConnectionError(f"the connection broke: {error}"))
                # A caller that was cancelled meanwhile does not take it.
                pending.future.exception()
        self._pending.clear()
        self._out.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        self._broken.set()

    # ------------------------------------------------------------------ from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(CHECK_S, self._check)

    def data_received(self, data: bytes) -> None:
        self._silent_checks = 0
        self._unfinished_bytes += len(data)
        data = self._with_line_end(data)
        next_reply = self._reader.gets
        try:
            if data:
                self._reader.feed(data)
                while self._error is None and (reply := next_reply()) is not _NOT_ENOUGH_DATA:
                    self._unfinished_bytes = 0
                    self._receive(reply)
            if self._unfinished_bytes > MAX_REPLY_BYTES:
                raise ConnectionError("Redis sends a reply that does not end")
        except HiredisError as error:
            self._break(ConnectionError(f"Redis sent what is no reply: {error!s:.{MAX_QUOTED}}"))
        except Exception as error:
            self._break(error)

    def _with_line_end(self, data: bytes) -> bytes:
        """What the reader gets now: nothing, or all that it has not got, with an end of line."""
        pieces = self._pieces
        ends = _LINE_END in data or bool(pieces and pieces[-1][-1:] + data[:1] == _LINE_END)
        if pieces or not ends:
            pieces.append(data)
            data = b"".join(pieces) if ends else b""
            if ends:
                pieces.clear()
        return data

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exc or ConnectionError("Redis closed the connection"))
        self._lost.set()

    # ------------------------------------------------------------------ replies

    def _replied(self, reply: Reply) -> None:
        if not self._pending:
            raise ConnectionError(f"Redis sent a reply to no command: {reply!r:.{MAX_QUOTED}}")
        pending = self._pending.popleft()
        if pending is None:
            if isinstance(reply, ReplyError):
                _log.warning("Redis refused a command: %.*s", MAX_QUOTED, reply)
        elif isinstance(pending, bytes):
            if reply != pending:
                raise ConnectionError("replies of Redis are missing")
        else:
            pending.replies.append(reply)
            pending.missing -= 1
            if not pending.missing and not pending.future.done():
                pending.future.set_result(pending.replies)

    def _check(self) -> None:
        """Finds out whether the server is silent."""
        if self._silent_checks == 0:
            self._pings += 1
            number = b"%d" % self._pings
            if not self._is_stream:
                self._pending.append(number)
            self._send((("PING", number),))
        elif self._silent_checks >= SILENT_CHECKS:
            self._break(TimeoutError("Redis does not answer"))
            return
        self._silent_checks += 1
        self._timer = self._loop.call_later(CHECK_S, self._check)


async def open_connection(address: RedisAddress) -> RedisConnection:
    """Connects and logs in. Raises OSError if that fails; the text of a ConnectionError says what
    Redis refused."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, connection = await loop.create_unix_connection(RedisConnection, address.path)
    else:
        context = None if address.tls is None else address.tls.context()
        _, connection = await loop.create_connection(
            RedisConnection, address.host, address.port, ssl=context
        )
    try:
        await _log_in(connection, address)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _log_in(connection: RedisConnection, address: RedisAddress) -> None:
    username, password = address.username, address.password
    if username:
        (reply,) = await connection.call(("AUTH", username, password or ""))
        if isinstance(reply, ReplyError) and "wrong number of arguments" in str(reply):
            # Before Redis 6 there were no user names.
            (reply,) = await connection.call(("AUTH", password or ""))
        check_reply(reply)
    elif password:
        check_reply(*await connection.call(("AUTH", password)))
    if address.client_name:
        check_reply(*await connection.call(("CLIENT", "SETNAME", address.client_name)))
    if address.db:
        check_reply(*await connection.call(("SELECT", address.db)))


def check_reply(reply: Reply) -> None:
    """Raises ConnectionError if the reply is an error."""
    if isinstance(reply, ReplyError):
        raise ConnectionError(str(reply)[:MAX_QUOTED])
