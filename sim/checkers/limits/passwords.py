"""Passwords: how many from one address are checked, and that those within the budget do not wait.

- No more passwords of an address are handed to the hasher than its budget has.
- A password waits only if the hasher is at work on as many as it takes, or its address is over its
  budget; and then no longer than until the budget has one again.

An operation does not say whose password it has. If peers of several addresses sent that password,
each of the addresses may have been charged: `sure` has what an address was charged for certain,
`possible` all that it may have been charged.
"""

from collections import Counter

from chat.core.node import Node
from chat.core.ports import effects as fx
from chat.core.ports.effects import AnyEffect
from chat.core.ports.operations import CheckPassword, HashPassword
from chat.core.state.config import NodeConfig
from chat.protocol.messages import LoginRequest, RegisterRequest
from sim.checkers import Violation
from sim.checkers.limits.bucket import Bucket, Kind, Use
from sim.checkers.limits.peers import Closing, Line, Peer, Step
from sim.checkers.limits.under_way import UnderWay

TOLERANCE_MS = 1
_Password = tuple[type[RegisterRequest] | type[LoginRequest], str]


class Passwords:
    """The password budgets of one node."""

    def __init__(
        self, config: NodeConfig, node: Node, under_way: UnderWay, seen: Counter[str]
    ) -> None:
        self._node = node
        self._under_way = under_way
        self._seen = seen
        self._hashes = config.password_hashes
        self._rate = config.logins_per_second * 60, config.login_burst
        self._sure: dict[str, Bucket] = {}
        self._possible: dict[str, Bucket] = {}
        self._waiting: dict[_Password, dict[Line, Peer]] = {}
        """Registrations and logins that are under way, and whose passwords may be still to come."""

    def check(self, steps: list[Step | Closing], effects: list[AnyEffect], now_ms: int) -> None:
        for step in steps:
            if isinstance(step, Step) and step.taken and step.user is None:
                request = step.line.request
                if isinstance(request, RegisterRequest | LoginRequest):
                    key = type(request), request.password
                    self._waiting.setdefault(key, {})[step.line] = step.peer
        for effect in effects:
            if isinstance(effect, fx.Query):
                operation = effect.operation
                if isinstance(operation, HashPassword):
                    self._handed_out((RegisterRequest, operation.password), now_ms)
                elif isinstance(operation, CheckPassword):
                    self._handed_out((LoginRequest, operation.password), now_ms)
        for step in steps:
            lines = step.peer.open if isinstance(step, Closing) else [step.line]
            if isinstance(step, Closing) or step.frame is not None:
                for line in lines:
                    self._forget(line)
        if self._waiting:
            self._check_what_waits(now_ms)

    def lost(self, peer: Peer) -> None:
        for line in peer.open:
            self._forget(line)

    def _forget(self, line: Line) -> None:
        request = line.request
        if isinstance(request, RegisterRequest | LoginRequest):
            key = type(request), request.password
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.pop(line, None)
                if not waiting:
                    del self._waiting[key]

    def _bucket(self, buckets: dict[str, Bucket], address: str, now_ms: int) -> Bucket:
        bucket = buckets.get(address)
        if bucket is None:
            bucket = buckets[address] = Bucket(*self._rate, now_ms)
        bucket.move_to(now_ms)
        return bucket

    def _handed_out(self, password: _Password, now_ms: int) -> None:
        waiting = self._waiting.get(password, {})
        addresses = {peer.address for peer in waiting.values()}
        for address in sorted(addresses):
            self._bucket(self._possible, address, now_ms).judge([[Use(Kind.CHARGED)]])
        if len(addresses) == 1:
            del waiting[next(iter(waiting))]
            (address,) = addresses
            fault = self._bucket(self._sure, address, now_ms).judge([[Use(Kind.TAKEN)]])
            if fault is not None:
                raise Violation(
                    "no more passwords of an address are checked than its budget has",
                    f"{address}: {fault.seen}",
                )
        if not waiting:
            self._waiting.pop(password, None)

    def _check_what_waits(self, now_ms: int) -> None:
        """Registrations have nothing to wait for but their passwords."""
        if self._under_way.by_kind["password"] >= self._hashes:
            return
        due_ms = self._node.next_deadline_ms()
        for (request, _), waiting in self._waiting.items():
            if request is not RegisterRequest:
                continue
            for peer in waiting.values():
                ready_ms = self._bucket(self._possible, peer.address, now_ms).ready_ms()
                self._seen["password_waited"] += 1
                if due_ms is None or due_ms > ready_ms + TOLERANCE_MS:
                    raise Violation(
                        "a password does not wait longer than for its budget",
                        f"one of {peer.address} could go at {ready_ms}, "
                        f"the node is woken at {due_ms}",
                    )
