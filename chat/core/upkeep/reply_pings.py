"""Pings to peers that wait for a reply, so that they can tell a node that waits from a dead one.

Theory of operation
-------------------

Replies leave in the order of their requests, so while a reply is delayed, by a slow store say, not
even a `ping` of the peer is answered. Therefore the node itself sends `ping` to a peer in READY
that has waited for any one reply for half of `reply_ping_ms` or longer, and repeats it.

Sessions that wait are looked at in rounds, twice in each `reply_ping_ms`; there are rounds only
while sessions wait. A session in which the same request waits as in the round before is sent
`ping`, and is skipped in the next round. So a session that is answered within half of
`reply_ping_ms` costs one entry in a table, and a peer that waits hears from the node within
`reply_ping_ms`. A peer that does not read what it was sent before is not sent any more.

Invariant: a session that waits for a reply is in `_waiting`; as long as that is not empty, the next
round is set.
"""

from collections.abc import Set
from typing import Final

from chat.core.ports.effects import Deliver
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.protocol.codec import encode
from chat.protocol.messages import PingPush
from chat.protocol.rules import Input, State

_CLOSING: Final = State.CLOSING
_READY: Final = State.READY
_PING: Final = encode(PingPush())


class ReplyPings:
    """Knows which sessions wait for a reply."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: dict[int, Set[str] | None] = {}
        """By connection: the keys of the sends that were under way in the round before; empty if
        another request was; None if there is nothing to compare with."""
        self._armed = False

    def look(self, connection: int) -> None:
        """Bytes were received on the connection: there may be a request that waits now."""
        session = self._context.sessions.get(connection)
        if session is not None and _waits(session) and connection not in self._waiting:
            self._waiting[connection] = None
            if not self._armed:
                self._arm()

    def _arm(self) -> None:
        self._armed = True
        every_ms = max(self._context.config.reply_ping_ms // 2, 1)
        self._context.deadlines.set(self._context.now_ms + every_ms, self._round)

    def _round(self) -> None:
        pinged: list[int] = []
        for connection, before in list(self._waiting.items()):
            session = self._context.sessions.get(connection)
            if session is None or not _waits(session):
                del self._waiting[connection]
                continue
            if session.state is not _READY or session.full:
                continue
            sending = frozenset(session.sending)
            if before is None or (before and not before & sending):
                self._waiting[connection] = sending
                continue
            session.step(Input.REPLY_DELAYED, self._context.now_ms)
            pinged.append(connection)
            self._waiting[connection] = None
        if pinged:
            self._context.effects.append(Deliver(tuple(pinged), _PING))
        self._armed = False
        if self._waiting:
            self._arm()


def _waits(session: Session) -> bool:
    """Whether the peer waits for a reply."""
    owed = session.under_way or session.waiting is not None or session.reading_paused
    return bool(owed) and session.state is not _CLOSING
