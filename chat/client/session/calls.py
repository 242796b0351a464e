"""Requests and replies on the present connection: lines out, lines in, and who waits for what.

A reply belongs to the request that has its number. Numbers go on from one connection to the next,
so that no reply can be taken for another's.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from chat.client.session.outbox import Item
from chat.client.session.request_queue import Asked
from chat.protocol import messages as wire
from chat.protocol.codec import FrameSplitter

LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024
NOT_THE_PROTOCOL: Final = "the node sent something that is not the protocol"

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(wire.ServerMessage)


class Mark(NamedTuple):
    """A `mark_read`."""

    conversation: int
    seq: int


class Entering(NamedTuple):
    """A way in."""

    request: wire.ResumeRequest | wire.LoginRequest | wire.RegisterRequest


class Leaving(NamedTuple):
    """A `logout`."""


class Ping(NamedTuple):
    pass


Pending = Item | Asked | Mark | Entering | Leaving | Ping


class Nonsense(Exception):
    """The node sent what cannot be understood; the words say what."""


class _Header(msgspec.Struct):
    type: str
    re: object = msgspec.UNSET


_header_decoder: Final = msgspec.json.Decoder(_Header)


class Exchange:
    def __init__(self, reply_ms: int) -> None:
        self._reply_ms = reply_ms
        self._request_id = 0
        self._pending: dict[int, Pending] = {}
        self._answered_at_ms = 0
        self._frames = FrameSplitter()
        self._outgoing: list[bytes] = []

    def __len__(self) -> int:
        """Requests without a reply."""
        return len(self._pending)

    def begin(self) -> None:
        """A new connection."""
        self._frames = FrameSplitter()

    def end(self) -> list[Pending]:
        """The connection is gone; what waited for a reply on it waits in vain."""
        pending = list(self._pending.values())
        self._pending.clear()
        self._outgoing.clear()
        return pending

    # ------------------------------------------------------------------ out

    def expect(self, pending: Pending, now_ms: int) -> int:
        """A number for a request, whose reply is awaited from here on."""
        if not self._pending:
            self._answered_at_ms = now_ms
        self._request_id += 1
        self._pending[self._request_id] = pending
        return self._request_id

    def write(self, request: wire.Request) -> None:
        self._outgoing.append(_encoder.encode(request) + b"\n")

    def mark(self, conversation: int, seq: int, now_ms: int) -> None:
        id = self.expect(Mark(conversation, seq), now_ms)
        self.write(wire.MarkReadRequest(id=id, conversation=conversation, seq=seq))

    def ping(self, now_ms: int) -> None:
        self.write(wire.PingRequest(id=self.expect(Ping(), now_ms)))

    def answer_ping(self) -> None:
        """An empty line: the node hears that somebody is there, and has nothing to answer."""
        self._outgoing.append(b"\n")

    def data(self) -> bytes:
        """What is to be transmitted now; given once."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    # ------------------------------------------------------------------ in

    def take(self, re: int, now_ms: int) -> Pending | None:
        """What waited for this reply."""
        self._answered_at_ms = now_ms
        return self._pending.pop(re, None)

    def messages(self, data: bytes) -> Iterator[wire.ServerMessage]:
        """The messages that are whole now. A push of a kind that this client does not know is left
        out, since newer nodes may have some. Raises Nonsense."""
        frames = self._frames
        frames.feed(data)
        while (line := frames.take(LONGEST_LINE_BYTES)) is not None:
            message = _decode(line)
            if message is not None:
                yield message
        if frames.too_long:
            raise Nonsense("the node sent a line that is too long")

    def overdue_at_ms(self) -> int | None:
        """When to think that no reply will come."""
        return self._answered_at_ms + self._reply_ms if self._pending else None


def _decode(line: bytes) -> wire.ServerMessage | None:
    try:
        message: wire.ServerMessage = _decoder.decode(line)
    except msgspec.ValidationError:
        _look_closer(line)
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Nonsense(NOT_THE_PROTOCOL) from error
    return message


def _look_closer(line: bytes) -> None:
    """A push that is not understood can be left out; an answer is waited for. Raises Nonsense."""
    try:
        header = _header_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Nonsense(NOT_THE_PROTOCOL) from error
    if header.re is not msgspec.UNSET:
        raise Nonsense("the node sent an answer that this client does not understand")
