"""Every parser of bytes or texts that another program, or a user, has a hand in.

`test_every_parser_is_here` finds functions by their names and fails if one is missing. A parser
that gets a stream stands here once for each way in which the stream is cut.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

import msgspec

from chat.bus import redis_connection
from chat.bus.redis_subscriptions import RedisSubscriptions
from chat.client.session.calls import Calls
from chat.client.session.client_session import ClientSession
from chat.client.session.ports import events as client_ev
from chat.client.session.ports import notices
from chat.client.session.roster import Roster
from chat.client.terminal import commands, rendering
from chat.core.node import Node
from chat.core.ports import events as ev
from chat.core.ports.bus_messages import decode_bus_message
from chat.core.state.config import NodeConfig
from chat.net.driver import Driver
from chat.net.proxy_protocol import BadHeader, Balancers, parse_header
from chat.net.tcp import Connection, FullWarning
from chat.protocol.codec import BadMessage, decode_request, decode_server_message
from chat.protocol.frames import FrameSplitter
from chat.protocol.messages import Entry, EntryKind, User

LINE_BYTES: Final = 65_536
"""Of the parsers of the node: the longest line."""
CLIENT_BYTES: Final = 131_072
"""Lines of a node may be longer than that; the growth shows below."""
TEXT_LENGTH: Final = 8_192
"""Twice the longest text."""
A_PIECE_S: Final = 15e-6
"""A piece costs this much, at most, even if it has only one byte."""
MUCH: Final = 10**9
A_LINE_S: Final = 40e-6
"""In a session each line costs this much, at most, even if it has only one byte."""


class Parser(NamedTuple):
    """`s_per_byte`: the upper bound of work, on any machine; a tenth of it is usual."""

    name: str
    run: Callable[[Any], object]
    length: int
    s_per_byte: float = 800e-9
    """A line of 64 KiB takes 0.05 s at most."""


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# ------------------------------------------------------------------------ lines


def split(data: bytes, size: int, *, eager: bool = True) -> None:
    splitter = FrameSplitter()
    for piece in pieces(data, size):
        splitter.feed(piece)
        if eager:
            while splitter.take(LINE_BYTES) is not None:
                pass
        else:
            splitter.take(LINE_BYTES)
    while splitter.take(LINE_BYTES) is not None:
        pass


def node(data: bytes, size: int) -> None:
    """A whole node whose peer is not logged in, with the limits of one that is."""
    whole = Node(
        NodeConfig("node", login_line_bytes=LINE_BYTES, lines_per_second=MUCH, line_burst=MUCH)
    )
    whole.handle(ev.ConnectionOpened(1, "10.0.0.1"), 0)
    for piece in pieces(data, size):
        whole.handle(ev.BytesReceived(1, piece), 0)
        while whole.next_deadline_ms() == 0:
            whole.handle(ev.Tick(), 0)


def client_lines(data: bytes, size: int) -> None:
    calls = Calls()
    with contextlib.suppress(BadMessage):
        for piece in pieces(data, size):
            for _ in calls.messages(piece):
                pass


def client(data: bytes, size: int) -> None:
    """A whole session that has connected."""
    session = ClientSession("key", lambda: 0.5)
    session.handle(client_ev.LogIn("ann", "correct horse"), 0)
    session.handle(client_ev.Connected(1), 0)
    for piece in pieces(data, size):
        session.handle(client_ev.BytesReceived(1, piece), 0)


def server_message(line: bytes) -> None:
    with contextlib.suppress(BadMessage):
        decode_server_message(line)


def bus_message(data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode_bus_message(data)


# ------------------------------------------------------------------------ sockets


class _Transport(asyncio.Transport):
    """A socket whose other end is a balancer, or Redis."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.9", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    aborted = False


class _Driver:
    """Takes what a connection feeds, and does nothing."""

    def connected(self, connection: Connection) -> int:
        return 1

    def feed(self, event: ev.AnyEvent) -> None:
        pass

    def __len__(self) -> int:
        return 1


def balancer(data: bytes, size: int) -> None:
    """A connection from a balancer, which begins with a PROXY header."""

    async def receive() -> None:
        driver = cast(Driver, _Driver())
        balancers = Balancers.parse("10.0.0.9")
        full_warning = FullWarning(1_000)
        connection = Connection(driver, NodeConfig("node"), balancers, full_warning, 5.0, 5.0)
        transport = _Transport()
        connection.connection_made(transport)
        for piece in pieces(data, size):
            if not transport.aborted:
                connection.data_received(piece)
        connection._stop_header_timer()

    asyncio.run(receive())


