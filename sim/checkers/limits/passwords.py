"""Passwords: how many from one address are checked, and that those within the budget do not wait.

- No more passwords of an address are handed to the hasher than its budget has.
- A password waits only if the hasher is at work on as many as it takes, or its address is over its
  budget; and then no longer than until the budget has one again.
- No password of a connection that is closed is handed out.

An operation does not say whose password it has. If peers of several addresses sent that password,
each of the addresses may have been charged: `sure` has what an address was charged for certain,
`possible` all that it may have been charged. And it is not known then which of them still wait.
"""

from collections import Counter

from chat.core.node import Node
from chat.core.ports import effects as fx
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.ports.operations import CheckPassword, FindAccount, HashPassword
from chat.core.state.config import NodeConfig
from chat.protocol.messages import LoginRequest, RegisterRequest
from sim.checkers import Violation
from sim.checkers.limits.bucket import Bucket, Kind, Use
from sim.checkers.limits.peers import Closing, Line, Peer, Step
from sim.checkers.limits.under_way import UnderWay, answered_tickets

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
        self._open: dict[_Password, dict[Line, Peer]] = {}
        """Registrations and logins that are under way."""
        self._waiting: dict[Line, Peer] = {}
        """Those of them that wait for nothing but the hasher."""
        self._unasked: Counter[int | str] = Counter()
        """By account, as it was named: how many logins were taken and have not asked for it."""
        self._perhaps_asked: set[Line] = set()
        """Logins that may have asked for their accounts."""
        self._accounts: dict[int, Line] = {}
        """By ticket of FindAccount: the login that asked for it."""

    def check(
        self,
        event: AnyEvent,
        effects: list[AnyEffect],
        steps: list[Step | Closing],
        now_ms: int,
    ) -> None:
        for step in steps:
            if isinstance(step, Step) and step.taken and step.user is None and not step.frame:
                key = _password_of(step.line)
                if key is not None:
                    self._open.setdefault(key, {})[step.line] = step.peer
                    if isinstance(step.line.request, LoginRequest):
                        self._unasked[step.line.request.user] += 1
                    else:
                        self._waiting[step.line] = step.peer
        for ticket in answered_tickets(event):
            line = self._accounts.pop(ticket, None)
            key = None if line is None else _password_of(line)
            if line is not None and key is not None and line in self._open.get(key, {}):
                self._waiting[line] = self._open[key][line]
        for effect in effects:
            if isinstance(effect, fx.Query):
                self._asked(effect, now_ms)
        for step in steps:
            if isinstance(step, Closing):
                self.lost(step.peer)
            elif step.frame is not None:
                self._forget(step.line)
        if self._waiting:
            self._check_what_waits(now_ms)

    def lost(self, peer: Peer) -> None:
        for line in peer.open:
            self._forget(line)

    def _forget(self, line: Line) -> None:
        self._waiting.pop(line, None)
        self._perhaps_asked.discard(line)
        key = _password_of(line)
        if key is not None and line in self._open.get(key, {}):
            del self._open[key][line]
            if not self._open[key]:
                del self._open[key]

    def _bucket(self, buckets: dict[str, Bucket], address: str, now_ms: int) -> Bucket:
        bucket = buckets.get(address)
        if bucket is None:
            bucket = buckets[address] = Bucket(*self._rate, now_ms)
        bucket.move_to(now_ms)
        return bucket

    def _asked(self, query: fx.Query, now_ms: int) -> None:
        operation = query.operation
        if isinstance(operation, HashPassword):
            self._handed_out((RegisterRequest, operation.password), now_ms)
        elif isinstance(operation, CheckPassword):
            self._handed_out((LoginRequest, operation.password), now_ms)
        elif isinstance(operation, FindAccount):
            lines = [
                line
                for (kind, _), lines in self._open.items()
                if kind is LoginRequest
                for line in lines
                if isinstance(line.request, LoginRequest) and line.request.user == operation.user
            ]
            # Another connection may have asked for the same account, and be closed since.
            new = [line for line in lines if line not in self._perhaps_asked]
            if len(lines) == len(new) == 1 and self._unasked[operation.user] == 1:
                self._accounts[query.ticket] = new[0]
            self._unasked[operation.user] -= 1
            self._perhaps_asked.update(new)

    def _handed_out(self, password: _Password, now_ms: int) -> None:
        lines = self._open.get(password)
        if not lines:
            raise Violation(
                "no password of a closed connection is checked", f"{password[1]} has no peer"
            )
        for line in lines:
            self._waiting.pop(line, None)
        addresses = {peer.address for peer in lines.values()}
        for address in sorted(addresses):
            self._bucket(self._possible, address, now_ms).judge([[Use(Kind.CHARGED)]])
        if len(addresses) == 1:
            (address,) = addresses
            fault = self._bucket(self._sure, address, now_ms).judge([[Use(Kind.TAKEN)]])
            if fault is not None:
                raise Violation(
                    "no more passwords of an address are checked than its budget has",
                    f"{address}: {fault.seen}",
                )

    def _check_what_waits(self, now_ms: int) -> None:
        if self._under_way.by_kind["password"] >= self._hashes:
            return
        due_ms = self._node.next_deadline_ms()
        for peer in self._waiting.values():
            ready_ms = self._bucket(self._possible, peer.address, now_ms).ready_ms()
            self._seen["password_waited"] += 1
            if due_ms is None or due_ms > ready_ms + TOLERANCE_MS:
                raise Violation(
                    "a password does not wait longer than for its budget",
                    f"one of {peer.address} could go at {ready_ms}, the node is woken at {due_ms}",
                )


def _password_of(line: Line) -> _Password | None:
    request = line.request
    if isinstance(request, RegisterRequest | LoginRequest):
        return type(request), request.password
    return None
