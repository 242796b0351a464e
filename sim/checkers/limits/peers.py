"""Peers: what each connection of a node sent, and which of it was taken and answered, and when.

A peer's bytes are cut into lines here once more. Replies come in the order of requests, but for
sends; so a reply tells that all lines before its own have been taken. A line that was taken and not
answered shows in the session's `under_way` after the event. So it is known for each line in which
event it was taken.
"""

import ipaddress
from collections import deque
from dataclasses import dataclass, field

import msgspec

from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.session import Session
from chat.protocol.codec import Problem, decode_request
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import (
    ChatRequest,
    GroupChatRequest,
    LoginRequest,
    LogoutRequest,
    RegisterRequest,
    Request,
    ResumeRequest,
)
from sim.checkers import Violation
from sim.cluster.host import Host

SENDS = (ChatRequest, GroupChatRequest)
AUTHENTICATIONS = (RegisterRequest, LoginRequest, ResumeRequest)
CLOSING_ERRORS = (ErrorCode.BUSY, *(code for code in ErrorCode if ERRORS[code].closes))
"""Errors that are about the connection and not about a line, if they carry no `re`."""


_Rows = tuple[msgspec.Raw, ...] | int


class _User(msgspec.Struct):
    id: int


class _Entry(msgspec.Struct):
    text: str


TEXT_ROW = 200
"""The code points of an entry's text that count as another entry."""


