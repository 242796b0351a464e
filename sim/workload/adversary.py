"""The adversary: clients that break the protocol, or keep to it and do what no good client does.

Each visit is one connection, or several, written to without a client session: lines that are not
JSON, are too long or never end; requests in states that do not take them; peers that do not read,
or never log in. The adversary has accounts of its own, so that the checks on the cluster's users
stay valid.
"""

import random
from collections.abc import Callable

from chat.core.ports import operations as op
from sim.cluster.cluster import CONFIG, Cluster
from sim.cluster.host import Host
from sim.cluster.network import ADVERSARY, IN_OTHER_PROTOCOL_ID, SimConnection
from sim.workload.floods import ACCOUNTS, UNKNOWN_ID, Floods, line

NAMES = ("mallory", "oscar")
TOO_MANY = CONFIG.unauthenticated_per_address + 1
"""Connections from one address, one more than a node admits."""
ADDRESS = "198.51.100."

REQUESTS: list[dict[str, object]] = [
    {"type": "logout"},
    {"type": "profile"},
    {"type": "snapshot"},
    {"type": "add_friend", "user": UNKNOWN_ID},
    {"type": "remove_friend", "user": UNKNOWN_ID},
    {"type": "block", "user": "nobody"},
    {"type": "unblock", "user": UNKNOWN_ID},
    {"type": "chat", "to": UNKNOWN_ID, "text": "hello", "key": "k-1"},
    {"type": "create_group", "name": "den", "description": ""},
    {"type": "join_group", "group": UNKNOWN_ID},
    {"type": "leave_group", "group": UNKNOWN_ID},
    {"type": "delete_group", "group": UNKNOWN_ID},
    {"type": "rename_group", "group": UNKNOWN_ID, "name": "lair"},
    {"type": "members", "group": UNKNOWN_ID},
    {"type": "group_chat", "group": UNKNOWN_ID, "text": "hello", "key": "k-2"},
    {"type": "history", "conversation": UNKNOWN_ID},
    {"type": "mark_read", "conversation": UNKNOWN_ID, "seq": 1},
    {"type": "ping"},
    {"type": "register", "name": "mallory", "password": "secret-mallory"},
    {"type": "login", "user": "mallory", "password": "wrong secret"},
    {"type": "resume", "token": "0" * 64, "cursors": {"7": 3}},
]
NONSENSE = [
    b"\n\n",
    b"hello\n",
    b"{" * 200 + b"\n",
    b'{"type": "chat", "id": 1, "text": 5}\n',
    b'{"type": "sing", "id": 2}\n',
    b"\xff\xfe{}\n",
    b'{"type": "ping", "id": -4}\n',
]
LONG = b'{"type": "ping", "id": 1, "more": "' + b"x" * CONFIG.line_bytes + b'"}\n'


