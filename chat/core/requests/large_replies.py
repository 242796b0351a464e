"""Large replies: those with many rows are made one at a time, with pauses between them.

Theory of operation
-------------------

To make a reply with many rows (a page of history, the members of a large group, the roster at a
login) takes the node longer than anything else that it does in one go. Answers of the store come
together, and then several such replies would be made in one event, for which all other connections
would wait. Therefore a call waits for its turn before it makes one: in a fair queue, behind those
of the same user, or address before login. After a reply of `rows` rows the next turn comes
`rows` / `rows_per_ms` later; by then the node has had time for all else. A page of history waits
before it is read, since a page that waits would take memory.

Invariant: something waits only until the time of the next turn, at which a deadline is set.
"""

from collections.abc import Callable

from chat.core.state.context import Context
from chat.core.state.fair_queue import FairQueue
from chat.core.state.operation_queues import Payer, payer_of
from chat.core.state.session import Session


class LargeReplies:
    """Whose large reply is made next, and when."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = context.under_way_limits
        self._waiting: FairQueue[Payer, tuple[int, Callable[[], None]]] = FairQueue()
        self._next_at_ms = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wait(self, session: Session, rows: int | None, then: Callable[[], None]) -> bool:
        """Whether a reply of that many rows has to wait; None: it may be large. `then` is called
        when its turn has come, which may be after the session has ended."""
        if rows is None:
            rows = 0
        elif rows <= self._limits.large_rows:
            return False
        now_ms = self._context.now_ms
        if not self._waiting.turns and now_ms >= self._next_at_ms:
            self._take_turn(rows)
            return False
        self._waiting.put(payer_of(session), (rows, then))
        if len(self._waiting) == 1:
            self._context.deadlines.set(max(now_ms, self._next_at_ms), self._serve)
        return True

    def made(self, rows: int) -> None:
        """A reply has more rows than was known when its turn came."""
        self._take_turn(rows)

    def _take_turn(self, rows: int) -> None:
        next_at_ms = self._context.now_ms + max(1, rows // self._limits.rows_per_ms)
        self._next_at_ms = max(self._next_at_ms, next_at_ms)

    def _serve(self) -> None:
        if self._context.now_ms < self._next_at_ms:  # The reply before was larger than expected.
            self._context.deadlines.set(self._next_at_ms, self._serve)
            return
        rows, then = self._waiting.take()
        self._take_turn(rows)
        if self._waiting.turns:
            self._context.deadlines.set(self._next_at_ms, self._serve)
        then()
