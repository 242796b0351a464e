"""Admission: which connections a node has room for.

Theory of operation
-------------------

Three limits stand at the entrance: connections of the node, connections of one address, and
connections of one address that are not logged in. An address is one of IPv4, or the first 64 bits
of one of IPv6, which is the least that one customer of a provider has (RFC 6177).

Where a new connection finds no room, one that is not logged in makes room for it: one that a login
has failed on, or that has had `GRACE_MS` and is still not logged in. So connections that only
stand there do not keep others out. If there is none, the new one is refused with `busy`.

Two more limits stand after login: connections of one user, and of one device. There the newest has
its place, and the one that was silent longest is closed with `replaced`: most likely its peer is
gone. No address may have more than three in four of the node's connections, and no user more than
one in four, so that with few files to open one of them cannot take them all.

Invariant: `_by_address` has the connections that are not closed, and those of them that are not
logged in, in the order in which they were last not logged in.
"""

import ipaddress
from itertools import islice
from typing import Final

from msgspec import Struct, field

from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.rules import Input, State

GRACE_MS: Final = 1_000
"""A connection is not closed to make room before it has had this long to log in."""
CANDIDATES: Final = 32
"""Most connections that are looked at for one that may be closed."""


class _Address(Struct):
    """The connections of one address."""

    connections: int = 0
    unauthenticated: dict[int, None] = field(default_factory=dict)


class Admission:
    """The connections of a node, by address."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._by_address: dict[str, _Address] = {}
        self._unauthenticated: dict[int, None] = {}
        """Of all addresses, in the order in which they were last not logged in."""
        config = context.config
        self._per_address = min(config.connections_per_address, max(1, config.connections * 3 // 4))
        self._per_user = min(config.connections_per_user, max(1, config.connections // 4))

    def __len__(self) -> int:
        """How many connections are not logged in."""
        return len(self._unauthenticated)

    # ------------------------------------------------------------------ at the entrance

    def opened(self, session: Session) -> None:
        """A new connection: it has its place, or another one makes room, or it is closed."""
        config = self._context.config
        address = self._by_address.setdefault(session.address, _Address())
        address.connections += 1
        session.admitted = True
        self.unauthenticated(session)
        crowded = (
            len(address.unauthenticated) > config.unauthenticated_per_address
            or address.connections > self._per_address
        )
        if crowded:
            self._make_room(session, address.unauthenticated)
        elif len(self._context.sessions) > config.connections:
            self._make_room(session, self._unauthenticated)

    def _make_room(self, session: Session, among: dict[int, None]) -> None:
        sessions, now_ms = self._context.sessions, self._context.now_ms
        oldest = [sessions[connection] for connection in islice(among, CANDIDATES)]
        may_close = [one for one in oldest if one is not session and _may_close(one, now_ms)]
        # `max` takes the first of several, and so the oldest.
        victim = max(may_close, key=lambda one: one.failures, default=session)
        self._context.close(victim, Input.NOT_ADMITTED)

    def unauthenticated(self, session: Session) -> None:
        """The connection is not logged in: it is new, or has logged out."""
        self._by_address[session.address].unauthenticated[session.connection] = None
        self._unauthenticated[session.connection] = None

    def authenticated(self, session: Session) -> None:
        """The connection is logged in."""
        self._unauthenticated.pop(session.connection, None)
        self._by_address[session.address].unauthenticated.pop(session.connection, None)

    def ended(self, session: Session) -> None:
        """The connection is closed."""
        if not session.admitted:
            return
        session.admitted = False
        self.authenticated(session)
        address = self._by_address[session.address]
        address.connections -= 1
        if not address.connections:
            del self._by_address[session.address]

    # ------------------------------------------------------------------ after login

    def logged_in(self, session: Session, user: LocalUser) -> None:
        """A device of the user has come; if there are too many, one that is silent goes."""
        config, sessions = self._context.config, self._context.sessions
        others = [sessions[number] for number in user.sessions if number != session.connection]
        of_device = [one for one in others if one.token == session.token]
        if len(of_device) >= config.connections_per_device:
            self._replace(of_device)
        elif len(others) >= self._per_user:
            self._replace(others)

    def _replace(self, sessions: list[Session]) -> None:
        silent_longest = min(sessions, key=lambda one: one.heard_at_ms)
        self._context.close(silent_longest, Input.REPLACED)


def _may_close(session: Session, now_ms: int) -> bool:
    """Whether the connection, which is not logged in, may be closed to make room for another."""
    if session.failures:
        return True
    return session.state is State.ANONYMOUS and now_ms - session.since_ms >= GRACE_MS


def address_of(peer: str) -> str:
    """What the limits of an address count by: the address for IPv4, the network of 64 bits for
    IPv6; text that is no address as it is."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64)) + "/64"
