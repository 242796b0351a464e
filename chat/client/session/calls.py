"""Requests and replies on the present connection: lines out, lines in, and which request a reply
belongs to.

A reply belongs to the request whose id it carries as `re`. Ids go on from one connection to the
next, so a reply is never taken for that of a request on an earlier connection.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from chat.client.session.outbox import PendingSend
from chat.client.session.ports.requests import QueuedReply
from chat.client.session.request_queue import PendingRequest
from chat.protocol.codec import (
    NOT_THE_PROTOCOL,
    BadMessage,
    decode_server_message,
    encode_request,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.frames import FrameSplitter
from chat.protocol.messages import (
    LoggedInReply,
    PongReply,
    RegisteredReply,
    Request,
    SentReply,
    ServerMessage,
)

MAX_LINE_BYTES: Final = 16 * 1024 * 1024

Call = PendingSend | PendingRequest | Request
"""A request that waits for its reply: the item of the outbox or of the request queue that it was
made of, or else the request itself."""

Reply = QueuedReply | RegisteredReply | LoggedInReply | SentReply | PongReply
"""Every reply but `error`."""


class Calls:
    """The requests and replies of one connection after the other."""

    def __init__(self) -> None:
        self._last_id = 0
        self._calls: dict[int, Call] = {}
        self._answered_at_ms = 0
        self._frames = FrameSplitter()
        self._output: list[bytes] = []

    def __len__(self) -> int:
        """Requests that wait for a reply."""
        return len(self._calls)

    @property
    def awaited_since_ms(self) -> int | None:
        """Since when replies are awaited and none has come; None if none is awaited."""
        return self._answered_at_ms if self._calls else None

    def connection_opened(self) -> None:
        self._frames = FrameSplitter()

    def connection_lost(self) -> list[Call]:
        """Gives back the requests whose reply will not come."""
        calls = list(self._calls.values())
        self._calls.clear()
        self._output.clear()
        return calls

    # ------------------------------------------------------------------ out

    def send(
        self, request: Request, now_ms: int, made_of: PendingSend | PendingRequest | None = None
    ) -> None:
        """Sends a request under a new id. Its reply is awaited from here on."""
        if not self._calls:
            self._answered_at_ms = now_ms
        self._last_id += 1
        self._calls[self._last_id] = request if made_of is None else made_of
        self._output.append(encode_request(replace(request, id=self._last_id)))

    def answer_ping(self) -> None:
        """Sends an empty line: the node hears from the client, and has nothing to answer. One line
        answers all the pings that came together."""
        if self._output[-1:] != [b"\n"]:
            self._output.append(b"\n")

    def take_output(self) -> bytes:
        """The lines to transmit now; each is given once."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    # ------------------------------------------------------------------ in

    def messages(self, data: bytes) -> Iterator[ServerMessage]:
        """The messages that are complete now. A push of a type that this client does not know is
        left out, since newer nodes may have more. Raises BadMessage."""
        frames = self._frames
        frames.feed(data)
        while (line := frames.take(MAX_LINE_BYTES)) is not None:
            message = decode_server_message(line)
            if message is not None:
                yield message
        if frames.refused is ErrorCode.TOO_LONG:
            raise BadMessage("the node sent a line that is too long")
        if frames.refused is not None:
            raise BadMessage(NOT_THE_PROTOCOL)

    def answered(self, re: int, now_ms: int) -> Call | None:
        """The request that this reply belongs to; None if none waits for it."""
        self._answered_at_ms = now_ms
        return self._calls.pop(re, None)
