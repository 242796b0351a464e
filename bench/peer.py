"""A connection of the load generator: it makes requests by hand and checks all that comes back.

Theory of operation
-------------------

A load generator that decodes every line costs more than the server it measures. So a chunk of
bytes is looked through by compiled patterns, whole lines at a time, and what they find is compared
with what must come next, as lists of digits. Every line is accounted for: those with a number are
counted, and if a chunk has more lines than that, each of the others is looked at.

Three streams of numbers can be checked on one connection. Each begins somewhere and goes up by one,
without a gap, a repeat or a step back; anything else raises `Wrong` and ends the run:

- `texts`: the number that stands at the beginning of each text, given out by the sender;
- `replies`: the `re` of the replies, given out by the requests;
- `seqs`: the `seq` of the log. On the sender's connection the replies stand in their entries'
  places, so that there as elsewhere it has each seq once.
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
"""As ip(7) has it; Python knows it from 3.12 on."""

_decimals: list[bytes] = []


class Wrong(Exception):
    """The server did what it must not do."""


def digits(start: int, end: int) -> list[bytes]:
    """The numbers from `start` up to `end`, not included, as text."""
    while len(_decimals) < end:
        _decimals.extend(b"%d" % n for n in range(len(_decimals), len(_decimals) + 100_000))
    return _decimals[start:end]


class Stream:
    """Numbers that come one after the other."""

    __slots__ = ("name", "next")

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.next = first

    def take(self, found: list[bytes]) -> None:
        """Wrong if these are not the next ones."""
        end = self.next + len(found)
        if found != digits(self.next, end):
            for offset, number in enumerate(found):
                if int(number) != self.next + offset:
                    raise Wrong(
                        f"{self.name}: after {self.next + offset - 1} came {int(number)}, "
                        f"which is {self._fault(int(number), self.next + offset)}"
                    )
        self.next = end

    def _fault(self, number: int, expected: int) -> str:
        return "a repeat or a step back" if number < expected else f"{number - expected} too far"


class Dialect(Protocol):
    """How a server is spoken to."""

    texts: re.Pattern[bytes]
    replies: re.Pattern[bytes] | None
    seqs: re.Pattern[bytes] | None

    def request(self, target: int, number: int) -> bytes:
        """A text with this number to a conversation or whatever else `target` is."""
        ...

    def other(self, line: bytes) -> bytes | None:
        """What to answer to a line without a number; Wrong if it must not come."""
        ...


class Chat:
    """The protocol of spec/PROTOCOL.md."""

    texts: re.Pattern[bytes] = re.compile(rb'"text":"(\d+) ')
    replies: re.Pattern[bytes] | None = re.compile(rb'"type":"sent","re":(\d+),')
    seqs: re.Pattern[bytes] | None = re.compile(rb'"seq":(\d+),')

    def __init__(self, kind: str, keys: str) -> None:
        """`kind` is chat or group_chat; keys begin with `keys`, which is the sender's own."""
        to = "to" if kind == "chat" else "group"
        self._request = (
            f'{{"type":"{kind}","id":%d,"{to}":%d,"text":"%b","key":"{keys}%d"}}\n'
        ).encode()

    def request(self, target: int, number: int) -> bytes:
        return self._request % (number, target, text(number), number)

    def other(self, line: bytes) -> bytes | None:
        if line.startswith(b'{"type":"ping"'):
            return b"\n"
        if line.startswith((b'{"type":"presence"', b'{"type":"receipt"')):
            return None
        raise Wrong(f"not expected: {line.decode(errors='replace')}")


def text(number: int) -> bytes:
    """64 bytes that begin with a number."""
    return (b"%d " % number).ljust(TEXT_BYTES, b".")


class Peer(asyncio.Protocol):
    """A socket, first for a handshake line by line, then for numbers that are checked."""

    def __init__(self, dialect: Dialect, name: str = "peer") -> None:
        self.name = name
        self.dialect = dialect
        self.texts = Stream("texts", 0)
        self.replies = Stream("replies", 0)
        self.seqs = Stream("seqs", 1)
        self.call(name)
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
        """Whole lines. Wrong if they are not what must come now."""
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
        """Lines and numbers do not agree: names the line that is at fault."""
        for line in data.splitlines():
            if len(self._find_texts(line)) + self._count_replies(line) != 1:
                self._other(line)
        raise Wrong(f"{self.name}: lines and numbers do not agree: {data[:400]!r}")

    def _count_replies(self, line: bytes) -> int:
        return len(self._find_replies(line)) if self._find_replies is not None else 0

    def _other(self, line: bytes) -> None:
        answer = self.dialect.other(line)
        if answer is not None:
            self._transport.write(answer)

    def call(self, name: str) -> None:
        """What it is called when something is wrong."""
        self.name = name
        for stream, what in ((self.texts, "texts"), (self.replies, "replies"), (self.seqs, "seqs")):
            stream.name = f"{name}, {what}"

    # ------------------------------------------------------------------ the handshake

    async def line(self) -> bytes:
        """The next line of the handshake; Wrong if none comes."""
        assert self._lines is not None
        line = await asyncio.wait_for(self._lines.get(), ANSWER_S)
        if not line:
            raise Wrong(f"{self.name}: the server hung up")
        return line

    async def lines_until(self, part: bytes) -> bytes:
        for _ in range(10_000):
            line = await self.line()
            if part in line:
                return line
        raise Wrong(f"{self.name}: no {part.decode()} came")

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def begin(self) -> None:
        """The handshake is over; from here on all is checked."""
        lines, self._lines = self._lines, None
        assert lines is not None
        left = b""
        while not lines.empty():
            left += lines.get_nowait() + b"\n"
        if left:
            self.check(left)

    # ------------------------------------------------------------------ the end

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self._transport.abort()


async def dial(port: int, source: str | None = None) -> socket.socket:
    """A connection to 127.0.0.1, from that address of this machine. The kernel looks for a free
    port of the address only among those that lead to the same port, and so finds one at once."""
    one = socket.socket()
    one.setblocking(False)
    try:
        if source is not None:
            one.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            one.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
    except BaseException:
        one.close()
        raise
    return one


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
    """A device that takes itself up by its token."""
    peer = await connect(dialect, port, source=source)
    if b'"type":"welcome"' not in (welcome := await peer.line()):
        raise Wrong(f"not welcome: {welcome.decode()}")
    peer.write(f'{{"type":"resume","id":1,"token":"{token}","cursors":{cursors}}}\n'.encode())
    reply = json.loads(await peer.line())
    if reply["type"] != "logged_in":
        raise Wrong(f"no login: {reply}")
    peer.call(str(reply["user"]["name"]))
    return peer