class Frame(msgspec.Struct):
    """The fields of a reply that are checked."""

    type: str
    re: int | None = None
    code: ErrorCode | None = None
    retry_after_ms: int | None = None
    token: str = ""
    user: _User | None = None
    entries: tuple[_Entry, ...] = ()
    members: _Rows = ()
    friends: _Rows = ()
    groups: _Rows = ()

    @property
    def rows(self) -> int:
        """How many rows it has. In a profile, friends and groups are counts, not rows."""
        parts = (self.members, self.friends, self.groups)
        rows = sum(len(part) for part in parts if not isinstance(part, int))
        return rows + sum(1 + len(entry.text) // TEXT_ROW for entry in self.entries)


_decode = msgspec.json.Decoder(Frame).decode
_REPLIES = (b'"re":', b'{"type":"error"')


@dataclass(slots=True, eq=False)
class Line:
    """A line that a peer sent."""

    request: Request | Problem
    size: int
    arrived_ms: int
    read: bool = False
    """It was read from its connection, and may have to wait since."""

    @property
    def id(self) -> int | None:
        return self.request.re if isinstance(self.request, Problem) else self.request.id


@dataclass(slots=True, eq=False)
class Peer:
    """One connection of a node. `since_ms`: when it was last opened, refused or logged out."""

    number: int
    name: str
    address: str
    opened_ms: int
    since_ms: int
    heard_ms: int
    user: int | None = None
    token: str = ""
    failures: int = 0
    closed: bool = False
    unread: bytes = b""
    pending: deque[Line] = field(default_factory=deque)
    """Lines that have not been taken."""
    open: list[Line] = field(default_factory=list)
    """Lines that were taken and are not answered."""

    @property
    def authenticating(self) -> Line | None:
        """The register, login or resume that is under way."""
        if self.open and isinstance(self.open[0].request, AUTHENTICATIONS):
            return self.open[0]
        return None


@dataclass(slots=True)
class Step:
    """A line was taken, or answered by `frame`, or both; the user is the one before the step."""

    peer: Peer
    line: Line
    user: int | None
    taken: bool
    frame: Frame | None


@dataclass(slots=True)
class Closing:
    """The node ends a connection, with an error or without."""

    peer: Peer
    code: ErrorCode | None


class Peers:
    """The connections of one node, until they are lost."""

    def __init__(self, host: Host, tokens: dict[str, int]) -> None:
        self._host = host
        self._tokens = tokens
        """By token, of all nodes: its user."""
        self.by_number: dict[int, Peer] = {}
        self.with_pending: dict[Peer, None] = {}
        """Peers with lines that have not been taken."""

    def follow(
        self, event: AnyEvent, effects: list[AnyEffect], now_ms: int
    ) -> list[Step | Closing]:
        """What the event has changed, in the order of its effects; last what was only taken."""
        steps: list[Step | Closing] = []
        self._happened(event, now_ms)
        for effect in effects:
            peer = self.by_number.get(getattr(effect, "connection", 0))
            if peer is None:
                continue
            if isinstance(effect, fx.Send):
                self._written(peer, effect.data, now_ms, steps)
            elif isinstance(effect, fx.Close):
                self._close(peer, None, steps)
            elif isinstance(effect, fx.PauseReading | fx.ResumeReading):
                peer.heard_ms = now_ms
        for peer in list(self.with_pending):
            self._take_what_is_under_way(peer, steps)
            if peer.closed or not peer.pending:
                del self.with_pending[peer]
        return steps

    def _happened(self, event: AnyEvent, now_ms: int) -> None:
        if isinstance(event, ev.ConnectionOpened):
            conn = self._host.connections.get(event.connection)
            name = "" if conn is None else conn.name
            self.by_number[event.connection] = Peer(
                event.connection, name, limited_address(event.address), now_ms, now_ms, now_ms
            )
        elif isinstance(event, ev.ConnectionLost):
            lost = self.by_number.pop(event.connection, None)
            if lost is not None:
                lost.closed = True
                self.with_pending.pop(lost, None)
        elif isinstance(event, ev.BytesReceived):
            peer = self.by_number.get(event.connection)
            if peer is not None and not peer.closed:
                peer.heard_ms = now_ms
                self._cut(peer, event.data, now_ms)

    def _cut(self, peer: Peer, data: bytes, now_ms: int) -> None:
        *lines, peer.unread = (peer.unread + data).split(b"\n")
        for line in lines:
            if line.strip(b"\r"):
                peer.pending.append(Line(decode_request(line), len(line), now_ms))
                self.with_pending[peer] = None

    def _written(self, peer: Peer, data: bytes, now_ms: int, steps: list[Step | Closing]) -> None:
        """The replies in what is sent to a peer, or the error that ends its connection."""
        for line in data.splitlines():
            if not any(part in line for part in _REPLIES):
                continue
            frame = _decode(line)
            if frame.re is None and (frame.type != "error" or frame.code in CLOSING_ERRORS):
                self._close(peer, frame.code, steps)
            else:
                self._replied(peer, frame, now_ms, steps)

    def _close(self, peer: Peer, code: ErrorCode | None, steps: list[Step | Closing]) -> None:
        """The node ends the connection, now or after a while."""
        if not peer.closed:
            peer.closed = True
            steps.append(Closing(peer, code))

    def _replied(self, peer: Peer, frame: Frame, now_ms: int, steps: list[Step | Closing]) -> None:
        limited = frame.code is ErrorCode.RATE_LIMITED and peer.authenticating is None
        for line in peer.open:
            # What is over the budget is refused in the event in which it is taken.
            if line.id == frame.re and not limited:
                peer.open.remove(line)
                steps.append(Step(peer, line, peer.user, taken=False, frame=frame))
                self._learn(peer, line, frame, now_ms)
                return
        while peer.pending:
            line = peer.pending.popleft()
            if line.id == frame.re:
                steps.append(Step(peer, line, peer.user, taken=True, frame=frame))
                self._learn(peer, line, frame, now_ms)
                return
            peer.open.append(line)
            steps.append(Step(peer, line, peer.user, taken=True, frame=None))
        raise Violation(
            "a reply answers a request", f"{frame} on {peer.number} of {self._host.name}"
        )

    def _learn(self, peer: Peer, line: Line, frame: Frame, now_ms: int) -> None:
        """What a reply says of its connection."""
        request = line.request
        if frame.type == "logged_in":
            assert frame.user is not None
            peer.user, peer.token, peer.failures = frame.user.id, frame.token, 0
            self._tokens[frame.token] = frame.user.id
        elif isinstance(request, LogoutRequest) and frame.type == "done":
            peer.user, peer.token, peer.since_ms = None, "", now_ms
        elif isinstance(request, AUTHENTICATIONS) and peer.user is None:
            peer.since_ms = now_ms
            if frame.code is ErrorCode.BAD_CREDENTIALS:
                peer.failures += 1

    def _take_what_is_under_way(self, peer: Peer, steps: list[Step | Closing]) -> None:
        session = self.session(peer)
        if session is None:
            return
        while len(peer.open) < session.under_way and peer.pending:
            line = peer.pending.popleft()
            peer.open.append(line)
            steps.append(Step(peer, line, peer.user, taken=True, frame=None))
        if len(peer.open) != session.under_way and not peer.closed:
            raise Violation(
                "a request is under way until it is answered",
                f"{len(peer.open)} and not {session.under_way} on {peer.number} "
                f"of {self._host.name}",
            )

    def session(self, peer: Peer) -> Session | None:
        node = self._host.node
        return None if node is None else node.session(peer.number)


def limited_address(peer: str) -> str:
    """An address is one of IPv4, or the first 64 bits of one of IPv6. IPv4 that is mapped into IPv6
    is IPv4."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)
