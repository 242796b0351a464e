"""The fault injectors: one function for each kind of fault that is injected at one instant.

An injector is given an `Injection`: where to inject (the node that has a text just now, the
connection that the text is in or came by, the device at its end; or no target, and then it is
drawn), the random numbers, and the severity. It returns False if there was nothing to inject into.
How long the fault lasts is drawn, up to what the severity allows.
"""

import random
from collections.abc import Callable

from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.injection_points import InjectionTarget
from sim.cluster.network import SimConnection
from sim.cluster.trace import FaultRecord

ANYWHERE = InjectionTarget("")


class Injection:
    """One injection. What it schedules for later is dropped if the cluster is healed before."""

    def __init__(
        self,
        cluster: Cluster,
        kind: str,
        rng: random.Random,
        severity: float,
        target: InjectionTarget,
        is_healed: Callable[[], bool],
    ) -> None:
        self.cluster = cluster
        self.rng = rng
        self._kind = kind
        self._severity = severity
        self._target = target
        self._is_healed = is_healed

    # ------------------------------------------------------------------ targets

    def node(self) -> Host | None:
        """The target's node, if it is up; without a target, any that is."""
        hosts = [host for host in self.cluster.hosts if host.node is not None]
        if self._target.node:
            hosts = [host for host in hosts if host.name == self._target.node]
        return self.rng.choice(hosts) if hosts else None

    def connection(self) -> SimConnection | None:
        """The connection that has the text, or the one it came by; else any of the target's node;
        without a target, any at all."""
        target = self._target
        if target.connection is not None:
            return target.connection if target.connection.open else None
        if not target.node:
            return self._any([conn for conn in self.cluster.connections if conn.open])
        host = self.node()
        if host is None:
            return None
        conns = {number: conn for number, conn in host.connections.items() if conn.open}
        return self._any(self._of_sender(host, conns)) or self._any([*conns.values()])

    def _of_sender(self, host: Host, conns: dict[int, SimConnection]) -> list[SimConnection]:
        sessions = [(host.node and host.node.session(number), conns[number]) for number in conns]
        return [
            conn
            for session, conn in sessions
            if session and session.user and session.user.id == self._target.sender
        ]

    def device(self) -> SimDevice | None:
        """The device at the end of that connection."""
        here = [device for device in self.cluster.devices if not device.switched_off]
        if self._target.node:
            conn = self.connection()
            here = [device for device in here if conn is not None and device.connection is conn]
        return self.rng.choice(here) if here else None

    def _any(self, conns: list[SimConnection]) -> SimConnection | None:
        return self.rng.choice(conns) if conns else None

    # ------------------------------------------------------------------ duration

    def duration_ms(self, min_ms: int, max_ms: int) -> int:
        max_ms = max(min_ms, int(max_ms * self._severity))
        return self.rng.randint(min_ms, max_ms)

    def later(self, ms: int, action: Callable[..., None], *args: object) -> None:
        self.cluster.world.later(ms, self._unless_healed, action, args)

    def _unless_healed(self, action: Callable[..., None], args: tuple[object, ...]) -> None:
        if not self._is_healed():
            action(*args)

    def show(self, *parties: str, length_ms: int = 0) -> None:
        """Records the fault for the diagram."""
        now_ms = self.cluster.world.now_ms
        self.cluster.trace.note(FaultRecord(now_ms, self._kind, parties, now_ms + length_ms))

    def show_connection(self, conn: SimConnection) -> None:
        """Records the fault for both ends of the connection."""
        nodes = [host.name for host in self.cluster.hosts if conn in host.connections.values()]
        self.show(conn.name, *nodes)


Injector = Callable[[Injection], bool]
INJECTORS: dict[str, Injector] = {}


def injector(function: Injector) -> Injector:
    """Registers the function under its name, which is the name of the kind."""
    INJECTORS[function.__name__] = function
    return function


# ---------------------------------------------------------------------- nodes


@injector
def node_crash(injection: Injection) -> bool:
    """Power off, and on again after a while."""
    return _crash(injection, injection.duration_ms(100, 8_000))


@injector
def node_restart(injection: Injection) -> bool:
    """Power off and on again before its lease runs out or a peer notices."""
    return _crash(injection, injection.rng.randint(0, 20))


def _crash(injection: Injection, away_ms: int) -> bool:
    host = injection.node()
    if host is None:
        return False
    host.crash()
    injection.show(host.name, length_ms=away_ms)
    injection.later(away_ms, _boot, host)
    return True


def _boot(host: Host) -> None:
    if host.node is None:
        host.start()


@injector
def node_pause(injection: Injection) -> bool:
    host = injection.node()
    if host is None:
        return False
    host.pause()
    pause_ms = injection.duration_ms(100, 25_000)
    injection.show(host.name, length_ms=pause_ms)
    injection.later(pause_ms, host.resume)
    return True


@injector
def node_drain(injection: Injection) -> bool:
    """The node is drained, and replaced after a while whether it has finished or not."""
    host = injection.node()
    if host is None:
        return False
    host.drain()
    drain_ms = injection.duration_ms(3_000, 10_000)
    injection.show(host.name, length_ms=drain_ms)
    injection.later(drain_ms, _replace, host, host.node)
    return True


def _replace(host: Host, node: object) -> None:
    if host.node is node:
        host.crash()
        host.start()


@injector
def clock_jump(injection: Injection) -> bool:
    host = injection.node()
    if host is None:
        return False
    injection.show(host.name)
    host.jump(injection.duration_ms(500, 60_000))
    return True


# ---------------------------------------------------------------------- clients' connections


