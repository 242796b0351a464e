"""What the parts of one node share while an event is handled.

Every part reads the time and the tables of sessions and users here, and writes its effects here,
in the order in which they are to happen. Tickets are numbered from 1 and never used twice.
"""

from typing import Final

from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.effects import AnyEffect, Close, Publish, Query, Send
from chat.core.ports.operations import AnyOperation, Refused
from chat.core.state.config import NodeConfig
from chat.core.state.deadlines import Deadlines
from chat.core.state.pending import Pending
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.codec import encode, encode_error
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import ServerMessage
from chat.protocol.rules import Input, State

_READY: Final = State.READY
RETRY_AFTER_MS = 1_000
"""What a peer is told to wait when nobody can know better."""

Due = tuple[str, int]
"""What a deadline is for: its kind, and a user's or ticket's number or a time."""


class Context:
    """The time, the tables, the effects of the event in hand."""

    __slots__ = (
        "_tickets",
        "bugs",
        "closed",
        "config",
        "deadlines",
        "effects",
        "now_ms",
        "pending",
        "pump",
        "sessions",
        "users",
    )

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.now_ms = 0
        self.effects: list[AnyEffect] = []
        self.sessions: dict[int, Session] = {}
        self.users: dict[int, LocalUser] = {}
        self.pending: dict[int, Pending] = {}
        self.deadlines: Deadlines[Due] = Deadlines()
        self.pump: dict[int, None] = {}
        """Connections whose waiting requests may be able to go on."""
        self.bugs: list[Exception] = []
        """What went wrong with one of many that one event was about."""
        self.closed: list[Session] = []
        """Sessions that were closed in this event, to be taken out of everything."""
        self._tickets = 0

    def ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def query(self, record: Pending, operation: AnyOperation) -> None:
        """Asks for an operation; the record gets its outcome."""
        ticket = self._tickets = self._tickets + 1
        self.pending[ticket] = record
        self.effects.append(Query(ticket, operation))

    def publish(self, channels: tuple[str, ...], envelope: AnyBusMessage) -> None:
        """For the other nodes, if there can be any."""
        if not self.config.alone:
            self.effects.append(Publish(channels, envelope))

    def send(self, connection: int, message: ServerMessage) -> None:
        self.effects.append(Send(connection, encode(message)))

    def push(self, user: LocalUser, message: ServerMessage, *, but: int | None = None) -> None:
        """The same message for every session of a user."""
        if user.sessions:
            data = encode(message)
            for connection in user.sessions:
                if connection != but:
                    self.effects.append(Send(connection, data))

    def reply(self, session: Session, data: bytes) -> None:
        """The one reply to a request under way. Most who ask have nothing more to say by then;
        whose state may have changed is looked after in any case."""
        self.effects.append(Send(session.connection, data))
        session.under_way -= 1
        if (
            session.waiting is not None
            or session.frames.buffer
            or session.draining
            or session.counted
            or session.state is not _READY
        ):
            self.pump[session.connection] = None

    def close(self, session: Session, why: Input, *, abort: bool = False) -> None:
        """Ends a connection for the reason, with the error that the table names for it, if any."""
        rule = session.step(why, self.now_ms)
        if rule.code is not None:
            self.effects.append(Send(session.connection, error_frame(rule.code, None)))
        session.state = State.CLOSING
        self.effects.append(Close(session.connection, abort))
        self.closed.append(session)

    def refuse(
        self, session: Session, re: int, refused: Refused, message: str | None = None
    ) -> None:
        """An error as the reply to a request under way."""
        self.reply(session, error_frame(refused.code, re, message))


def error_frame(
    code: ErrorCode, re: int | None, message: str | None = None, wait_ms: int | None = None
) -> bytes:
    """An error; where waiting helps it says how long."""
    if wait_ms is None and ERRORS[code].retry:
        wait_ms = RETRY_AFTER_MS
    return encode_error(code, re, message, wait_ms)
