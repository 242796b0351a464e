"""Flow control of the outbound side: a connection whose peer does not read is delivered nothing.

The driver says when the outbound buffer of a connection is over its limit, and how it shrinks. A
connection that is *full* becomes behind in all its conversations and is fed no further; with the
buffer down to a quarter of the limit it catches up again. So a slow reader costs a cursor, not
memory.
"""

from chat.core.delivery.catch_up import CatchUp
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.protocol.rules import Input, Verdict


class FlowControl:
    """Which connections are full."""

    def __init__(self, context: Context, catch_up: CatchUp) -> None:
        self._context = context
        self._catch_up = catch_up

    def buffer_full(self, session: Session) -> bool:
        """The outbound buffer is over its limit. Whether the state takes notice of that."""
        now_ms = self._context.now_ms
        if session.step(Input.WRITE_FULL, now_ms).verdict is not Verdict.ACCEPT:
            return False
        session.full = True
        session.progress_at_ms = now_ms
        self._catch_up.hold(session)
        return True

    def buffer_drained(self, session: Session, buffered_bytes: int) -> bool:
        """The outbound buffer has shrunk to this size; returns whether it has room again."""
        context = self._context
        if session.step(Input.WRITE_DRAINED, context.now_ms).verdict is not Verdict.ACCEPT:
            return False
        session.progress_at_ms = context.now_ms
        if not session.full or buffered_bytes > context.config.write_buffer_bytes // 4:
            return False
        session.full = False
        self._catch_up.release(session)
        return True