OTHER_PROTOCOLS = [
    b"POST / HTTP/1.1\r\nHost: node\r\nContent-Type: text/plain\r\n\r\n",
    b"\r\nGET /" + b"x" * CONFIG.line_bytes + b" HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\n",
]
FLOOD = b"hello\n" * (CONFIG.write_buffer_bytes // 120)
"""Lines whose error replies together are more than an outbound buffer holds."""


class Adversary:
    """Makes visits, one after the other, until `stop`."""

    def __init__(self, cluster: Cluster, *, severity: float = 1.0) -> None:
        self._cluster = cluster
        self._world = cluster.world
        # An older name: another one would make each seed another run.
        self._rng: random.Random = cluster.world.random_stream("strangers")
        self._pause_ms = 200, int(1_500 + 1_000 / severity)
        self._connections: list[SimConnection] = []
        self._stopped = False
        self.visits = 0
        self._visits: list[Callable[[], None]] = [
            self._write_before_login,
            self._write_while_authenticating,
            self._write_when_logged_in,
            self._write_while_closing,
            self._speak_another_protocol,
            self._be_silent,
            self._stop_within_a_line,
            self._not_read,
            self._stall_while_authenticating,
            self._disconnect_while_authenticating,
            self._send_much_at_once,
            self._log_out_and_write,
            self._half_close,
            self._half_close_while_closing,
            self._half_close_while_authenticating,
        ]
        floods = Floods(cluster, self._rng, self._connect_to, lambda: self._stopped)
        self._visits = 2 * self._visits + floods.visits
        self._crowds = [
            self._connect_too_often,
            floods.fill_the_node,
            floods.fill_the_places,
        ]
        ids: list[int] = []
        for name in (*NAMES, *ACCOUNTS):
            made = cluster.ask_store(op.CreateUser(name, f"hash of secret-{name}", 0))
            assert isinstance(made, op.UserCreated)
            ids.append(made.user.id)
        cluster.ask_store(op.AddFriend(ids[0], ids[1], 0))
        cluster.ask_store(op.AddFriend(ids[1], ids[0], 0))

    def start(self) -> None:
        self._world.later(self._rng.randint(*self._pause_ms), self._visit)

    def stop(self) -> None:
        """Resets all connections."""
        self._stopped = True
        for conn in self._connections:
            conn.reset()

    def _visit(self) -> None:
        if self._stopped:
            return
        self.visits += 1
        if self._rng.random() < 0.04:
            self._rng.choice(self._crowds)()
        else:
            self._rng.choice(self._visits)()
        self.start()

    # ------------------------------------------------------------------ connections

    def _host(self) -> Host | None:
        hosts = [host for host in self._cluster.hosts if host.node is not None]
        return self._rng.choice(hosts) if hosts else None

    def _connect(self) -> tuple[SimConnection, Host] | None:
        """Opens a connection to some node, from one of many addresses."""
        host = self._host()
        if host is None:
            return None
        return self._connect_to(host, f"{ADDRESS}{self._rng.randrange(100)}"), host

    def _connect_to(self, host: Host, address: str) -> SimConnection:
        conn = SimConnection(self._world, ADVERSARY, self._cluster.network_conditions)
        self._connections = [conn for conn in self._connections if conn.open]
        self._connections.append(conn)
        self._cluster.connections.append(conn)
        host.accept(conn, address)
        return conn

    def _login(self) -> bytes:
        name = self._rng.choice(NAMES)
        return line({"type": "login", "user": name, "password": f"secret-{name}"})

    def _later(self, conn: SimConnection, data: bytes, delay_ms: int) -> None:
        """Writes after a while, unless the connection is gone by then."""

        def write() -> None:
            if conn.open:
                conn.up.write(data)

        self._world.later(delay_ms, write)

    def _line(self) -> bytes:
        """A request, or a line that is none."""
        if self._rng.random() < 0.3:
            return self._rng.choice(NONSENSE)
        return line(self._rng.choice(REQUESTS), self._rng.randint(1, 99))

    def _all_lines(self) -> bytes:
        lines = [line(request) for request in REQUESTS] + NONSENSE
        self._rng.shuffle(lines)
        return b"".join(lines)

    # ------------------------------------------------------------------ visits

    def _write_before_login(self) -> None:
        if opened := self._connect():
            last = self._rng.choice((b"", LONG, line(REQUESTS[-3]), line(REQUESTS[-1])))
            opened[0].up.write(b"".join(self._line() for _ in range(8)) + last)

    def _write_while_authenticating(self) -> None:
        if opened := self._connect():
            opened[0].up.write(self._login() + self._rng.choice((self._line(), LONG)))
            self._later(opened[0], self._all_lines(), 300)

    def _write_when_logged_in(self) -> None:
        if opened := self._connect():
            conn = opened[0]
            conn.up.write(self._login())
            self._later(conn, self._all_lines() + self._rng.choice((b"", LONG)), 300)
            self._later(conn, self._login() + line({"type": "logout"}), 2_000)

    def _write_while_closing(self) -> None:
        """Goes on writing after a line that ends the connection."""
        if opened := self._connect():
            conn = opened[0]
            if self._rng.random() < 0.75:
                conn.down.stopped = True
            conn.up.write(FLOOD + LONG)
            for delay_ms in range(4):
                self._later(conn, self._all_lines() + LONG, delay_ms)
            self._world.later(self._rng.randint(500, 12_000), conn.down.resume)

    def _speak_another_protocol(self) -> None:
        """Sends what a browser does for a web page that puts requests into the body."""
        if opened := self._connect():
            conn = opened[0]
            if self._rng.random() < 0.6:
                conn.up.write(self._login())
            head = self._rng.choice(OTHER_PROTOCOLS)
            body = line({"type": "ping"}, IN_OTHER_PROTOCOL_ID) + self._login()
            self._later(conn, head + body, self._rng.choice((0, 300)))

    def _be_silent(self) -> None:
        if (opened := self._connect()) and self._rng.random() < 0.5:
            opened[0].up.write(self._login())

    def _stop_within_a_line(self) -> None:
        if opened := self._connect():
            start = self._rng.choice((b"", self._login()))
            opened[0].up.write(start)
            self._later(opened[0], b'{"type": "pi', self._rng.randint(1, 400))

    def _not_read(self) -> None:
        """Lets replies fill the outbound buffer for a while, before or after login."""
        if opened := self._connect():
            conn = opened[0]
            conn.down.stopped = True
            where = self._rng.choice((b"", self._login()))
            conn.up.write(self._rng.choice((FLOOD + where, where + FLOOD)))
            self._world.later(self._rng.randint(2, 9_000), conn.down.resume)

    def _stall_while_authenticating(self) -> None:
        """Many connections do not read while they authenticate, for longer than `stall_ms`."""
        host = self._host()
        if host is not None:
            for number in range(40):
                self._world.later(number, self._stall, host)
            self._world.later(self._rng.randint(10, 40), self._jump, host, CONFIG.stall_ms)

    def _stall(self, host: Host) -> None:
        if host.node is not None and not self._stopped:
            conn = self._connect_to(host, f"{ADDRESS}{self._rng.randrange(100)}")
            conn.down.stopped = True
            conn.up.write(FLOOD + self._login())

    def _jump(self, host: Host, ms: int) -> None:
        if host.node is not None and not host.paused and not self._stopped:
            host.jump(ms)

    def _disconnect_while_authenticating(self) -> None:
        if opened := self._connect():
            opened[0].up.write(self._login() + self._line())
            self._world.later(self._rng.randint(1, 60), opened[0].reset)

    def _send_much_at_once(self) -> None:
        """As many sends as may be in flight; all are refused."""
        if opened := self._connect():
            chats = [
                line(
                    {"type": "chat", "to": UNKNOWN_ID, "text": "hello", "key": f"m-{number}"},
                    number,
                )
                for number in range(CONFIG.in_flight)
            ]
            opened[0].up.write(self._login())
            self._later(opened[0], b"".join(chats), 300)

    def _log_out_and_write(self) -> None:
        """Logs out, and stops within the next line."""
        if opened := self._connect():
            opened[0].up.write(self._login())
            self._later(opened[0], line({"type": "logout"}) + b'{"type": ', 300)

    def _half_close(self) -> None:
        """Shuts its side down, before, during or after login, with replies that it reads at once,
        or more slowly than a node waits for."""
        if opened := self._connect():
            conn = opened[0]
            start = self._rng.choice((b"", self._login()))
            conn.up.write(start)
            if self._rng.random() < 0.5:
                conn.down.bytes_per_ms = 1
                self._later(conn, FLOOD * 3, 300)
            self._world.later(self._rng.choice((1, 400)), conn.half_close_by_client)

    def _half_close_while_closing(self) -> None:
        if opened := self._connect():
            conn = opened[0]
            conn.down.stopped = True
            conn.up.write(FLOOD + LONG)
            self._world.later(self._rng.randint(1, 20), conn.half_close_by_client)
            self._world.later(self._rng.randint(500, 12_000), conn.down.resume)

    def _half_close_while_authenticating(self) -> None:
        """Many connections shut their side down, and the clock is set ahead by the time for which
        the node waits."""
        host = self._host()
        if host is not None:
            for number in range(40):
                self._world.later(number, self._login_and_half_close, host)
            self._world.later(self._rng.randint(10, 40), self._jump, host, CONFIG.finish_ms)

    def _login_and_half_close(self, host: Host) -> None:
        if host.node is not None and not self._stopped:
            conn = self._connect_to(host, f"{ADDRESS}{self._rng.randrange(100)}")
            conn.up.write(self._login())
            conn.half_close_by_client()

    def _connect_too_often(self) -> None:
        host = self._host()
        if host is not None:
            for _ in range(TOO_MANY):
                self._connect_to(host, "203.0.113.9")