def header(data: bytes) -> None:
    with contextlib.suppress(BadHeader):
        parse_header(data)


def redis(data: bytes, size: int) -> None:
    """The subscribing connection of a bus that follows one channel."""

    async def receive() -> None:
        subscriptions = RedisSubscriptions(b"x ", lambda event: None, lambda: None)
        subscriptions.subscribe("u:1", 1)
        connection = redis_connection.RedisConnection()
        transport = _Transport()
        connection.connection_made(transport)
        subscriptions.connected(connection)
        connection.data_received(b"*3\r\n$9\r\nsubscribe\r\n$3\r\nu:1\r\n:1\r\n")
        for piece in pieces(data, size):
            if not transport.aborted:
                connection.data_received(piece)
        connection._break(ConnectionError("the end"))

    asyncio.run(receive())


# ------------------------------------------------------------------------ texts

_NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
_CLOCK: Final = rendering.Clock(_NOW, UTC)
_ROSTER: Final = Roster()


def entry(text: str) -> None:
    user = User(id=1, name=text)
    for kind in EntryKind:
        shown = Entry(seq=1, kind=kind, from_=user, text=text, at=0)
        rendering.entry_line(7, shown, _ROSTER, _CLOCK)


def roster_change(text: str) -> None:
    rendering.roster_change(notices.FriendRequested(User(id=1, name=text)))


def table(text: str) -> None:
    rendering.table(("ID", "NAME"), [("1", text), ("2", text)])


def command(text: str) -> None:
    with contextlib.suppress(commands.Mistake):
        commands.resolve(commands.parse(text), _ROSTER)


def completion(text: str) -> None:
    commands.complete(text, _ROSTER)


LINES: Final = [
    Parser("a line in one piece", lambda data: split(data, len(data)), LINE_BYTES),
    Parser("decode_request", decode_request, LINE_BYTES),
    Parser("decode_server_message", server_message, CLIENT_BYTES),
    Parser("decode_bus_message", bus_message, LINE_BYTES),
]
STREAMS: Final = [
    Parser("lines by bytes", lambda data: split(data, 1), 32_768, A_PIECE_S),
    Parser("lines by small pieces", lambda data: split(data, 100), LINE_BYTES, A_PIECE_S),
    Parser("lines left unread", lambda data: split(data, 3, eager=False), 32_768, A_PIECE_S),
    Parser("a client's lines by bytes", lambda data: client_lines(data, 1), 32_768, A_PIECE_S),
    Parser("a client's lines", lambda data: client_lines(data, 1_000), 4 * CLIENT_BYTES, A_LINE_S),
    Parser("a node", lambda data: node(data, len(data)), 16_384, A_LINE_S),
    Parser("a node by bytes", lambda data: node(data, 1), 4_096, A_LINE_S),
    Parser("a client", lambda data: client(data, len(data)), 16_384, A_LINE_S),
    Parser("a client by bytes", lambda data: client(data, 1), 4_096, A_LINE_S),
]
SOCKETS: Final = [
    Parser("a balancer in one piece", lambda data: balancer(data, len(data)), LINE_BYTES),
    Parser("a balancer by bytes", lambda data: balancer(data, 1), 4_096, A_PIECE_S),
    Parser("parse_header", header, LINE_BYTES),
]
REDIS: Final = [
    Parser("Redis in one piece", lambda data: redis(data, len(data)), LINE_BYTES, A_PIECE_S),
    Parser("Redis by bytes", lambda data: redis(data, 1), 8_192, A_PIECE_S),
]
TEXTS: Final = [
    Parser("clean", rendering.clean, TEXT_LENGTH, A_PIECE_S),
    Parser("clean_text", rendering.clean_text, TEXT_LENGTH, A_PIECE_S),
    Parser("entry_line", entry, TEXT_LENGTH, A_PIECE_S),
    Parser("roster_change", roster_change, TEXT_LENGTH, A_PIECE_S),
    Parser("table", table, TEXT_LENGTH, A_PIECE_S),
]
LINES_OF_THE_USER: Final = [
    Parser("parse", command, TEXT_LENGTH),
    Parser("complete", completion, TEXT_LENGTH),
]
