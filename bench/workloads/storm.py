"""Reconnect storms: thousands of devices lose their connections at once, and come back.

A device here is the client's own `Connection`, which decides when to dial and when to give up, on a
socket; it resumes with its token as soon as it is welcomed. What happens after `logged_in` is left
out.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, cast

from bench.load.peer import CheckFailed, dial
from bench.results.figures import Figure
from bench.results.machine import cpu_s
from bench.targets.environment import MYSQL, Environment
from bench.targets.fixtures import add_friends, add_users, token
from bench.targets.servers import PinnedNginx
from bench.workloads.authentication import SOURCES
from chat.client.session.connection import Connection, Due, Phase, Timing
from chat.protocol.codec import decode_server_message
from chat.protocol.messages import WelcomePush
from chat.storage.backends.connection import DatabaseConnection
from deploy.cluster import nginx_conf
from deploy.servers import HOST

DEVICES: Final = 10_000
AT_ONCE: Final = 64
SETTLE_S: Final = 60.0
STABLE_S: Final = 6.0
"""Until the connections count as stable, so that the backoff starts anew."""
BIN_MS: Final = 100


class Storm:
    """Devices of the users 1 … `count`, and what they did since `begin`."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.loop = asyncio.get_running_loop()
        self.chance = random.Random(7)
        self.devices = [StormDevice(self, user) for user in range(1, count + 1)]
        self.online = 0
        self.changed = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        self.from_s = time.perf_counter()
        self.dials: Counter[int] = Counter()
        """By bin of BIN_MS."""
        self.back_s: list[float] = []
        self.given_up = 0
        """Connections and Dials that took too long."""
        self.failed = 0
        """Connections and Dials that ended before they were online."""

    def dialled(self) -> None:
        self.dials[int((time.perf_counter() - self.from_s) * 1_000 / BIN_MS)] += 1

    def came(self, delta: int) -> None:
        self.online += delta
        if delta > 0:
            self.back_s.append(time.perf_counter() - self.from_s)
        self.changed.set()

    async def until_online(self) -> None:
        """Waits until all are. Raises CheckFailed after SETTLE_S."""
        deadline_s = time.perf_counter() + SETTLE_S
        while self.online < len(self.devices):
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), deadline_s - time.perf_counter())
            except TimeoutError:
                raise CheckFailed(f"{self.online} of {len(self.devices)} devices") from None

    async def log_in(self) -> None:
        for start in range(0, len(self.devices), AT_ONCE):
            batch = self.devices[start : start + AT_ONCE]
            for device in batch:
                device.dial()
            while self.online < start + len(batch):
                self.changed.clear()
                await asyncio.wait_for(self.changed.wait(), SETTLE_S)

    def close(self) -> None:
        for device in self.devices:
            device.close()


class StormDevice:
    """One device."""

    def __init__(self, storm: Storm, user: int) -> None:
        self._storm = storm
        self._policy = Connection(Timing(), storm.chance.random)
        self._source = SOURCES[user % len(SOURCES)]
        self._resume = b'{"type":"resume","id":1,"token":"%b"}\n' % token(user).encode()
        self._socket: _Socket | None = None
        self._dial: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ dialling

    def dial(self) -> None:
        self._storm.dialled()
        number = self._policy.dial(_now_ms())
        self._dial = self._storm.loop.create_task(self._connect(number))
        self._set_timer()

    async def _connect(self, number: int) -> None:
        try:
            await self._storm.loop.create_connection(
                lambda: _Socket(self, number), sock=await dial(self._storm.port, self._source)
            )
        except OSError:
            self.lost(number)

    def cut(self) -> None:
        """The connection breaks."""
        if self._socket is not None:
            self._socket.transport.abort()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._dial is not None:
            self._dial.cancel()
        socket, self._socket = self._socket, None
        self._policy.close(0)
        if socket is not None:
            socket.transport.abort()

    def _tick(self) -> None:
        due = self._policy.due(_now_ms())
        if due is Due.DIAL:
            self.dial()
            return
        if due is Due.PING and self._socket is not None:
            self._policy.pinged(_now_ms())
            self._socket.transport.write(b'{"type":"ping","id":2}\n')
        elif due is Due.GIVE_UP:
            self._storm.given_up += 1
            number = self._policy.number
            if self._dial is not None:
                self._dial.cancel()
            self.cut()
            self.lost(number)
            return
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._policy.next_deadline_ms()
        if due_ms is not None:
            self._timer = self._storm.loop.call_later(
                max(0, due_ms - _now_ms()) / 1_000, self._tick
            )

    # ------------------------------------------------------------------ from the socket

    def connected(self, number: int, socket: "_Socket") -> None:
        if not self._policy.is_current(number):
            socket.transport.abort()
            return
        self._socket = socket
        self._policy.enter(Phase.GREETING, _now_ms())
        self._set_timer()

    def line(self, number: int, line: bytes) -> None:
        policy = self._policy
        if not policy.is_current(number) or self._socket is None:
            return
        policy.heard(_now_ms())
        if policy.phase is Phase.GREETING:
            welcome = decode_server_message(line)
            if isinstance(welcome, WelcomePush):
                policy.welcomed(welcome.limits, _now_ms())
                self._socket.transport.write(self._resume)
                policy.enter(Phase.AUTHENTICATING, _now_ms())
        elif line.startswith(b'{"type":"logged_in"'):
            policy.enter(Phase.ONLINE, _now_ms())
            self._storm.came(1)
        elif line.startswith(b'{"type":"ping"'):
            self._socket.transport.write(b"\n")
        if policy.phase < Phase.ONLINE:
            self._set_timer()

    def lost(self, number: int) -> None:
        if self._policy.is_current(number):
            self._socket = None
            if self._policy.phase is Phase.ONLINE:
                self._storm.came(-1)
            else:
                self._storm.failed += 1
            self._policy.lose(_now_ms())
            self._set_timer()