@injector
def reset(injection: Injection) -> bool:
    """A connection is reset: at once, or after some more bytes."""
    conn = injection.connection()
    if conn is None:
        return False
    injection.show_connection(conn)
    if injection.rng.random() < 0.5:
        conn.reset()
    else:
        conn.break_after(injection.rng.randint(1, 150), up=injection.rng.random() < 0.5)
    return True


@injector
def half_open(injection: Injection) -> bool:
    conn = injection.connection()
    if conn is None:
        return False
    client_hears = injection.rng.random() < 0.5
    injection.show_connection(conn)
    conn.reset(client_hears=client_hears, node_hears=not client_hears)
    return True


@injector
def partition(injection: Injection) -> bool:
    """A connection carries nothing for a while, one way or both."""
    conn = injection.connection()
    if conn is None:
        return False
    stop_ms = injection.duration_ms(100, 20_000)
    injection.show(conn.name, length_ms=stop_ms)
    for pipe in injection.rng.choice(((conn.up,), (conn.down,), (conn.up, conn.down))):
        pipe.stopped = True
        injection.later(stop_ms, pipe.resume)
    return True


@injector
def slow_reader(injection: Injection) -> bool:
    conn = injection.connection()
    if conn is None:
        return False
    conn.down.bytes_per_ms = injection.rng.choice((1, 2, 8))
    slow_ms = injection.duration_ms(1_000, 30_000)
    injection.show(conn.name, length_ms=slow_ms)
    injection.later(slow_ms, read_fast, conn)
    return True


def read_fast(conn: SimConnection) -> None:
    conn.down.bytes_per_ms = None
    conn.down.resume()


# ---------------------------------------------------------------------- clients and the balancer


@injector
def balancer_moves(injection: Injection) -> bool:
    """The balancer restarts: most connections are reset."""
    moved = [
        conn for conn in injection.cluster.connections if conn.open and injection.rng.random() < 0.7
    ]
    for conn in moved:
        injection.show_connection(conn)
        conn.reset()
    return bool(moved)


@injector
def balancer_picks_dead(injection: Injection) -> bool:
    """A node dies, and for a while the balancer sends all new connections to it."""
    cluster = injection.cluster
    host = injection.node()
    if host is None or cluster.pinned_host is not None:
        return False
    host.crash()
    blind_ms = injection.duration_ms(500, 6_000)
    away_ms = blind_ms + injection.duration_ms(0, 3_000)
    injection.show(host.name, length_ms=away_ms)
    cluster.pinned_host, cluster.balancer_blind = host, True
    injection.later(blind_ms, end_blindness, cluster)
    injection.later(away_ms, _boot, host)
    return True


def end_blindness(cluster: Cluster) -> None:
    if cluster.balancer_blind:
        cluster.pinned_host, cluster.balancer_blind = None, False


@injector
def reconnect_storm(injection: Injection) -> bool:
    here = [device for device in injection.cluster.devices if not device.switched_off]
    for device in here:
        device.switch_off()
        away_ms = injection.rng.randint(0, 300)
        injection.show(device.name, length_ms=away_ms)
        injection.later(away_ms, device.switch_on)
    return bool(here)


MAX_DEVICES = 16
"""More devices, all sending at once, would send more than small pages deliver in time."""


@injector
def many_devices(injection: Injection) -> bool:
    """A user logs in on several more devices."""
    device = injection.device()
    room = MAX_DEVICES - len(injection.cluster.devices)
    if device is None or room <= 0:
        return False
    for _ in range(min(room, injection.duration_ms(1, 4))):
        injection.show(injection.cluster.add_device(device.user).name)
    return True


@injector
def old_cursors(injection: Injection) -> bool:
    """A device comes back restored from a backup, with older cursors."""
    device = injection.device()
    if device is None:
        return False
    device.switch_off()
    device.roll_back(injection.rng)
    away_ms = injection.duration_ms(0, 5_000)
    injection.show(device.name, length_ms=away_ms)
    injection.later(away_ms, device.switch_on)
    return True


# ---------------------------------------------------------------------- store and bus


@injector
def store_restart(injection: Injection) -> bool:
    store = injection.cluster.store
    store.up = False
    away_ms = injection.duration_ms(200, 6_000)
    injection.show("store", length_ms=away_ms)
    injection.later(away_ms, setattr, store, "up", True)
    return True


@injector
def store_cut(injection: Injection) -> bool:
    """One node does not reach the store, which is up."""
    host = injection.node()
    if host is None:
        return False
    link = host.store_link
    link.cut = True
    cut_ms = injection.duration_ms(200, 6_000)
    injection.show(host.name, "store", length_ms=cut_ms)
    injection.later(cut_ms, setattr, link, "cut", False)
    return True


@injector
def bus_restart(injection: Injection) -> bool:
    """The bus loses all subscriptions and leases."""
    bus = injection.cluster.bus
    bus.stop()
    away_ms = injection.duration_ms(200, 10_000)
    injection.show("bus", length_ms=away_ms)
    injection.later(away_ms, bus.start)
    return True


@injector
def bus_cut(injection: Injection) -> bool:
    """A node and the bus do not reach each other."""
    return _cut_bus(injection, receives=False, sends=False)


@injector
def bus_cut_one_way(injection: Injection) -> bool:
    """A node receives from the bus and cannot send to it, or the other way round."""
    receives = injection.rng.random() < 0.5
    return _cut_bus(injection, receives=receives, sends=not receives)


def _cut_bus(injection: Injection, *, receives: bool, sends: bool) -> bool:
    host = injection.node()
    if host is None or host.port.cut:
        return False
    host.port.cut_off(receives=receives, sends=sends)
    cut_ms = injection.duration_ms(200, 10_000)
    injection.show(host.name, "bus", length_ms=cut_ms)
    injection.later(cut_ms, host.port.mend)
    return True
