"""Clients that do not keep to the protocol, or keep to it and do what no good client does.

Each visit is one connection, written to byte by byte without a client session: lines that are no
JSON, are too long or are never ended; requests in states that have no use for them; readers that
do not read; people who never say who they are. They have accounts of their own, so that what is
checked for the people of the cluster stays true of them.
"""

import json
import random
from collections.abc import Callable

from chat.core.ports import operations as op
from sim.cluster.cluster import CONFIG, Cluster
from sim.cluster.host import Host
from sim.cluster.network import Wire

NAMES = ("mallory", "oscar")
NOWHERE = 999_999
CROWD = CONFIG.unauthenticated_per_address + 1
ADDRESS = "198.51.100."

REQUESTS: list[dict[str, object]] = [
    {"type": "logout"},
    {"type": "profile"},
    {"type": "snapshot"},
    {"type": "add_friend", "user": NOWHERE},
    {"type": "remove_friend", "user": NOWHERE},
    {"type": "block", "user": "nobody"},
    {"type": "unblock", "user": NOWHERE},
    {"type": "chat", "to": NOWHERE, "text": "hello", "key": "k-1"},
    {"type": "create_group", "name": "den", "description": ""},
    {"type": "join_group", "group": NOWHERE},
    {"type": "leave_group", "group": NOWHERE},
    {"type": "delete_group", "group": NOWHERE},
    {"type": "members", "group": NOWHERE},
    {"type": "group_chat", "group": NOWHERE, "text": "hello", "key": "k-2"},
    {"type": "history", "conversation": NOWHERE},
    {"type": "mark_read", "conversation": NOWHERE, "seq": 1},
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


def line(request: dict[str, object], id: int = 1) -> bytes:
    return json.dumps({**request, "id": id}).encode() + b"\n"


FLOOD = b"hello\n" * (CONFIG.write_buffer_bytes // 120)
"""Each is answered by a long sentence: more in all than an outbound buffer holds."""


class Strangers:
    """Visits, one after the other, until `stop`."""

    def __init__(self, cluster: Cluster, *, severity: float = 1.0) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._chance: random.Random = cluster.world.chance("strangers")
        self._pause_ms = 200, int(1_500 + 1_000 / severity)
        self._wires: list[Wire] = []
        self._stopped = False
        self.visits = 0
        self._kinds: list[Callable[[], None]] = [
            self._talks_before_login,
            self._talks_while_let_in,
            self._talks_while_logged_in,
            self._talks_to_the_end,
            self._says_nothing,
            self._hangs_in_a_line,
            self._does_not_read,
            self._stalls_at_the_door,
            self._leaves_half_way,
            self._sends_much_at_once,
            self._is_put_off,
        ]
        ids: list[int] = []
        for name in NAMES:
            made = cluster.ask_store(op.CreateUser(name, f"hash of secret-{name}", 0))
            assert isinstance(made, op.UserCreated)
            ids.append(made.user.id)
        cluster.ask_store(op.AddFriend(ids[0], ids[1], 0))
        cluster.ask_store(op.AddFriend(ids[1], ids[0], 0))

    def start(self) -> None:
        self._world.later(self._chance.randint(*self._pause_ms), self._visit)

    def stop(self) -> None:
        """Everyone hangs up."""
        self._stopped = True
        for wire in self._wires:
            wire.reset()

    def _visit(self) -> None:
        if self._stopped:
            return
        self.visits += 1
        if self._chance.random() < 0.02:
            self._come_in_a_crowd()
        else:
            self._chance.choice(self._kinds)()
        self.start()

    # ------------------------------------------------------------------ connections

    def _host(self) -> Host | None:
        hosts = [host for host in self._cluster.hosts if host.node is not None]
        return self._chance.choice(hosts) if hosts else None

    def _dial(self) -> tuple[Wire, Host] | None:
        """A connection to some node, from one of many addresses."""
        host = self._host()
        if host is None:
            return None
        return self._dial_to(host, f"{ADDRESS}{self._chance.randrange(100)}"), host

    def _dial_to(self, host: Host, address: str) -> Wire:
        wire = Wire(self._world, "stranger", self._cluster.manners)
        self._wires = [wire for wire in self._wires if wire.open]
        self._wires.append(wire)
        self._cluster.wires.append(wire)
        host.accept(wire, address)
        return wire

    def _login(self) -> bytes:
        name = self._chance.choice(NAMES)
        return line({"type": "login", "user": name, "password": f"secret-{name}"})

    def _later(self, wire: Wire, data: bytes, delay_ms: int) -> None:
        """Writes after a while, unless the connection is gone by then."""

        def write() -> None:
            if wire.open:
                wire.up.write(data)

        self._world.later(delay_ms, write)

    def _any(self) -> bytes:
        """A request or nonsense."""
        if self._chance.random() < 0.3:
            return self._chance.choice(NONSENSE)
        return line(self._chance.choice(REQUESTS), self._chance.randint(1, 99))

    def _all(self) -> bytes:
        lines = [line(request) for request in REQUESTS] + NONSENSE
        self._chance.shuffle(lines)
        return b"".join(lines)

    # ------------------------------------------------------------------ what they do

    def _talks_before_login(self) -> None:
        if dialled := self._dial():
            last = self._chance.choice((b"", LONG, line(REQUESTS[-3]), line(REQUESTS[-1])))
            dialled[0].up.write(b"".join(self._any() for _ in range(8)) + last)

    def _talks_while_let_in(self) -> None:
        if dialled := self._dial():
            dialled[0].up.write(self._login() + self._chance.choice((self._any(), LONG)))
            self._later(dialled[0], self._all(), 300)

    def _talks_while_logged_in(self) -> None:
        if dialled := self._dial():
            wire = dialled[0]
            wire.up.write(self._login())
            self._later(wire, self._all() + self._chance.choice((b"", LONG)), 300)
            self._later(wire, self._login() + line({"type": "logout"}), 2_000)

    def _talks_to_the_end(self) -> None:
        """What comes after a line that ends the connection is dropped."""
        if dialled := self._dial():
            wire = dialled[0]
            if self._chance.random() < 0.75:
                wire.down.stopped = True
            wire.up.write(FLOOD + LONG)
            for delay_ms in range(4):
                self._later(wire, self._all() + LONG, delay_ms)
            self._world.later(self._chance.randint(500, 12_000), wire.down.resume)

    def _says_nothing(self) -> None:
        if (dialled := self._dial()) and self._chance.random() < 0.5:
            dialled[0].up.write(self._login())

    def _hangs_in_a_line(self) -> None:
        if dialled := self._dial():
            start = self._chance.choice((b"", self._login()))
            dialled[0].up.write(start)
            self._later(dialled[0], b'{"type": "pi', self._chance.randint(1, 400))

    def _does_not_read(self) -> None:
        """Its answers fill the buffer, at the door or inside, and stay there for a while."""
        if dialled := self._dial():
            wire = dialled[0]
            wire.down.stopped = True
            where = self._chance.choice((b"", self._login()))
            wire.up.write(self._chance.choice((FLOOD + where, where + FLOOD)))
            self._world.later(self._chance.randint(2, 9_000), wire.down.resume)

    def _stalls_at_the_door(self) -> None:
        """The buffers of some stand too long while it is decided who they are."""
        host = self._host()
        if host is not None:
            for number in range(40):
                self._world.later(number, self._stall, host)
            self._world.later(self._chance.randint(10, 40), self._jump, host)

    def _stall(self, host: Host) -> None:
        if host.node is not None and not self._stopped:
            wire = self._dial_to(host, f"{ADDRESS}{self._chance.randrange(100)}")
            wire.down.stopped = True
            wire.up.write(FLOOD + self._login())

    def _jump(self, host: Host) -> None:
        if host.node is not None and not host.paused and not self._stopped:
            host.jump(CONFIG.stall_ms)

    def _leaves_half_way(self) -> None:
        if dialled := self._dial():
            dialled[0].up.write(self._login() + self._any())
            self._world.later(self._chance.randint(1, 60), dialled[0].reset)

    def _sends_much_at_once(self) -> None:
        """Sends that are answered one by one, whatever becomes of the first."""
        if dialled := self._dial():
            chats = [
                line({"type": "chat", "to": NOWHERE, "text": "hello", "key": f"m-{number}"}, number)
                for number in range(CONFIG.in_flight)
            ]
            dialled[0].up.write(self._login())
            self._later(dialled[0], b"".join(chats), 300)

    def _is_put_off(self) -> None:
        """Logs out, and hangs in the line behind it."""
        if dialled := self._dial():
            dialled[0].up.write(self._login())
            self._later(dialled[0], line({"type": "logout"}) + b'{"type": ', 300)

    def _come_in_a_crowd(self) -> None:
        host = self._host()
        if host is not None:
            for _ in range(CROWD):
                self._dial_to(host, "203.0.113.9")
