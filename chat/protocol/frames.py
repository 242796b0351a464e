"""Bytes to lines, for the node's side and the client's.

Theory of operation
-------------------

A frame is one line: a JSON object in UTF-8 that a newline ends. A `FrameSplitter` keeps what has
come and gives out one line at a time, so that a session can leave lines unread while it has to
wait; how the bytes were cut on their way makes no difference to the lines. Blank lines, which have
nothing but carriage returns (telnet sends one), are passed over: they say that the peer is there,
and nothing else.

A piece that comes while nothing is kept is kept as it is, so a line that comes whole is copied
once. A piece that comes behind at most SHORT_BYTES is joined to them, which copies them. Behind
more it is appended to a bytearray, which grows by a part of its size and gives up its beginning
without moving the rest. So the work on a stream is linear in its bytes even if it comes byte by
byte: a piece costs a copy of SHORT_BYTES at most, beyond those each byte is copied a few times, and
each is searched for a newline once.

A line that begins as HTTP or TLS does is told apart from other lines that are no frame: a web page
can have a browser send requests of this protocol in the body of one of HTTP, and so nothing after
such a line may be carried out.
"""

import re
from typing import Final

from chat.protocol.errors import ErrorCode

SHORT_BYTES: Final = 512
"""Up to this many bytes are copied faster than a bytearray is made of them."""

_BRACE: Final = ord("{")
_RETURN: Final = ord("\r")
_LINE_ENDS: Final = re.compile(rb"[\r\n]*+")
_OTHER_PROTOCOL: Final = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) |PRI \* HTTP/|\x16\x03"
)
"""How the first line of HTTP 1, of HTTP 2 and of TLS begins."""


class FrameSplitter:
    """Cuts a stream of bytes into lines.

    `take()` gives the next whole line without its newline, or None if there is none yet; never a
    blank one. A line that is longer than `limit_bytes`, or that is not finished and begins as
    another protocol does, is told by `refused`, as soon as it is certain; after that nothing more
    is given.
    """

    __slots__ = ("_scanned", "_start", "buffer", "refused")

    def __init__(self) -> None:
        self.buffer: bytes | bytearray = b""
        """Empty when every byte has been given out; else it may hold given bytes, too."""
        self._start = 0
        self._scanned = 0
        self.refused: ErrorCode | None = None
        """TOO_LONG or WRONG_PROTOCOL, once a line was refused."""

    def feed(self, data: bytes) -> None:
        if self.refused is not None:
            return
        buffer = self.buffer
        if not buffer:
            self.buffer = data
            return
        start = self._start
        if isinstance(buffer, bytes):
            rest = buffer[start:] if start else buffer
            self.buffer = rest + data if len(rest) <= SHORT_BYTES else bytearray(rest) + data
        else:
            del buffer[:start]
            buffer += data
        if start:
            self._start = 0
            self._scanned -= start

    def take(self, limit_bytes: int) -> bytes | None:
        buffer = self.buffer
        if not buffer:
            return None
        start = self._start
        end = buffer.find(b"\n", self._scanned)
        if end < 0 or end - start > limit_bytes:
            self._look_at_rest(limit_bytes, whole=end >= 0)
            return None
        line = buffer[start:end]
        end += 1
        blank = not line or (line[0] == _RETURN and not line.strip(b"\r"))
        if blank:
            end = self._end_of_blank_lines(start)
        if end == len(buffer):
            self.buffer = b""
            end = 0
        self._start = self._scanned = end
        if blank:
            return self.take(limit_bytes)  # which finds no blank line
        return line if isinstance(line, bytes) else bytes(line)

    def _end_of_blank_lines(self, start: int) -> int:
        run = _LINE_ENDS.match(self.buffer, start)
        assert run is not None
        return self.buffer.rfind(b"\n", start, run.end()) + 1

    def _look_at_rest(self, limit_bytes: int, *, whole: bool) -> None:
        """The next line is not finished, or is whole and too long."""
        start = self._start
        self._scanned = len(self.buffer)
        if self.buffer[start] != _BRACE and begins_other_protocol(self.buffer, start):
            self._refuse(ErrorCode.WRONG_PROTOCOL)
        elif whole or self._scanned - start > limit_bytes:
            self._refuse(ErrorCode.TOO_LONG)

    def _refuse(self, code: ErrorCode) -> None:
        self.refused = code
        self.buffer, self._start, self._scanned = b"", 0, 0

    @property
    def unread(self) -> bytes:
        """A copy of what has not been given out."""
        return bytes(self.buffer[self._start :])

    @property
    def buffered_bytes(self) -> int:
        return len(self.buffer) - self._start


def begins_other_protocol(data: bytes | bytearray, start: int = 0) -> bool:
    """Whether what begins at `start` is HTTP or TLS, as far as its first bytes tell."""
    return _OTHER_PROTOCOL.match(data, start) is not None
