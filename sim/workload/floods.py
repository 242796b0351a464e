"""Floods: what the adversary does more often than a limit allows.

Each flood is meant for one limit: the budget of a user, of an address or of a connection, or a
number of connections. The accounts are the floods' own, so that a flood that lasts meets no other.
"""

import json
import random
from collections.abc import Callable

from sim.cluster.cluster import CONFIG, Cluster
from sim.cluster.host import Host
from sim.cluster.network import SimConnection

ACCOUNTS = ("peggy", "sybil", "trudy", "victor", "walter", "wendy", "chuck", "craig")
UNKNOWN_ID = 999_999
NETWORK = "2001:db8:bad:"
"""The first bits of the floods' addresses; what follows is the number of a /64, and the host."""
LOGIN_EVERY_MS = 1_000 * 10 // CONFIG.cost_per_second
"""Time in which a user's budget gets the cost of a login."""
HISTORY: dict[str, object] = {"type": "history", "conversation": UNKNOWN_ID}
PROFILE: dict[str, object] = {"type": "profile"}
HEAVY: list[dict[str, object]] = [
    {"type": "create_group", "name": "a flood", "description": ""},
    {"type": "join_group", "group": UNKNOWN_ID},
    {"type": "add_friend", "user": UNKNOWN_ID},
    {"type": "members", "group": UNKNOWN_ID},
    HISTORY,
    {"type": "snapshot"},
    PROFILE,
    {"type": "mark_read", "conversation": UNKNOWN_ID, "seq": 1},
]


def line(request: dict[str, object], id: int = 1) -> bytes:
    return json.dumps({**request, "id": id}).encode() + b"\n"


def login(name: str, password: str | None = None) -> bytes:
    return line({"type": "login", "user": name, "password": password or f"secret-{name}"})


