"""What the parts of one node share while an event is handled.

Every part reads the time and the tables of sessions and users here, and appends its effects here,
in the order in which they are to be carried out. An operation goes out as a `Query` under a ticket;
its *continuation*, the function that gets the outcome, is kept under the same ticket until the
answer comes. Tickets are numbered from 1 and never used twice. An operation may have to wait in a
queue before it goes out (chat/core/state/operation_queues.py).
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias, TypeVar

from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.effects import AnyEffect, Close, PauseReading, Publish, Query, Send
from chat.core.ports.operations import AnyOutcome, Failure, Operation, Outcome, Refused
from chat.core.state.budgets import Budgets
from chat.core.state.config import NodeConfig
from chat.core.state.deadlines import Deadlines
from chat.core.state.operation_queues import (
    OperationQueue,
    OperationQueues,
    PasswordQueue,
    UnderWayLimits,
    WaitingOperation,
    payer_of,
)
from chat.core.state.rate_limiter import RateLimiter
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.codec import encode, encode_error
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import ServerMessage
from chat.protocol.rules import Input, State, Verdict

_READY: Final = State.READY
ERROR_LINES: Final = 20
"""How many lines an error costs a connection that need not have been asked for."""
_CHARGED: Final = frozenset(
    [
        ErrorCode.BAD_FRAME,
        ErrorCode.BAD_MESSAGE,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.NOT_LOGGED_IN,
        ErrorCode.ALREADY_LOGGED_IN,
        ErrorCode.BAD_CREDENTIALS,
        ErrorCode.RATE_LIMITED,
    ]
)
"""The errors that do. Other errors answer requests that a user's budget has paid."""
RETRY_AFTER_MS: Final = 1_000
"""The `retry_after_ms` of an error for which no better estimate is known."""

OutcomeT = TypeVar("OutcomeT", bound=Outcome)
Continuation: TypeAlias = Callable[[AnyOutcome], None]


