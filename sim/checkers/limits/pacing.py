"""Pacing: how fast the lines of a connection are taken.

- No more lines are taken from a connection than its budget has.
- A connection within its budget is not paced; one that is paced goes on when its budget has enough.
- A line is taken in the event in which nothing holds it back any more.

A line is read when it has arrived and the one before it was taken, and charged then; it may have to
wait for other reasons afterwards. Each KiB that arrives is charged as a line. An error is charged
as twenty lines, but for those of requests that were accepted it is left open here whether they are:
a budget has a time at which it is full again at the earliest, and one at the latest.
"""

from collections import Counter
from dataclasses import dataclass

from chat.core.node import Node
from chat.core.ports import events as ev
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from chat.protocol.codec import Problem
from chat.protocol.errors import ErrorCode
from chat.protocol.rules import State
from sim.checkers import Violation
from sim.checkers.limits.peers import AUTHENTICATIONS, SENDS, Closing, Peer, Peers, Step

LINE_PARTS = 1_000
LINE_BYTES = 1_024
"""Bytes that arrive together and count as a line."""
ERROR_LINES = 20
"""The lines that an error counts as."""
TOLERANCE_MS = 1


@dataclass(slots=True)
class _Reading:
    """When the budget will be full again, at the earliest and at the latest; in parts of a ms: as
    many are one ms as a connection has lines a second, so that a line is a whole number of them."""

    earliest: int = 0
    latest: int = 0
    paced: bool = False

    def charge(self, lines: int, now: int, *, surely: bool = True) -> None:
        self.latest = max(self.latest, now) + lines * LINE_PARTS
        if surely:
            self.earliest = max(self.earliest, now) + lines * LINE_PARTS


class Pacing:
    """The budgets of lines of one node."""

    def __init__(self, config: NodeConfig, node: Node, peers: Peers, seen: Counter[str]) -> None:
        self._node = node
        self._peers = peers
        self._seen = seen
        self._parts = config.lines_per_second
        self._burst = config.line_burst * LINE_PARTS
        self._readings: dict[Peer, _Reading] = {}

    def check(self, event: AnyEvent, steps: list[Step | Closing], now_ms: int) -> None:
        now = now_ms * self._parts
        if isinstance(event, ev.BytesReceived):
            peer = self._peers.by_number.get(event.connection)
            if peer is not None:
                self._reading(peer).charge(len(event.data) // LINE_BYTES, now)
        for step in steps:
            if isinstance(step, Closing):
                self._readings.pop(step.peer, None)
            else:
                if step.taken:
                    self._taken(step, now)
                if step.frame is not None and step.frame.type == "error":
                    self._reading(step.peer).charge(ERROR_LINES, now, surely=_is_sure(step))
        for peer in self._peers.with_pending:
            self._check_what_waits(peer, now_ms)

    def lost(self, peer: Peer) -> None:
        self._readings.pop(peer, None)

    def _reading(self, peer: Peer) -> _Reading:
        reading = self._readings.get(peer)
        if reading is None:
            reading = self._readings[peer] = _Reading()
        return reading

    def _taken(self, step: Step, now: int) -> None:
        reading = self._reading(step.peer)
        if not step.line.read:
            reading.charge(1, now)
        early_ms = (reading.earliest - self._burst - now) / self._parts
        if early_ms > TOLERANCE_MS:
            raise Violation(
                "no more lines are taken than the budget has",
                f"one of connection {step.peer.number} came {early_ms:g} ms too early",
            )

    def _check_what_waits(self, peer: Peer, now_ms: int) -> None:
        session = self._peers.session(peer)
        if session is None or peer.closed or session.draining:
            return
        reading, line = self._reading(peer), peer.pending[0]
        if not line.read:
            line.read = True
            reading.charge(1, now_ms * self._parts)
        began, reading.paced = session.paced and not reading.paced, session.paced
        if session.paced:
            until_ms = -((self._burst - reading.latest) // self._parts)
            self._seen["paced"] += began
            if began and until_ms <= now_ms:
                raise Violation(
                    "a connection within its budget of lines is not paced",
                    f"connection {peer.number}, which was so {now_ms - until_ms} ms before",
                )
            due_ms = self._node.next_deadline_ms()
            if due_ms is None or due_ms > max(now_ms, until_ms) + TOLERANCE_MS:
                raise Violation(
                    "a paced connection goes on when its budget has enough",
                    f"connection {peer.number} should at {until_ms}, the node is woken at {due_ms}",
                )
        elif (
            not session.under_way
            and not session.full
            and session.state in (State.ANONYMOUS, State.READY)
            and not self._node.resource_counts().get("deferred connections")
        ):
            raise Violation("a line that nothing holds back is taken", f"connection {peer.number}")


def _is_sure(step: Step) -> bool:
    """Whether the line was not accepted, or is over its user's budget."""
    request, accepted = step.line.request, step.user is not None
    if isinstance(request, AUTHENTICATIONS):
        accepted = not accepted
    over_cost = accepted and step.frame is not None and step.frame.code is ErrorCode.RATE_LIMITED
    if isinstance(request, (*SENDS, *AUTHENTICATIONS)):
        over_cost = False
    return step.taken and (over_cost or not accepted or isinstance(request, Problem))