class _Socket(asyncio.Protocol):
    """One socket of a device, under the number of its Dial."""

    def __init__(self, device: StormDevice, number: int) -> None:
        self._device = device
        self._number = number
        self._rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._device.connected(self._number, self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._device.line(self._number, line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._device.lost(self._number)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


# ---------------------------------------------------------------------------- the workload


def _figure(storm: Storm, target: str, cpu: dict[str, float]) -> Figure:
    back_s = sorted(storm.back_s)
    values = {
        "devices": float(len(back_s)),
        "settled_s": back_s[-1],
        "p50_s": back_s[len(back_s) // 2],
        "p99_s": back_s[len(back_s) * 99 // 100],
        "dials": float(storm.dials.total()),
        "most_dials_in_100_ms": float(max(storm.dials.values())),
        "failed": float(storm.failed),
        "given_up": float(storm.given_up),
    }
    return Figure("storm", target, values | {f"cpu_s.{name}": s for name, s in cpu.items()})


async def _measure(
    storm: Storm, target: str, pids: dict[str, int], strike: Callable[[], Awaitable[None]]
) -> Figure:
    """What follows the strike, until all devices are online again."""
    await storm.log_in()
    await asyncio.sleep(STABLE_S)
    cpu = {name: cpu_s(pid) for name, pid in pids.items()}
    before = storm.online
    storm.begin()
    await strike()
    while storm.online == before:
        storm.changed.clear()
        await asyncio.wait_for(storm.changed.wait(), SETTLE_S)
    await storm.until_online()
    figure = _figure(storm, target, {name: cpu_s(pid) - cpu[name] for name, pid in pids.items()})
    storm.close()
    await asyncio.sleep(0)
    return figure


async def storm(environment: Environment) -> list[Figure]:
    """10,000 devices lose one node's connections at once; half of them lose a killed node."""
    count = int(DEVICES * environment.scale.size)

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, count)
        add_friends(connection, [(n, n + 1) for n in range(1, count, 2)], 1)

    figures = []
    for kind in environment.stores:
        with environment.scope():
            store = environment.new_store(kind, fill)
            node = environment.node(store)
            devices = Storm(node.port, count)

            async def cut(devices: Storm = devices) -> None:
                for device in devices.devices:
                    device.cut()

            pids = environment.pids(node, store)
            figures.append(await _measure(devices, f"node, {kind}, all cut", pids, cut))
    if MYSQL in environment.stores:
        figures.append(await _node_killed(environment, count, environment.new_store(MYSQL, fill)))
    return figures


async def _node_killed(environment: Environment, count: int, store: str) -> Figure:
    with environment.scope():
        redis = environment.start_redis()
        flags = ("--bus", redis.url, "--proxy-from", HOST)
        nodes = [environment.node(store, *flags) for _ in range(2)]
        ports = [node.port for node in nodes]
        nginx = environment.start(
            lambda folder: PinnedNginx(folder, lambda port: nginx_conf(port, ports))
        )

        async def kill() -> None:
            await asyncio.to_thread(nodes[0].kill)

        pids = {"node": nodes[1].pid, "mariadbd": environment.mariadb.pid}
        return await _measure(Storm(nginx.port, count), "two nodes, mysql, one killed", pids, kill)
