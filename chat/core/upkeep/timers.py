"""What is due for a session and when: to log in, to end a line, to be heard of, to take bytes.

Which deadlines there are follows from the state, as the table in the spec has it: none is set that
the state has no cell for. A session has one time at which it is looked at next, for all of them;
what happens on the connection only moves times in the session, and the next look is set when it is
due. Those who are to be looked at at one time are kept together, and one entry in the heap of
deadlines stands for them all; so thousands who are silent are few entries, pinged by one frame.

Connections that are not logged in are counted by address, so that one address cannot take all
there are.
"""

from typing import Final

from chat.core.ports.effects import Deliver
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.protocol.codec import encode
from chat.protocol.messages import PingPush
from chat.protocol.rules import Input, State, Verdict

TOGETHER_MS: Final = 250
"""Sessions are looked at so often, for thousands who are silent cost less together than singly."""

_READY: Final = State.READY
_PING: Final = encode(PingPush())


class Timers:
    """The deadlines of sessions, and who is not logged in."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._by_address: dict[str, int] = {}
        self._looks: dict[int, dict[int, None]] = {}
        """By time: the connections that are looked at then, unless they have another time now."""

    def __len__(self) -> int:
        return sum(self._by_address.values())

    def count_in(self, session: Session) -> bool:
        """The connection is not logged in. Whether it is one too many at its address."""
        if not session.counted:
            session.counted = True
            self._by_address[session.address] = self._by_address.get(session.address, 0) + 1
        limit = self._context.config.unauthenticated_per_address
        return self._by_address[session.address] > limit

    def count_out(self, session: Session) -> None:
        """The connection does not count as unauthenticated any more."""
        if session.counted:
            session.counted = False
            left = self._by_address.pop(session.address) - 1
            if left:
                self._by_address[session.address] = left

    def look(self, at_ms: int) -> None:
        """Does what is due for those who were to be looked at at that time."""
        silent: list[int] = []
        now_ms = self._context.now_ms
        for connection in self._looks.pop(at_ms):
            session = self._context.sessions.get(connection)
            if session is not None and session.next_check_ms == at_ms:
                session.next_check_ms = None
                try:
                    if self._is_just_silent(session):
                        session.step(Input.SILENCE, now_ms)
                        session.pinged = True
                        silent.append(connection)
                        dead_ms = session.heard_at_ms + self._context.config.dead_ms
                        self._look_at(session, min(_together(dead_ms), self._again_ms()))
                        continue
                    if self._check(session):
                        silent.append(connection)
                    self.arm(session)
                except Exception as bug:
                    self._context.bugs.append(bug)
        if silent:
            self._context.effects.append(Deliver(tuple(silent), _PING))

    def _is_just_silent(self, session: Session) -> bool:
        """The common case: nothing else can be due for it than a ping, and that is."""
        return (
            session.state is _READY
            and not session.pinged
            and session.heard_at_ms + self._context.config.ping_ms <= self._context.now_ms
            and session.line_since_ms is None
            and not session.full
            and not session.reading_paused
        )

    def _check(self, session: Session) -> bool:
        """Does what is due for a session. Whether it has been silent, and is to be pinged."""
        now_ms = self._context.now_ms
        is_silent = False
        for at_ms, input in self._deadlines(session):
            if at_ms > now_ms or session.state is State.CLOSING:
                continue
            rule = session.rule(input)
            if rule.verdict is Verdict.CLOSE:
                stalled = input is Input.STALL_TIMEOUT or input is Input.DEAD_TIMEOUT
                self._context.close(session, input, abort=stalled)
            elif session.step(input, now_ms).verdict is Verdict.ACCEPT:
                is_silent = session.pinged = True
        return is_silent

    def _deadlines(self, session: Session) -> list[tuple[int, Input]]:
        """What is due for a session, and when, as its state has it."""
        config = self._context.config
        due: list[tuple[int, Input]] = []
        if session.state is State.CLOSING:
            return due
        if session.full:
            due.append((session.progress_at_ms + config.stall_ms, Input.STALL_TIMEOUT))
        if session.state is State.AUTHENTICATING:
            return due
        if session.line_since_ms is not None:
            due.append((session.line_since_ms + config.line_ms, Input.LINE_TIMEOUT))
        if session.state is State.ANONYMOUS:
            due.append((session.since_ms + config.login_ms, Input.LOGIN_TIMEOUT))
        elif session.reading_paused:
            pass  # Who is not read from cannot be heard.
        elif session.pinged:
            due.append((session.heard_at_ms + config.dead_ms, Input.DEAD_TIMEOUT))
        else:
            due.append((session.heard_at_ms + config.ping_ms, Input.SILENCE))
        return due

    def arm(self, session: Session) -> None:
        """Sees to it that the session is looked at when something is due."""
        if (
            session.state is _READY
            and not session.frames.buffer
            and session.line_since_ms is None
            and not session.counted
            and not session.full
            and session.next_check_ms is not None
            and session.next_check_ms
            <= _together(session.heard_at_ms + self._context.config.ping_ms)
        ):
            return  # The common case: nothing but silence can come, and that is looked for.
        if not session.frames.buffer or session.waiting is not None:
            session.line_since_ms = None
        elif session.line_since_ms is None:
            session.line_since_ms = self._context.now_ms
        if session.state is State.READY:
            self.count_out(session)
        elif session.state is not State.CLOSING:
            self.count_in(session)
        due = self._deadlines(session)
        if due:
            at_ms = _together(min(due)[0])
            if session.pinged:
                at_ms = min(at_ms, self._again_ms())
            if session.next_check_ms is None or at_ms < session.next_check_ms:
                self._look_at(session, at_ms)

    def _again_ms(self) -> int:
        """Most answer a ping, and are silent again by then: one look will do for both."""
        return _together(self._context.now_ms + self._context.config.ping_ms + 1)

    def _look_at(self, session: Session, at_ms: int) -> None:
        # Never in this instant: whoever is looked at again and again lets nobody else have a turn.
        at_ms = max(at_ms, _together(self._context.now_ms + 1))
        session.next_check_ms = at_ms
        looked_at = self._looks.get(at_ms)
        if looked_at is None:
            looked_at = self._looks[at_ms] = {}
            self._context.deadlines.set(at_ms, ("look", at_ms))
        looked_at[session.connection] = None


def _together(at_ms: int) -> int:
    """The first look at or after that time."""
    return -(-at_ms // TOGETHER_MS) * TOGETHER_MS
