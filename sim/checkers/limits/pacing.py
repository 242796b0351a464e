"""Pacing: how fast the lines of a connection are taken.

- No more lines are taken from a connection than its budget has.
- A connection within its budget is not paced; one that is paced goes on when its budget has enough.
- A line is taken in the event in which nothing holds it back any more.

A line is read when it has arrived and the one before it was taken, and charged then. It may have to
wait for other reasons afterwards.
"""

from collections import Counter
from dataclasses import dataclass

from chat.core.node import Node
from chat.core.state.config import NodeConfig
from chat.protocol.rules import State
from sim.checkers import Violation
from sim.checkers.limits.peers import Closing, Line, Peer, Peers, Step

LINE_PARTS = 1_000
LINE_BYTES = 1024
"""A line over this counts as several."""
TOLERANCE_MS = 1


@dataclass(slots=True)
class _Reading:
    """`full_at`: when the budget will be full again, in parts of a ms: as many are one ms as a
    connection has lines a second, so that a line is a whole number of them."""

    full_at: int
    last_taken_ms: int
    paced: bool = False


class Pacing:
    """The budgets of lines of one node."""

    def __init__(self, config: NodeConfig, node: Node, peers: Peers, seen: Counter[str]) -> None:
        self._node = node
        self._peers = peers
        self._seen = seen
        self._parts = config.lines_per_second
        self._burst = config.line_burst * LINE_PARTS
        self._readings: dict[Peer, _Reading] = {}

    def check(self, steps: list[Step | Closing], now_ms: int) -> None:
        for step in steps:
            if isinstance(step, Closing):
                self._readings.pop(step.peer, None)
            elif step.taken:
                self._taken(step.peer, step.line, now_ms)
        for peer in self._peers.with_pending:
            self._check_what_waits(peer, now_ms)

    def _reading(self, peer: Peer) -> _Reading:
        reading = self._readings.get(peer)
        if reading is None:
            reading = self._readings[peer] = _Reading(0, peer.opened_ms)
        return reading

    def _full_at(self, reading: _Reading, line: Line) -> int:
        """When the budget will be full again after that line, which is the next one."""
        read_at = max(line.arrived_ms, reading.last_taken_ms) * self._parts
        lines = 1 + line.size // LINE_BYTES
        return max(reading.full_at, read_at) + lines * LINE_PARTS

    def _taken(self, peer: Peer, line: Line, now_ms: int) -> None:
        reading = self._reading(peer)
        full_at = self._full_at(reading, line)
        early_ms = (full_at - self._burst) / self._parts - now_ms
        if early_ms > TOLERANCE_MS:
            raise Violation(
                "no more lines are taken than the budget has",
                f"one of connection {peer.number} came {early_ms:g} ms too early",
            )
        reading.full_at, reading.last_taken_ms = full_at, now_ms

    def _check_what_waits(self, peer: Peer, now_ms: int) -> None:
        session = self._peers.session(peer)
        if session is None or peer.closed or session.draining:
            return
        reading = self._reading(peer)
        began, reading.paced = session.paced and not reading.paced, session.paced
        if session.paced:
            until = self._full_at(reading, peer.pending[0]) - self._burst
            until_ms = -(-until // self._parts)
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
