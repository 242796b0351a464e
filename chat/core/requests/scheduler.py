"""The scheduler: whose request is taken next, how many of them in one event, and what waits.

Theory of operation
-------------------

The bytes of a connection are cut into lines and taken line by line, until a request has to wait:
for an earlier one, for another state, for its peer to read what it was sent. The request that waits
is kept as `waiting`, what came after it stays as bytes, and if that is much the peer is not read
from.

How much is taken in one event is limited by a *quantum* of `request_quantum` requests, for all
connections together; a long line counts as several. A connection that has more to ask when the
quantum is used up is *deferred*. Deferred connections get a quantum of their own in an event of its
own, as soon as the driver has handled what else has happened, and after that another one; they are
served in the order in which they were deferred. So a peer that sends many lines at once has them
all answered, and other connections wait for one quantum of each that has just sent something, and
one of all that are deferred. (Deficit round robin, Shreedhar and Varghese 1995, with one common
deficit.)

A connection may send `lines_per_second` lines, and `line_burst` of them after a pause; each 1,024
bytes count as one more, and an error counts as twenty. A line over that waits, and with it all that
follows: the connection is *paced*, not refused, and is not read from. (The budget is a token bucket
as in state/rate_limiter.py, kept in the session.) What a request costs its user is
taken from the user's budget when the request is taken; over it the answer is `rate_limited`.

Invariants: a deferred connection has a request that waits; as long as a connection is deferred, the
event that serves it is set; a paced connection has a request that waits, and a deadline at which it
is taken.
"""

from collections import OrderedDict
from functools import partial
from math import ceil
from typing import Final

from chat.core.ports.effects import Close, PauseReading, ResumeReading
from chat.core.ports.events import BytesReceived, EndOfInput
from chat.core.requests.calls import Calls
from chat.core.requests.messaging import Messaging
from chat.core.state.context import Context
from chat.core.state.session import DecodedLine, Session
from chat.core.upkeep.timers import Timers
from chat.protocol.codec import SENDS, Problem, decode_request
from chat.protocol.errors import ErrorCode
from chat.protocol.rules import REQUEST_INPUT, RULES, Input, Rule, State, Verdict

REQUEST_BYTES: Final = 256
"""This many bytes of a line cost as much of a quantum as a request does."""
ERROR_REQUESTS: Final = 8
"""An error that costs a connection lines of its budget takes as much of a quantum as that many
requests: it comes at once, so hundreds of connections could have theirs in one loop iteration."""
LINE_BYTES: Final = 1024
"""This many bytes cost a connection as much of its budget as a line does."""

_PROBLEM_INPUT: Final = {
    ErrorCode.BAD_FRAME: Input.BAD_FRAME,
    ErrorCode.BAD_MESSAGE: Input.BAD_MESSAGE,
    ErrorCode.UNKNOWN_TYPE: Input.UNKNOWN_TYPE,
    ErrorCode.TOO_LONG: Input.TOO_LONG,
    ErrorCode.WRONG_PROTOCOL: Input.WRONG_PROTOCOL,
}
# Members of enumerations are looked up slowly, so those of the hot path are constants.
_CLOSING: Final = State.CLOSING
_READY: Final = State.READY
_ACCEPT: Final = Verdict.ACCEPT
_BYTES: Final = Input.BYTES


