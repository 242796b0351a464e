"""A connection of the load generator: it formats requests by hand and checks every line received.

Theory of operation
-------------------

A load generator that decodes every line costs more CPU than the server it measures. Here compiled
patterns extract the numbers of a chunk of whole lines, and the numbers are compared, as text, with
the numbers that must come next. Every line is accounted for: lines with a number are counted, and
if a chunk holds more lines than numbers, each line without a number is checked by itself.

Up to three streams of numbers are checked on one connection. Each starts at a fixed number and goes
up by one, without a gap, a repeat or a step back; a deviation raises `CheckFailed`:

- `texts`: the number at the beginning of each text, assigned by the sender;
- `replies`: the `re` of the replies, assigned by the requests;
- `seqs`: the `seq` of the log. On the sender's connection a `sent` reply takes the place of its
  entry, so every connection sees each seq exactly once.
"""

import asyncio
import json
import re
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

ANSWER_S: Final = 30.0
TEXT_BYTES: Final = 64
IP_BIND_ADDRESS_NO_PORT: Final = 24
"""From ip(7); the socket module has it from Python 3.12 on."""

_decimals: list[bytes] = []


class CheckFailed(Exception):
    """The server sent something wrong, or failed to send something."""


def digits(start: int, end: int) -> list[bytes]:
    """The numbers start … end - 1 as text."""
    while len(_decimals) < end:
        _decimals.extend(b"%d" % n for n in range(len(_decimals), len(_decimals) + 100_000))
    return _decimals[start:end]


class Stream:
    """A stream of consecutive numbers."""

    __slots__ = ("name", "next")

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.next = first

    def take(self, found: list[bytes]) -> None:
        """Raises CheckFailed unless `found` are the next numbers."""
        end = self.next + len(found)
        if found != digits(self.next, end):
            for offset, number in enumerate(found):
                if int(number) != self.next + offset:
                    raise CheckFailed(
                        f"{self.name}: after {self.next + offset - 1} came {int(number)}, "
                        f"which is {self._fault(int(number), self.next + offset)}"
                    )
        self.next = end

    def _fault(self, number: int, expected: int) -> str:
        return "a repeat or a step back" if number < expected else f"{number - expected} too far"


class Dialect(Protocol):
    """The protocol of a server: how a text is sent, and what its lines look like."""

    texts: re.Pattern[bytes]
    replies: re.Pattern[bytes] | None
    seqs: re.Pattern[bytes] | None

    def request(self, recipient: int, number: int) -> bytes:
        """A line that sends text `number`; `recipient` is a user, group or other address."""
        ...

    def other(self, line: bytes) -> bytes | None:
        """The answer, if any, to a line without a number. Raises CheckFailed."""
        ...


class Chat:
    """The protocol of spec/PROTOCOL.md."""

    texts: re.Pattern[bytes] = re.compile(rb'"text":"(\d+) ')
    replies: re.Pattern[bytes] | None = re.compile(rb'"type":"sent","re":(\d+),')
    seqs: re.Pattern[bytes] | None = re.compile(rb'"seq":(\d+),')

    def __init__(self, kind: str, keys: str) -> None:
        """`kind` is chat or group_chat; `keys` is a prefix that is unique to the sender."""
        to = "to" if kind == "chat" else "group"
        self._request = (
            f'{{"type":"{kind}","id":%d,"{to}":%d,"text":"%b","key":"{keys}%d"}}\n'
        ).encode()

    def request(self, recipient: int, number: int) -> bytes:
        return self._request % (number, recipient, text(number), number)

    def other(self, line: bytes) -> bytes | None:
        if line.startswith(b'{"type":"ping"'):
            return b"\n"
        if line.startswith((b'{"type":"presence"', b'{"type":"receipt"')):
            return None
        raise CheckFailed(f"not expected: {line.decode(errors='replace')}")


def text(number: int) -> bytes:
    """TEXT_BYTES bytes that begin with the number."""
    return (b"%d " % number).ljust(TEXT_BYTES, b".")