class Floods:
    """The floods of one adversary. `visits` are those that it makes as often as others."""

    def __init__(
        self,
        cluster: Cluster,
        rng: random.Random,
        connect_to: Callable[[Host, str], SimConnection],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng = rng
        self._connect_to = connect_to
        self._is_stopped = is_stopped
        self._count = 0
        self.visits: list[Callable[[], None]] = [
            self._request_too_much,
            self._log_in_too_often,
            self._resume_too_often,
            self._register_too_often,
            self._guess_tokens,
            self._guess_passwords,
            self._fail_and_crowd,
            self._write_too_fast,
            self._stand_there,
            self._fill_an_address,
        ]

    # ------------------------------------------------------------------ connections

    def _host(self) -> Host | None:
        hosts = [host for host in self._cluster.hosts if host.node is not None]
        return self._rng.choice(hosts) if hosts else None

    def _address(self, network: int | None = None) -> str:
        """An address in that network of 64 bits, or in any."""
        number = self._rng.randrange(100) if network is None else network
        return f"{NETWORK}{number:x}::{self._rng.randrange(1, 65_536):x}"

    def _connect(
        self,
        host: Host,
        address: str,
        data: bytes = b"",
        delay_ms: int = 0,
        lasting_ms: int | None = None,
    ) -> None:
        """Connects after a while and writes, unless the machine is down by then. The connection
        breaks after `lasting_ms`, if that is given."""

        def connect() -> None:
            if host.node is not None and not self._is_stopped():
                conn = self._connect_to(host, address)
                if data:
                    conn.up.write(data)
                if lasting_ms is not None:
                    self._world.later(lasting_ms, conn.reset)

        self._world.later(delay_ms, connect)

    def _wrong_login(self) -> bytes:
        name = self._unique("no-user")
        return login(name, f"secret-{name}")

    def _unique(self, name: str) -> str:
        self._count += 1
        return f"{name}-{self._count}"

    # ------------------------------------------------------------------ a user

    def _request_too_much(self) -> None:
        """Two users have two connections each, or many users one, and ask on all of them at
        once."""
        host, heavy = self._host(), self._rng.choice((HEAVY, HEAVY, [HISTORY], [PROFILE]))
        if host is None:
            return
        for name in self._rng.choice((ACCOUNTS[:2] * 2, ACCOUNTS)):
            asked = [line(self._rng.choice(heavy), id) for id in range(2, 14)]
            self._connect(host, self._address(), login(name) + b"".join(asked))

    def _log_in_too_often(self) -> None:
        """A user logs in on one connection more than the limit, as fast as the budget allows."""
        host, name = self._host(), self._rng.choice(ACCOUNTS[2:])
        if host is None:
            return
        for number in range(CONFIG.connections_per_user + 2):
            delay_ms = max(0, number - 4) * LOGIN_EVERY_MS
            self._connect(host, self._address(), login(name), delay_ms)

    def _resume_too_often(self) -> None:
        """A device resumes on several connections with one token."""
        host, name = self._host(), self._rng.choice(ACCOUNTS)
        if host is None:
            return
        conn = self._connect_to(host, self._address())
        conn.up.write(login(name))
        received = bytearray()

        def arrive(data: bytes) -> None:
            received.extend(data)
            start = received.find(b'"token":"')
            if start >= 0 and len(received) > start + 80:
                token = received[start + 9 : start + 73].decode()
                received.clear()
                resume = line({"type": "resume", "token": token, "cursors": {}})
                for number in range(CONFIG.connections_per_device + 1):
                    delay_ms = number * LOGIN_EVERY_MS // 2
                    self._connect(host, self._address(), resume, delay_ms)

        conn.down.arrive = arrive

    # ------------------------------------------------------------------ an address

    def _register_too_often(self) -> None:
        """A network registers accounts, after it has used up most of its budget of passwords."""
        host, network = self._host(), self._rng.randrange(100, 110)
        if host is None:
            return
        for _ in range(3):
            wrong = [self._wrong_login() for _ in range(2)]
            names = [self._unique("flood") for _ in range(2)]
            register = [
                line({"type": "register", "name": name, "password": f"secret-{name}"})
                for name in names
            ]
            lasting_ms = self._rng.choice((None, None, self._rng.randint(100, 2_000)))
            data = b"".join(wrong + register)
            self._connect(host, self._address(network), data, lasting_ms=lasting_ms)

    def _guess_tokens(self) -> None:
        host, network = self._host(), self._rng.randrange(110, 113)
        if host is None:
            return
        for _ in range(2):
            guesses = [
                line({"type": "resume", "token": f"{self._rng.getrandbits(256):064x}"})
                for _ in range(CONFIG.failed_resumes_per_minute * 2 // 3)
            ]
            self._connect(host, self._address(network), b"".join(guesses))

    def _guess_passwords(self) -> None:
        """More guesses at one account than may fail, and then the right password."""
        host, name = self._host(), self._rng.choice(ACCOUNTS)
        if host is None:
            return
        guesses = [
            login(name, self._unique("a-guess")) for _ in range(CONFIG.failed_logins_per_minute + 2)
        ]
        network = self._rng.randrange(113, 116)
        self._connect(host, self._address(network), b"".join(guesses) + login(name))

    def _fail_and_crowd(self) -> None:
        """Connections of a network fail to log in and try again, while new ones keep coming."""
        host, network = self._host(), self._rng.randrange(116, 119)
        if host is None:
            return
        for _ in range(CONFIG.unauthenticated_per_address):
            guesses = [self._wrong_login() for _ in range(3)]
            self._connect(host, self._address(network), b"".join(guesses))
        for _ in range(8):
            delay_ms = self._rng.randint(20, 2_000)
            self._connect(host, self._address(network), delay_ms=delay_ms)

    # ------------------------------------------------------------------ a connection

    def _write_too_fast(self) -> None:
        """More lines than a connection's budget has, or fewer that are long."""
        host = self._host()
        if host is None:
            return
        start = self._rng.choice((b"", login(self._rng.choice(ACCOUNTS))))
        long = line({"type": "ping", "more": "x" * 3_000})
        lines = self._rng.choice(
            (b"no frame\n" * 3 * CONFIG.line_burst, long * (CONFIG.line_burst // 2))
        )
        self._connect(host, self._address(), start + lines)

    # ------------------------------------------------------------------ numbers of connections

    def _stand_there(self) -> None:
        """Connections of a network do nothing, and after a second new ones come."""
        host, network = self._host(), self._rng.randrange(119, 122)
        if host is None:
            return
        for number in range(CONFIG.unauthenticated_per_address + 4):
            late = number >= CONFIG.unauthenticated_per_address - 2
            delay_ms = self._rng.randint(900, 1_600) if late else self._rng.randint(0, 50)
            self._connect(host, self._address(network), delay_ms=delay_ms)

    def _fill_an_address(self) -> None:
        """An address has more connections than the limit, many of them logged in."""
        host = self._host()
        if host is None:
            return
        most = CONFIG.connections_per_address
        for number in range(most + 2):
            logs_in = number < most - CONFIG.unauthenticated_per_address // 2
            name = ACCOUNTS[number % len(ACCOUNTS)]
            address = ("203.0.113.77", "::ffff:203.0.113.77")[number % 2]
            self._connect(host, address, login(name) if logs_in else b"", 150 * number)

    def fill_the_places(self) -> None:
        """Many users log in on many connections, more than a node has places for."""
        host = self._host()
        if host is not None:
            for number in range(CONFIG.connections):
                name = ACCOUNTS[number % len(ACCOUNTS)]
                self._connect(host, self._address(300 + number), login(name), 60 * number)

    def fill_the_node(self) -> None:
        """Connections from many networks do nothing, more of them than a node has room for."""
        host = self._host()
        if host is not None:
            for number in range(CONFIG.connections + 4):
                self._connect(host, self._address(200 + number), delay_ms=30 * number)