class Scheduler:
    """Takes the requests of all connections."""

    def __init__(
        self, context: Context, timers: Timers, calls: Calls, messaging: Messaging
    ) -> None:
        self._context = context
        self._timers = timers
        self._messaging = messaging
        self._handlers = calls.handlers
        self._budget = context.budgets.requests
        unhandled = REQUEST_INPUT.keys() - calls.handlers.keys()
        assert not unhandled, f"no handler for {unhandled}"
        config = context.config
        self._in_flight = config.in_flight
        self._line_ms = 1000 / config.lines_per_second
        self._burst_ms = config.line_burst * self._line_ms
        self._line_bytes = tuple(
            [config.line_bytes if state is _READY else config.login_line_bytes for state in State]
        )
        """The longest line in each state."""
        self._left = 0
        """How many requests are left of the quantum of the event in hand."""
        self._deferred: OrderedDict[int, None] = OrderedDict()
        """Connections with more requests than the quantum had room for, the next one first."""
        self._armed = False
        """The event that serves deferred connections is set."""

    def __len__(self) -> int:
        """How many connections are deferred."""
        return len(self._deferred)

    # ------------------------------------------------------------------ events

    def begin(self) -> None:
        """An event begins, and with it a quantum."""
        self._left = self._context.config.request_quantum

    def arm(self) -> None:
        """Sets the event that serves deferred connections, if there are any. Called at the end of
        each event: the deadline is due at once, so a Tick would serve one that is set during it."""
        if self._deferred and not self._armed:
            self._armed = True
            self._context.deadlines.set(self._context.now_ms, self.serve_deferred)

    def serve_deferred(self) -> None:
        """The quantum of deferred connections."""
        self._armed = False
        while self._deferred and self._left > 0:
            connection, _ = self._deferred.popitem(last=False)
            self.go_on(self._context.sessions[connection])

    def forget(self, session: Session) -> None:
        """The session has no more requests."""
        self._deferred.pop(session.connection, None)
        session.waiting = None

    def received(self, event: BytesReceived) -> None:
        """Bytes have come on a connection."""
        session = self._context.sessions.get(event.connection)
        if session is None or RULES[session.state][_BYTES].verdict is not _ACCEPT:
            return
        session.heard_at_ms = self._context.now_ms
        if not session.draining:  # No more requests are taken, so none are kept.
            session.frames.feed(event.data)
            size = len(event.data)
            if size >= LINE_BYTES:
                self._spend(session, size // LINE_BYTES)
        self.take_all(session)

    def end_of_input(self, event: EndOfInput) -> None:
        """The peer has shut its side down: what it asked is answered, and then it is closed."""
        session = self._context.sessions.get(event.connection)
        if session is None:
            return
        now_ms = self._context.now_ms
        rule = session.step(Input.END_OF_INPUT, now_ms)
        if rule.verdict is _ACCEPT and session.input_ended_at_ms is None:
            session.finishing = True
            session.input_ended_at_ms = now_ms
            self.take_all(session)

    def drain(self, session: Session) -> None:
        """No more requests of the session are taken."""
        session.finishing = session.draining = True
        self._context.runnable[session.connection] = None

    def go_on(self, session: Session) -> None:
        """Takes requests of a connection in an event that is not its own. An internal error aborts
        the connection, and the event goes on."""
        try:
            self.take_all(session)
        except Exception as error:
            self._context.internal_errors.append(error)
            self._context.effects.append(Close(session.connection, abort=True))

    # ------------------------------------------------------------------ taking requests

    def take_all(self, session: Session) -> None:
        """Takes the session's requests, one by one, until one has to wait."""
        left = self._left
        now_ms = self._context.now_ms
        has_to_wait = session.full or session.paced or session.connection in self._deferred
        while session.state is not _CLOSING:
            if session.draining:
                self._finish(session)
                break
            request = session.waiting
            if request is None:
                line = session.frames.take(self._line_bytes[session.state])
                if line is not None:
                    session.line_since_ms = None
                    left -= len(line) // REQUEST_BYTES
                    full_at_ms = session.lines_full_at_ms
                    if full_at_ms < now_ms:
                        full_at_ms = now_ms
                    full_at_ms += self._line_ms
                    session.lines_full_at_ms = full_at_ms
                    if full_at_ms - now_ms > self._burst_ms:
                        self._pace_lines(session)
                    request = decode_request(line)
                elif session.frames.refused is not None:
                    request = Problem(session.frames.refused, None, "")
                else:
                    if session.finishing:
                        self._finish(session)
                    break
            has_to_wait = has_to_wait or session.paced
            if left <= 0:
                self._deferred[session.connection] = None
                has_to_wait = True
            charged_ms = session.lines_full_at_ms
            if has_to_wait or not self._take(session, request):
                session.waiting = request
                break
            # An error that the connection was charged for is dear here, too.
            left -= 1 if session.lines_full_at_ms == charged_ms else ERROR_REQUESTS
        self._left = left
        if session.state is not _CLOSING:
            if not session.frames.buffer or session.waiting is not None:
                session.line_since_ms = None
            elif session.line_since_ms is None:
                session.line_since_ms = now_ms
            self.pace(session)
            self._timers.arm(session)

    def _spend(self, session: Session, lines: int) -> None:
        """Charges the connection's budget for what is there already."""
        self._context.spend_lines(session, lines)
        if session.lines_full_at_ms - self._context.now_ms > self._burst_ms:
            self._pace_lines(session)

    def _pace_lines(self, session: Session) -> None:
        """The connection's next request is taken when its budget has a line again."""
        if not session.paced:
            session.paced = True
            end = partial(self._end_pacing, session.connection)
            self._context.deadlines.set(ceil(session.lines_full_at_ms - self._burst_ms), end)

    def _end_pacing(self, connection: int) -> None:
        session = self._context.sessions.get(connection)
        if session is not None:
            session.paced = False
            if session.lines_full_at_ms - self._context.now_ms > self._burst_ms:
                self._pace_lines(session)  # More was charged meanwhile.
            else:
                self._context.runnable[connection] = None

    def _finish(self, session: Session) -> None:
        """No request will be taken any more."""
        if not session.under_way:
            self._context.close(session, Input.FINISHED)

    def _take(self, session: Session, request: DecodedLine) -> bool:
        """Takes a request, unless it has to wait."""
        handled = self._handlers.get(type(request))
        if handled is None:
            assert isinstance(request, Problem)
            return self._take_problem(session, request)
        input, handle, cost = handled
        rule = RULES[session.state][input]
        if session.under_way and not self._may_overlap(session, request):
            return False
        if rule.verdict is _ACCEPT:
            session.waiting = None
            session.under_way += 1
            if cost and self._over_budget(session, cost):
                assert not isinstance(request, Problem)
                self._context.refuse_over_budget(session, request.id, self._budget, cost)
                return True
            if rule.next is not None:
                session.step(input, self._context.now_ms)
            handle(session, request)
            return True
        return self._decline(session, input, rule, request)

    def _over_budget(self, session: Session, cost: int) -> bool:
        """Takes the cost of a request from its user's budget, if there is that much. What comes
        before login is charged when it is known who logs in."""
        user = session.user
        return user is not None and not self._budget.take(user.id, self._context.now_ms, cost)

    def _take_problem(self, session: Session, problem: Problem) -> bool:
        input = _PROBLEM_INPUT[problem.code]
        rule = session.rule(input)
        return not session.under_way and self._decline(session, input, rule, problem)

    def _decline(self, session: Session, input: Input, rule: Rule, request: DecodedLine) -> bool:
        """What is not accepted waits for another state, ends the connection, or is an error."""
        if rule.verdict is Verdict.HOLD:
            return False
        session.waiting = None
        if rule.verdict is Verdict.CLOSE:
            self._context.close(session, input)
            return True
        assert rule.code is not None
        session.under_way += 1
        if isinstance(request, Problem):
            self._context.reply_error(session, rule.code, request.re, request.message)
        else:
            self._context.reply_error(session, rule.code, request.id)
        return True

    def _may_overlap(self, session: Session, request: DecodedLine) -> bool:
        """Whether a request may be taken while others are under way: a send after sends may."""
        return (
            isinstance(request, SENDS)
            and len(session.sending) == session.under_way < self._in_flight
            and request.key not in session.sending
            and self._messaging.may_send(session)
        )

    # ------------------------------------------------------------------ reading

    def pace(self, session: Session) -> None:
        """Reads from the peer only while there is room for what it sends."""
        room = session.frames.buffered_bytes <= self._context.config.line_bytes
        pause = session.full or session.paced or (session.waiting is not None and not room)
        if pause != session.reading_paused:
            session.reading_paused = pause
            session.heard_at_ms = self._context.now_ms
            effect = PauseReading if pause else ResumeReading
            self._context.effects.append(effect(session.connection))
