"""Admission: which connections a node has room for.

Theory of operation
-------------------

Three limits stand at the entrance: connections of the node, connections of one address, and
connections of one address that are not logged in. An address is one of IPv4, or the first 64 bits
of one of IPv6, which is the least that one customer of a provider has (RFC 6177).

Where a new connection finds no room, one that is not logged in makes room for it: one that a login
has failed on, or that has had `GRACE_MS` and is still not logged in. So connections that only
stand there do not keep others out. Where the node is full, the oldest one that has not begun to log
in makes room, too, if its address has as many of them as the new one's address. If there is none,
the new one is refused with `busy`. It is closed `LINGER_MS` later, unless its peer closes it: one
that connects again and again would cost more than one that waits.

Two more limits stand after login: connections of one user, and of one device. There the newest has
its place, and the one that was silent longest is closed with `replaced`: most likely its peer is
gone. One place in four of the node is kept for connections that are not logged in; when all others
are taken, the user with the most connections makes room for one with at least two less, or else the
login is refused with `busy`. No address may have more than three in four of the node's connections,
and no user more than one in four. So with few files to open neither of them can take them all.

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
LINGER_MS: Final = 1_000
"""How long a connection that was refused stays open."""


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
        self._places = config.connections - config.connections // 4
        """How many connections may be logged in."""
        self._admitted = 0
        """Connections that are not closed."""
        self._lingering = 0
        """Connections that were refused and are not closed."""
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
        self._admitted += 1
        session.admitted = True
        self.unauthenticated(session)
        if (
            len(address.unauthenticated) > config.unauthenticated_per_address
            or address.connections > self._per_address
        ):
            self._refuse(self._idle_one(address.unauthenticated) or session)
        elif self._is_full:
            idle = self._idle_one(self._unauthenticated)
            self._refuse(idle or self._one_of_many(session) or session)

    @property
    def _is_full(self) -> bool:
        """There are more connections than the node may have, those that linger among them."""
        return len(self._context.sessions) > self._context.config.connections

    def _idle_one(self, among: dict[int, None]) -> Session | None:
        """The connection that is to make room: one that a login failed on, or an idle one."""
        sessions, now_ms = self._context.sessions, self._context.now_ms
        oldest = [sessions[connection] for connection in islice(among, CANDIDATES)]
        may_close = [one for one in oldest if _may_close(one, now_ms)]
        # `max` takes the first of several, and so the oldest.
        return max(may_close, key=lambda one: one.failures, default=None)

    def _one_of_many(self, new: Session) -> Session | None:
        """The oldest connection that has not begun to log in, of an address with as many that are
        not logged in as the address of the new one, or more."""
        count = len(self._by_address[new.address].unauthenticated)
        for connection in islice(self._unauthenticated, CANDIDATES):
            one = self._context.sessions[connection]
            of_address = len(self._by_address[one.address].unauthenticated)
            if one is not new and one.state is State.ANONYMOUS and of_address >= count:
                return one
        return None

    def _refuse(self, session: Session) -> None:
        context = self._context
        if not self._is_full and self._lingering < context.config.connections // 16:
            session.lingers = True
            self._lingering += 1
            context.close(session, Input.NOT_ADMITTED, after_ms=LINGER_MS)
        else:
            context.close(session, Input.NOT_ADMITTED)

    def lost(self, session: Session) -> None:
        """The connection is gone."""
        if session.lingers:
            self._lingering -= 1

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
        self._admitted -= 1
        if not address.connections:
            del self._by_address[session.address]

    # ------------------------------------------------------------------ after login

    @property
    def _logged_in(self) -> int:
        return self._admitted - len(self._unauthenticated)

    def has_place(self, user_id: int) -> bool:
        """Whether a connection of the user may log in: there is a place, or another user has at
        least two connections more, one of which makes room. So users with as many connections do
        not take their places from each other in turns."""
        if self._logged_in < self._places:
            return True
        user = self._context.users.get(user_id)
        most = self._user_with_most()
        return most is not None and len(most.sessions) > 1 + (len(user.sessions) if user else 0)

    def logged_in(self, session: Session, user: LocalUser) -> None:
        """A device of the user has come; if there are too many, one that is silent goes."""
        config, sessions = self._context.config, self._context.sessions
        others = [sessions[number] for number in user.sessions if number != session.connection]
        of_device = [one for one in others if one.token == session.token]
        if len(of_device) >= config.connections_per_device:
            self._replace(of_device)
        elif len(others) >= self._per_user:
            self._replace(others)
        elif self._logged_in > self._places:
            most = self._user_with_most(session)
            assert most is not None
            others = [sessions[number] for number in most.sessions if number != session.connection]
            self._replace(others)

    def _user_with_most(self, but: Session | None = None) -> LocalUser | None:
        """The user with the most connections, one of them left out. It looks at all users."""
        users = self._context.users.values()
        new = None if but is None else but.user
        return max(users, key=lambda user: len(user.sessions) - (user is new), default=None)

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
