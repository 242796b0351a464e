"""Connections: how many a node has by address, user and device, and which makes room for another.

- Never are there more than the limit; those that are being closed do not count.
- `busy` is told only if there is no room: to a connection that is not logged in and has failed to
  log in or has had a second for it; if the node is full, to one that has not begun to log in, of an
  address with as many of them as the new one's; or else to the new one.
- One place in eight is kept for connections that are not logged in. A login is refused with `busy`
  only if all others are taken.
- `replaced` is told only at the limit of a user, a device or the node, and to the connection that
  was silent longest: of that user, that device, or the user with the most.
"""

from collections import Counter

from chat.core.ports import events as ev
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from chat.protocol.errors import ErrorCode
from sim.checkers import Violation
from sim.checkers.limits.peers import Closing, Peer, Peers, Step

GRACE_MS = 1_000
LOOKED_AT = 32
"""A node may look at no more connections than this for one that makes room."""


class Connections:
    """The connections of one node. `_here` are those that are not closed."""

    def __init__(self, config: NodeConfig, peers: Peers, seen: Counter[str]) -> None:
        self._peers = peers
        self._seen = seen
        self._most = config.connections
        self._places = config.connections - config.connections // 4
        self._per_address = min(config.connections_per_address, config.connections * 3 // 4)
        self._per_user = min(config.connections_per_user, config.connections // 4)
        self._per_device = config.connections_per_device
        self._unauthenticated = config.unauthenticated_per_address
        self._here: dict[Peer, None] = {}

    def check(self, event: AnyEvent, steps: list[Step | Closing], now_ms: int) -> None:
        new = None
        if isinstance(event, ev.ConnectionOpened):
            new = self._peers.by_number[event.connection]
            self._here[new] = None
        newest: Peer | None = None
        """The connection that was logged in last in this event."""
        for step in steps:
            if isinstance(step, Closing):
                if step.code is ErrorCode.BUSY:
                    self._made_room(step.peer, new, now_ms)
                elif step.code is ErrorCode.REPLACED:
                    self._replaced(step.peer, newest)
                self._here.pop(step.peer, None)
            elif step.frame is not None and step.frame.type == "logged_in":
                newest = step.peer
            elif step.frame is not None and step.frame.code is ErrorCode.BUSY:
                self._found_no_place(step.peer)
        if isinstance(event, ev.ConnectionLost):
            self._here = {peer: None for peer in self._here if not peer.closed}
        elif new is not None or newest is not None:
            self._check_counts()

    def _check_counts(self) -> None:
        here = self._here
        counts = (
            ("a node", self._most, Counter("all" for _ in here)),
            ("an address", self._per_address, Counter(peer.address for peer in here)),
            (
                "an address that are not logged in",
                self._unauthenticated,
                Counter(peer.address for peer in here if peer.user is None),
            ),
            (
                "a node that are logged in",
                self._places,
                Counter("all" for peer in here if peer.user),
            ),
            ("a user", self._per_user, Counter(peer.user for peer in here if peer.user)),
            ("a device", self._per_device, Counter(peer.token for peer in here if peer.token)),
        )
        for what, most, count in counts:
            if count and max(count.values()) > most:
                raise Violation(f"{what} has no more connections than the limit", f"{count}")

    # ------------------------------------------------------------------ before login

    def _made_room(self, closed: Peer, new: Peer | None, now_ms: int) -> None:
        if new is None:
            raise Violation("a connection is refused when it comes", f"{closed.number}")
        address = [peer for peer in self._here if peer.address == new.address]
        unauthenticated = [peer for peer in address if peer.user is None]
        crowded = len(address) > self._per_address or len(unauthenticated) > self._unauthenticated
        may_close = [peer for peer in unauthenticated if self._may_close(peer, now_ms)]
        if not crowded:
            # Those that are being closed take room in the node until they are gone.
            if len(self._peers.by_number) <= self._most:
                raise Violation(
                    "no connection is refused while there is room",
                    f"{len(self._peers.by_number)} of {self._most}",
                )
            unauthenticated = [peer for peer in self._here if peer.user is None]
            may_close = [peer for peer in unauthenticated if self._may_close(peer, now_ms)]
            may_close = may_close or self._of_many(new)
        if closed is new:
            self._seen["not_admitted"] += 1
            if may_close and len(unauthenticated) <= LOOKED_AT:
                raise Violation(
                    "a connection is refused only if none can make room",
                    f"{closed.number}, and not {[peer.number for peer in may_close]}",
                )
        else:
            self._seen["made_room"] += 1
            if closed not in may_close and (
                len(unauthenticated) <= LOOKED_AT or closed not in self._of_many(new)
            ):
                raise Violation(
                    "a connection makes room only if it has had its time or failed to log in",
                    f"{closed.number} of {closed.address}, {now_ms - closed.since_ms} ms old",
                )

    def _of_many(self, new: Peer) -> list[Peer]:
        """Connections that have not begun to log in, of addresses with as many that are not logged
        in as the new one's address has, or more."""
        counts = Counter(peer.address for peer in self._here if peer.user is None)
        return [
            peer
            for peer in self._here
            if peer.user is None
            and peer.authenticating is None
            and peer is not new
            and counts[peer.address] >= counts[new.address]
        ]

    def _found_no_place(self, peer: Peer) -> None:
        """A login was refused, as the node is full."""
        self._seen["no_place"] += 1
        logged_in = sum(peer.user is not None for peer in self._here)
        if logged_in < self._places:
            raise Violation(
                "no login is refused while there is a place",
                f"that on {peer.number}, with {logged_in} of {self._places} taken",
            )

    def _may_close(self, peer: Peer, now_ms: int) -> bool:
        if peer.failures:
            return True
        return peer.authenticating is None and now_ms - peer.since_ms >= GRACE_MS

    # ------------------------------------------------------------------ after login

    def _replaced(self, closed: Peer, newest: Peer | None) -> None:
        if newest is None or newest is closed:
            raise Violation("a connection is replaced by a newer one", f"{closed.number}")
        logged_in = [peer for peer in self._here if peer.user is not None and peer is not newest]
        others = [peer for peer in logged_in if peer.user == newest.user]
        of_device = [peer for peer in others if peer.token == newest.token]
        if len(of_device) >= self._per_device:
            self._seen["device_replaced"] += 1
            others = of_device
        elif len(others) >= self._per_user:
            self._seen["user_replaced"] += 1
        elif len(logged_in) >= self._places:
            self._seen["most_replaced"] += 1
            counts = Counter(peer.user for peer in logged_in)
            most = max(counts.values())
            if counts[closed.user] < most:
                raise Violation(
                    "the user with the most connections makes room",
                    f"user {closed.user} has {counts[closed.user]}, another one {most}",
                )
            others = [peer for peer in logged_in if peer.user == closed.user]
        else:
            raise Violation(
                "no connection is replaced below the limit",
                f"{closed.number}, one of {len(others)} of user {closed.user}",
            )
        silent_longest_ms = min(peer.heard_ms for peer in others)
        if closed not in others or closed.heard_ms > silent_longest_ms:
            raise Violation(
                "the connection that was silent longest is replaced",
                f"{closed.number} was heard {closed.heard_ms - silent_longest_ms} ms later",
            )
