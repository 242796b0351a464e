"""Requests, as they come in on connections: which is taken now, and which has to wait.

Theory of operation
-------------------

What has come on a connection is cut into lines and taken line by line, until a request has to
wait: for the one before it, for another state, for its peer to read what it was sent. The request
that waits is kept as `waiting`, what came after it stays as bytes, and if that is much the peer is
not read from.

What is taken in one event is limited, whoever it is of, by a *turn* of `requests_a_turn`, of which
a long one counts as several. Who has more to ask when the turn is over *rests*. For those who rest
there is a turn of their own as soon as the driver has looked after everybody else, and after that
another one; they go on in the order in which they came to rest, as many as the turn lasts for. So a
peer that sends a hundred thousand lines at once has them all answered, and what others wait for is
one turn of each who has just sent something, and one of all who rest.

Invariants: whoever rests has a request that waits; as long as anybody rests, the next turn is set.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from chat.core.ports.effects import Close, PauseReading, ResumeReading
from chat.core.ports.events import BytesReceived
from chat.core.requests.authentication import Authentication
from chat.core.requests.requests import Requests
from chat.core.state.context import Context, error_frame
from chat.core.state.session import Session, Waiting
from chat.core.upkeep.timers import Timers
from chat.protocol.codec import SENDS, Problem, decode_request
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import LoginRequest, RegisterRequest, ResumeRequest
from chat.protocol.rules import REQUEST_INPUT, RULES, Input, Rule, State, Verdict

REQUEST_BYTES: Final = 256
"""So many bytes of a line cost as much of a turn as a request does."""

_PROBLEM_INPUT: Final = {
    ErrorCode.BAD_FRAME: Input.BAD_FRAME,
    ErrorCode.BAD_MESSAGE: Input.BAD_MESSAGE,
    ErrorCode.UNKNOWN_TYPE: Input.UNKNOWN_TYPE,
    ErrorCode.TOO_LONG: Input.TOO_LONG,
}
# Members of enumerations are looked up slowly, so those of the hot path are constants.
_CLOSING: Final = State.CLOSING
_READY: Final = State.READY
_ACCEPT: Final = Verdict.ACCEPT
_TOO_LONG: Final = Problem(ErrorCode.TOO_LONG, None, "")


class Scheduler:
    """Takes the requests of all connections."""

    def __init__(
        self, context: Context, watch: Timers, entrance: Authentication, requests: Requests
    ) -> None:
        self._context = context
        self._watch = watch
        self._requests = requests
        self._takers = _takers(entrance, requests)
        config = context.config
        self._line_bytes = tuple(
            [config.line_bytes if state is _READY else config.login_line_bytes for state in State]
        )
        """The longest line in each state."""
        self._left = 0
        """How many requests the turn in hand still has room for."""
        self._resting: OrderedDict[int, None] = OrderedDict()
        """Connections that have more to ask than there was room for, the next one first."""
        self._armed = False
        """The next turn of those is set."""

    def __len__(self) -> int:
        return len(self._resting)

    def begin(self) -> None:
        """An event begins, and with it a turn."""
        self._left = self._context.config.requests_a_turn

    def arm(self) -> None:
        """Sees to it that there is a next turn as long as anybody rests. To be asked at the end of
        an event, for the turn is due at once."""
        if self._resting and not self._armed:
            self._armed = True
            self._context.deadlines.set(self._context.now_ms, ("turn", 0))

    def run(self) -> None:
        """The turn of those who rest."""
        self._armed = False
        while self._resting and self._left > 0:
            connection, _ = self._resting.popitem(last=False)
            self.go_on(self._context.sessions[connection])

    def forget(self, session: Session) -> None:
        """The session has nothing to ask any more."""
        self._resting.pop(session.connection, None)

    def received(self, event: BytesReceived) -> None:
        """Something has come on a connection."""
        session = self._context.sessions.get(event.connection)
        if session is None or session.state is _CLOSING:
            return
        session.heard_at_ms = self._context.now_ms
        session.pinged = False
        if not session.draining:  # No more requests are taken, so none are kept.
            session.frames.feed(event.data)
        self.pump(session)

    def pump(self, session: Session) -> None:
        """Takes the session's requests, one by one, until it has to wait or the turn is over."""
        left = self._left
        has_to_wait = session.full or session.connection in self._resting
        while session.state is not _CLOSING:
            if session.draining:
                if not session.under_way:
                    self._context.close(session, Input.DRAINED)
                break
            request = session.waiting
            if request is None:
                line = session.frames.take(self._line_bytes[session.state])
                if line is not None:
                    session.line_since_ms = None
                    left -= len(line) // REQUEST_BYTES
                    request = decode_request(line)
                elif session.frames.too_long:
                    request = _TOO_LONG
                else:
                    break
            if left <= 0:
                self._resting[session.connection] = None
                has_to_wait = True
            if has_to_wait or not self._take(session, request):
                session.waiting = request
                break
            left -= 1
        self._left = left
        if session.state is not _CLOSING:
            self.pace(session)
            self._watch.arm(session)

    def go_on(self, session: Session) -> None:
        """Takes requests in an event that is not the session's own, and that a bug is not to take
        from others; it costs the connection."""
        try:
            self.pump(session)
        except Exception as bug:
            self._context.bugs.append(bug)
            self._context.effects.append(Close(session.connection, abort=True))

    def _take(self, session: Session, request: Waiting) -> bool:
        """Takes a request, if its turn has come."""
        taker = self._takers.get(type(request))
        if taker is None:
            assert isinstance(request, Problem)
            return self._take_problem(session, request)
        input, take = taker
        rule = RULES[session.state][input]
        if session.under_way and not self._goes_beside(session, request):
            return False
        if rule.verdict is _ACCEPT:
            session.waiting = None
            session.under_way += 1
            if rule.next is not None:
                session.step(input, self._context.now_ms)
            take(session, request)
            return True
        return self._decline(session, input, rule, request)

    def _take_problem(self, session: Session, problem: Problem) -> bool:
        if session.under_way:
            return False
        input = _PROBLEM_INPUT[problem.code]
        return self._decline(session, input, session.rule(input), problem)

    def _decline(self, session: Session, input: Input, rule: Rule, request: Waiting) -> bool:
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
            frame = error_frame(rule.code, request.re, request.message)
        else:
            frame = error_frame(rule.code, request.id)
        self._context.reply(session, frame)
        return True

    def _goes_beside(self, session: Session, request: Waiting) -> bool:
        """Whether a request may be taken while others are under way: a send after sends may."""
        return (
            isinstance(request, SENDS)
            and len(session.sending) == session.under_way < self._context.config.in_flight
            and request.key not in session.sending
            and self._requests.may_send(session)
        )

    def pace(self, session: Session) -> None:
        """Reads from the peer only while there is room for what it sends."""
        room = session.frames.buffered_bytes <= self._context.config.line_bytes
        pause = session.full or (session.waiting is not None and not room)
        if pause != session.reading_paused:
            session.reading_paused = pause
            session.heard_at_ms = self._context.now_ms
            effect = PauseReading if pause else ResumeReading
            self._context.effects.append(effect(session.connection))


def _takers(
    entrance: Authentication, requests: Requests
) -> dict[type, tuple[Input, Callable[..., None]]]:
    """Each request is taken by the method that has the name of its wire type."""
    at_the_door = (RegisterRequest, LoginRequest, ResumeRequest)
    takers: dict[type, tuple[Input, Callable[..., None]]] = {}
    for request, input in REQUEST_INPUT.items():
        part = entrance if request in at_the_door else requests
        takers[request] = input, getattr(part, input.name.lower())
    return takers