class Peer(asyncio.Protocol):
    """A connection: first a handshake line by line; after `begin` every line is checked."""

    def __init__(self, dialect: Dialect, name: str = "peer") -> None:
        self.name = name
        self.dialect = dialect
        self.texts = Stream("texts", 0)
        self.replies = Stream("replies", 0)
        self.seqs = Stream("seqs", 1)
        self.rename(name)
        self.on_texts: Callable[[int, int], None] | None = None
        self.on_replies: Callable[[int, int], None] | None = None
        self.failure: Exception | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self._find_texts = dialect.texts.findall
        self._find_replies = dialect.replies.findall if dialect.replies else None
        self._find_seqs = dialect.seqs.findall if dialect.seqs else None
        self._rest = b""
        self._lines: asyncio.Queue[bytes] | None = asyncio.Queue()
        self._transport: asyncio.Transport

    # ------------------------------------------------------------------ from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if self._lines is not None:
            self._lines.put_nowait(b"")

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = data.rfind(b"\n") + 1
        if end != len(data):
            self._rest = data[end:]
            data = data[:end]
        if self._lines is not None:
            for line in data.splitlines():
                self._lines.put_nowait(line)
        elif data and self.failure is None:
            try:
                self.check(data)
            except Exception as failure:
                self.failure = failure
                self._transport.abort()

    def check(self, data: bytes) -> None:
        """Checks whole lines. Raises CheckFailed."""
        texts = self._find_texts(data)
        replies = self._find_replies(data) if self._find_replies is not None else []
        known = len(texts) + len(replies)
        if self._find_seqs is not None:
            seqs = self._find_seqs(data)
            if len(seqs) != known:
                self._each(data)
                return
            self.seqs.take(seqs)
        if data.count(b"\n") != known:
            for line in data.splitlines():
                if not self._find_texts(line) and not self._count_replies(line):
                    self._other(line)
        if replies:
            self.replies.take(replies)
            if self.on_replies is not None:
                self.on_replies(self.replies.next - len(replies), len(replies))
        if texts:
            self.texts.take(texts)
            if self.on_texts is not None:
                self.on_texts(self.texts.next - len(texts), len(texts))

    def _each(self, data: bytes) -> None:
        """Lines and numbers do not agree: raises CheckFailed for the line at fault."""
        for line in data.splitlines():
            if len(self._find_texts(line)) + self._count_replies(line) != 1:
                self._other(line)
        raise CheckFailed(f"{self.name}: lines and numbers do not agree: {data[:400]!r}")

    def _count_replies(self, line: bytes) -> int:
        return len(self._find_replies(line)) if self._find_replies is not None else 0

    def _other(self, line: bytes) -> None:
        answer = self.dialect.other(line)
        if answer is not None:
            self._transport.write(answer)

    def rename(self, name: str) -> None:
        """Sets the name that error messages use."""
        self.name = name
        for stream, what in ((self.texts, "texts"), (self.replies, "replies"), (self.seqs, "seqs")):
            stream.name = f"{name}, {what}"

    # ------------------------------------------------------------------ the handshake

    async def line(self) -> bytes:
        """The next line of the handshake. Raises CheckFailed if the server closes."""
        assert self._lines is not None
        line = await asyncio.wait_for(self._lines.get(), ANSWER_S)
        if not line:
            raise CheckFailed(f"{self.name}: the server closed the connection")
        return line

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def begin(self) -> None:
        """Ends the handshake; every line from here on is checked."""
        lines, self._lines = self._lines, None
        assert lines is not None
        rest = b""
        while not lines.empty():
            rest += lines.get_nowait() + b"\n"
        if rest:
            self.check(rest)

    # ------------------------------------------------------------------ the end

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self._transport.abort()


async def dial(port: int, source: str | None = None) -> socket.socket:
    """A socket connected to 127.0.0.1 from the address `source`.

    With IP_BIND_ADDRESS_NO_PORT the kernel picks the source port at connect, where a port is taken
    only if the whole address pair is, so thousands of connections an address are possible.
    """
    connection = socket.socket()
    connection.setblocking(False)
    try:
        if source is not None:
            connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            connection.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


async def connect(
    dialect: Dialect, port: int, name: str = "peer", source: str | None = None
) -> Peer:
    """A connection to 127.0.0.1."""
    _, peer = await asyncio.get_running_loop().create_connection(
        lambda: Peer(dialect, name), sock=await dial(port, source)
    )
    return peer


async def log_in(
    dialect: Dialect, port: int, token: str, *, cursors: str = "{}", source: str | None = None
) -> Peer:
    """A device that is logged in with `resume`. Raises CheckFailed if the server refuses."""
    peer = await connect(dialect, port, source=source)
    if b'"type":"welcome"' not in (welcome := await peer.line()):
        raise CheckFailed(f"no welcome: {welcome.decode()}")
    peer.write(f'{{"type":"resume","id":1,"token":"{token}","cursors":{cursors}}}\n'.encode())
    reply = json.loads(await peer.line())
    if reply["type"] != "logged_in":
        raise CheckFailed(f"no login: {reply}")
    peer.rename(str(reply["user"]["name"]))
    return peer