class Context:
    """The time, the tables, and the effects of the event that is being handled."""

    __slots__ = (
        "_line_ms",
        "_tickets",
        "budgets",
        "closed",
        "config",
        "continuations",
        "deadlines",
        "effects",
        "internal_errors",
        "now_ms",
        "queues",
        "runnable",
        "sessions",
        "under_way_limits",
        "users",
    )

    def __init__(self, config: NodeConfig, under_way_limits: UnderWayLimits) -> None:
        self.config = config
        self._line_ms = 1000 / config.lines_per_second
        self.budgets = Budgets(config)
        self.under_way_limits = under_way_limits
        self.queues = OperationQueues(config, under_way_limits)
        self.now_ms = 0
        self.effects: list[AnyEffect] = []
        self.sessions: dict[int, Session] = {}
        self.users: dict[int, LocalUser] = {}
        self.continuations: dict[int, tuple[Continuation, OperationQueue | None]] = {}
        """By ticket. An operation that was asked for and not answered has one, and the queue that
        counts it."""
        self.deadlines: Deadlines[Callable[[], None]] = Deadlines()
        self.runnable: dict[int, None] = {}
        """Connections whose next request may be taken now: the scheduler looks at them before the
        event ends."""
        self.internal_errors: list[Exception] = []
        """Exceptions that concerned one of many answers, sessions or deadlines of the event."""
        self.closed: list[Session] = []
        """Sessions that were closed in this event and are still in the tables of the parts."""
        self._tickets = 0

    # ------------------------------------------------------------------ operations and the bus

    def new_ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def query(
        self,
        operation: Operation[OutcomeT],
        then: Callable[[OutcomeT | Failure], None],
        asker: Session | None = None,
    ) -> None:
        """Asks for an operation; `then` gets its outcome, in a later event. It may have to wait for
        others of its kind, behind those of the same `asker`."""
        ticket = self._tickets = self._tickets + 1
        queue = self.queues.by_type.get(type(operation))
        # An operation's answer is one of these outcomes, and AnyOperation names every operation.
        self.continuations[ticket] = then, queue  # type: ignore[assignment]
        if queue is None:
            self.effects.append(Query(ticket, operation))  # type: ignore[arg-type]
        elif queue.room > 0:
            queue.room -= 1
            self.effects.append(Query(ticket, operation))  # type: ignore[arg-type]
        else:
            waiting = WaitingOperation(ticket, operation, asker)  # type: ignore[arg-type]
            queue.put(payer_of(asker), waiting, self.now_ms)
            self._hand_out(queue)

    def settle(self, ticket: int, outcome: AnyOutcome) -> None:
        """An operation was answered: the next one of its kind goes out, and its continuation gets
        the outcome."""
        asked = self.continuations.pop(ticket, None)
        if asked is None:
            return
        then, queue = asked
        if queue is not None:
            queue.room += 1
            if queue.room < 1:
                self._hand_out(queue)
        then(outcome)

    def withdraw(self, session: Session) -> None:
        """The session has ended: a password of it that has not been handed out is not checked."""
        waiting = self.queues.passwords.withdraw(session)
        if waiting is not None:
            then, _ = self.continuations.pop(waiting.ticket)
            then(Refused(ErrorCode.BUSY))

    def _hand_out(self, queue: OperationQueue) -> None:
        """What may go out does. Passwords over the budget of their address go out later."""
        while (waiting := queue.take(self.now_ms)) is not None:
            self.effects.append(Query(waiting.ticket, waiting.operation))
        if isinstance(queue, PasswordQueue) and self.now_ms < queue.not_before_ms != queue.due_ms:
            queue.due_ms = queue.not_before_ms
            self.deadlines.set(queue.not_before_ms, partial(self._hand_out, queue))

    def publish(self, channels: tuple[str, ...], message: AnyBusMessage) -> None:
        """Tells the other nodes, if there can be any."""
        if not self.config.alone:
            self.effects.append(Publish(channels, message))

    # ------------------------------------------------------------------ connections

    def send(self, connection: int, message: ServerMessage) -> None:
        self.effects.append(Send(connection, encode(message)))

    def push(self, user: LocalUser, message: ServerMessage, *, but: int | None = None) -> None:
        """The same message for every session of a user, except the connection `but`."""
        if user.sessions:
            data = encode(message)
            for connection in user.sessions:
                if connection != but:
                    self.sessions[connection].step(Input.NEWS, self.now_ms)
                    self.effects.append(Send(connection, data))

    def reply(self, session: Session, data: bytes) -> None:
        """The one reply to a request under way. The session is made runnable if there may be
        anything to do for it; most sessions have nothing more to ask by then."""
        self.effects.append(Send(session.connection, data))
        session.under_way -= 1
        if (
            session.waiting is not None
            or session.frames.buffer
            or session.finishing
            or session.state is not _READY
        ):
            self.runnable[session.connection] = None

    def reply_error(
        self,
        session: Session,
        code: ErrorCode,
        re: int | None,
        message: str | None = None,
        wait_ms: int | None = None,
    ) -> None:
        """An error as the reply to a request under way, which may cost the connection some lines of
        its budget."""
        if code in _CHARGED:
            self.spend_lines(session, ERROR_LINES)
        self.reply(session, error_frame(code, re, message, wait_ms))

    def refuse_over_budget(
        self, session: Session, re: int, budget: RateLimiter[int], cost: int = 1
    ) -> None:
        """The reply to a request that costs more than is left of its user's budget."""
        assert session.user is not None
        wait_ms = budget.wait_ms(session.user.id, self.now_ms, cost)
        self.reply_error(session, ErrorCode.RATE_LIMITED, re, wait_ms=wait_ms)

    def spend_lines(self, session: Session, lines: int) -> None:
        """Charges a connection's budget of lines, which may be in debt then; the scheduler paces
        the connection when it takes its next line."""
        full_at_ms = max(session.lines_full_at_ms, self.now_ms)
        session.lines_full_at_ms = full_at_ms + lines * self._line_ms

    def close(
        self, session: Session, why: Input, *, abort: bool = False, after_ms: int = 0
    ) -> None:
        """Ends a connection, with the error that the table names for the reason, if any. It is
        closed after `after_ms`, or when its peer closes it."""
        rule = session.step(why, self.now_ms)
        assert rule.verdict is Verdict.CLOSE, f"{why.name} does not close {session.connection}"
        if rule.code is not None:
            self.effects.append(Send(session.connection, error_frame(rule.code, None)))
        if after_ms:
            if not session.reading_paused:
                self.effects.append(PauseReading(session.connection))
            self.deadlines.set(self.now_ms + after_ms, partial(self._close_late, session))
        else:
            self.effects.append(Close(session.connection, abort))
        self.closed.append(session)

    def _close_late(self, session: Session) -> None:
        if session.connection in self.sessions:
            self.effects.append(Close(session.connection))


def error_frame(
    code: ErrorCode, re: int | None, message: str | None = None, wait_ms: int | None = None
) -> bytes:
    """An error as bytes; where the code says that waiting helps, with `retry_after_ms`."""
    if wait_ms is None and ERRORS[code].retry:
        wait_ms = RETRY_AFTER_MS
    return encode_error(code, re, message, wait_ms)
