"""Timers of sessions: to log in, to finish a line, to be heard from, to take bytes.

Theory of operation
-------------------

Which time-outs a session has follows from its state, as the table in the spec says: none is set for
which the state has no cell. A session has one time at which it is *checked* next, for all of its
time-outs; what happens on the connection only moves times in the session, and the next check is set
when this one is due. Sessions that are to be checked at the same time are kept together, and one
entry in the heap of deadlines stands for them all; so thousands of silent connections are few
entries, pinged by one frame.

Invariant: a session that has a time-out has a check, at most `CHECK_EVERY_MS` after it is due.
"""

from functools import partial
from typing import Final

from chat.core.ports.effects import Deliver
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.protocol.codec import encode
from chat.protocol.messages import PingPush
from chat.protocol.rules import Input, State, Verdict

CHECK_EVERY_MS: Final = 250
"""Checks are at multiples of this, since many sessions cost less together than one by one."""

_READY: Final = State.READY
_PING: Final = encode(PingPush())
_ABORTS: Final = (Input.STALL_TIMEOUT, Input.DEAD_TIMEOUT, Input.FINISH_TIMEOUT)
"""Time-outs after which nothing that is buffered would reach the peer in time."""


class Timers:
    """The checks of all sessions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._checks: dict[int, dict[int, None]] = {}
        """By time: the connections that are checked then, unless they have another time now."""

    def check(self, at_ms: int) -> None:
        """Does what is due for the sessions that are to be checked at that time."""
        silent: list[int] = []
        now_ms = self._context.now_ms
        for connection in self._checks.pop(at_ms):
            session = self._context.sessions.get(connection)
            if session is not None and session.check_at_ms == at_ms:
                session.check_at_ms = None
                try:
                    if self._is_just_silent(session):
                        session.step(Input.SILENCE, now_ms)
                        session.pinged_at_ms = now_ms
                        silent.append(connection)
                        dead_ms = session.heard_at_ms + self._context.config.dead_ms
                        self._check_at(session, min(_rounded_up(dead_ms), self._again_ms()))
                        continue
                    if self._check_session(session):
                        silent.append(connection)
                    self.arm(session)
                except Exception as error:
                    self._context.internal_errors.append(error)
        if silent:
            self._context.effects.append(Deliver(tuple(silent), _PING))

    def _is_just_silent(self, session: Session) -> bool:
        """The common case: of all its time-outs only the ping can be due, and it is."""
        return (
            session.state is _READY
            and not session.pinged
            and session.heard_at_ms + self._context.config.ping_ms <= self._context.now_ms
            and session.line_since_ms is None
            and not session.finishing
            and not session.full
            and not session.reading_paused
        )

    def _check_session(self, session: Session) -> bool:
        """Does what is due for a session. Whether it has been silent, and is to be pinged."""
        now_ms = self._context.now_ms
        is_silent = False
        for at_ms, input in self._deadlines(session):
            if at_ms > now_ms or session.state is State.CLOSING:
                continue
            rule = session.rule(input)
            if rule.verdict is Verdict.CLOSE:
                self._context.close(session, input, abort=input in _ABORTS)
            elif session.step(input, now_ms).verdict is Verdict.ACCEPT:
                session.pinged_at_ms = now_ms
                is_silent = True
        return is_silent

    def _deadlines(self, session: Session) -> list[tuple[int, Input]]:
        """What is due for a session, and when, as its state has it."""
        config = self._context.config
        due: list[tuple[int, Input]] = []
        if session.state is State.CLOSING:
            return due
        if session.full:
            due.append((session.progress_at_ms + config.stall_ms, Input.STALL_TIMEOUT))
        if session.input_ended_at_ms is not None:
            due.append((session.input_ended_at_ms + config.finish_ms, Input.FINISH_TIMEOUT))
        if session.state is State.AUTHENTICATING:
            return due
        if session.line_since_ms is not None:
            due.append((session.line_since_ms + config.line_ms, Input.LINE_TIMEOUT))
        if session.state is State.ANONYMOUS:
            due.append((session.since_ms + config.login_ms, Input.LOGIN_TIMEOUT))
        elif session.reading_paused:
            pass  # A peer that is not read from cannot be heard.
        elif session.pinged:
            due.append((session.heard_at_ms + config.dead_ms, Input.DEAD_TIMEOUT))
        else:
            due.append((session.heard_at_ms + config.ping_ms, Input.SILENCE))
        return due

    def arm(self, session: Session) -> None:
        """Sees to it that the session is checked when a time-out of it is due."""
        if (
            session.state is _READY
            and not session.frames.buffer
            and session.line_since_ms is None
            and not session.finishing
            and not session.full
            and session.check_at_ms is not None
            and session.check_at_ms
            <= _rounded_up(session.heard_at_ms + self._context.config.ping_ms)
        ):
            return  # The common case: nothing but silence can come, and that is checked.
        due = self._deadlines(session)
        if due:
            at_ms = _rounded_up(min(due)[0])
            if session.pinged:
                at_ms = min(at_ms, self._again_ms())
            if session.check_at_ms is None or at_ms < session.check_at_ms:
                self._check_at(session, at_ms)

    def _again_ms(self) -> int:
        """When a peer that answers a ping now is to be pinged next. Most peers answer, so a check
        at that time will do for the answer as well."""
        return _rounded_up(self._context.now_ms + self._context.config.ping_ms + 1)

    def _check_at(self, session: Session, at_ms: int) -> None:
        # Never in this instant: a session that is checked again and again would keep all others
        # from being served.
        at_ms = max(at_ms, _rounded_up(self._context.now_ms + 1))
        session.check_at_ms = at_ms
        checked = self._checks.get(at_ms)
        if checked is None:
            checked = self._checks[at_ms] = {}
            self._context.deadlines.set(at_ms, partial(self.check, at_ms))
        checked[session.connection] = None


def _rounded_up(at_ms: int) -> int:
    """The first time of checks at or after that time."""
    return -(-at_ms // CHECK_EVERY_MS) * CHECK_EVERY_MS
