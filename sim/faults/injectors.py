"""The faults that strike: one function each, by the name that is drawn and told.

A strike hits what its `Aim` points at: the node that has a text just now, the connection that the
text is in or comes from, the device at its end; or, aimed at nothing, whatever chance picks. It
gives False if there was nothing to hit. How long what it breaks stays broken is drawn, too, up to
what the severity of the fault allows.
"""

import random
from collections.abc import Callable

from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.network import Wire
from sim.cluster.trace import FaultRecord
from sim.faults.injection_points import Place

NOWHERE = Place("")


class Aim:
    """What one strike is about to hit. What is to come later does not, once all is healed."""

    def __init__(
        self,
        cluster: Cluster,
        kind: str,
        chance: random.Random,
        severity: float,
        place: Place,
        is_healed: Callable[[], bool],
    ) -> None:
        self.cluster = cluster
        self.chance = chance
        self._kind = kind
        self._severity = severity
        self._place = place
        self._is_healed = is_healed

    # ------------------------------------------------------------------ what is hit

    def node(self) -> Host | None:
        """The node aimed at, if it is there; or any that is."""
        hosts = [host for host in self.cluster.hosts if host.node is not None]
        if self._place.node:
            hosts = [host for host in hosts if host.name == self._place.node]
        return self.chance.choice(hosts) if hosts else None

    def wire(self) -> Wire | None:
        """The connection that has the text, or the one it came by; else any one of the node's that
        has it, or any one."""
        place = self._place
        if place.wire is not None:
            return place.wire if place.wire.open else None
        if not place.node:
            return self._any([wire for wire in self.cluster.wires if wire.open])
        host = self.node()
        if host is None:
            return None
        wires = {number: wire for number, wire in host.wires.items() if wire.open}
        return self._any(self._of_sender(host, wires)) or self._any([*wires.values()])

    def _of_sender(self, host: Host, wires: dict[int, Wire]) -> list[Wire]:
        sessions = [(host.node and host.node.session(number), wires[number]) for number in wires]
        return [
            wire
            for session, wire in sessions
            if session and session.user and session.user.id == self._place.sender
        ]

    def device(self) -> SimDevice | None:
        """The device at the end of that connection."""
        here = [device for device in self.cluster.devices if not device.away]
        if self._place.node:
            wire = self.wire()
            here = [device for device in here if wire is not None and device.wire is wire]
        return self.chance.choice(here) if here else None

    def _any(self, wires: list[Wire]) -> Wire | None:
        return self.chance.choice(wires) if wires else None

    # ------------------------------------------------------------------ for how long

    def length_ms(self, least_ms: int, most_ms: int) -> int:
        most_ms = max(least_ms, int(most_ms * self._severity))
        return self.chance.randint(least_ms, most_ms)

    def later(self, ms: int, action: Callable[..., None], *args: object) -> None:
        self.cluster.world.later(ms, self._unless_healed, action, args)

    def _unless_healed(self, action: Callable[..., None], args: tuple[object, ...]) -> None:
        if not self._is_healed():
            action(*args)

    def show(self, *parties: str, length_ms: int = 0) -> None:
        """Notes it for the picture."""
        now_ms = self.cluster.world.now_ms
        self.cluster.trace.note(FaultRecord(now_ms, self._kind, parties, now_ms + length_ms))

    def show_wire(self, wire: Wire) -> None:
        """The same, for both its ends."""
        nodes = [host.name for host in self.cluster.hosts if wire in host.wires.values()]
        self.show(wire.name, *nodes)


Strike = Callable[[Aim], bool]
STRIKES: dict[str, Strike] = {}


def strike(function: Strike) -> Strike:
    """Makes a function a kind of fault."""
    STRIKES[function.__name__] = function
    return function


# ---------------------------------------------------------------------- nodes


@strike
def node_crash(aim: Aim) -> bool:
    """Power off, and on again after a while."""
    return _down(aim, aim.length_ms(100, 8_000))


@strike
def node_restart(aim: Aim) -> bool:
    """It is started again before anybody can have noticed, its lease among them."""
    return _down(aim, aim.chance.randint(0, 20))


def _down(aim: Aim, away_ms: int) -> bool:
    host = aim.node()
    if host is None:
        return False
    host.crash()
    aim.show(host.name, length_ms=away_ms)
    aim.later(away_ms, _boot, host)
    return True


def _boot(host: Host) -> None:
    if host.node is None:
        host.start()


@strike
def node_pause(aim: Aim) -> bool:
    host = aim.node()
    if host is None:
        return False
    host.pause()
    pause_ms = aim.length_ms(100, 25_000)
    aim.show(host.name, length_ms=pause_ms)
    aim.later(pause_ms, host.resume)
    return True


@strike
def node_drain(aim: Aim) -> bool:
    """It is asked to stop, and replaced after a while whether it has or not."""
    host = aim.node()
    if host is None:
        return False
    host.drain()
    drain_ms = aim.length_ms(3_000, 10_000)
    aim.show(host.name, length_ms=drain_ms)
    aim.later(drain_ms, _replace, host, host.node)
    return True


def _replace(host: Host, node: object) -> None:
    if host.node is node:
        host.crash()
        host.start()


@strike
def clock_jump(aim: Aim) -> bool:
    host = aim.node()
    if host is None:
        return False
    aim.show(host.name)
    host.jump(aim.length_ms(500, 60_000))
    return True


# ---------------------------------------------------------------------- clients' connections


@strike
def reset(aim: Aim) -> bool:
    """A connection breaks: with all that is on its way, or after any byte of it."""
    wire = aim.wire()
    if wire is None:
        return False
    aim.show_wire(wire)
    if aim.chance.random() < 0.5:
        wire.reset()
    else:
        wire.break_after(aim.chance.randint(1, 150), up=aim.chance.random() < 0.5)
    return True


@strike
def half_open(aim: Aim) -> bool:
    wire = aim.wire()
    if wire is None:
        return False
    client_hears = aim.chance.random() < 0.5
    aim.show_wire(wire)
    wire.reset(client_hears=client_hears, node_hears=not client_hears)
    return True


@strike
def partition(aim: Aim) -> bool:
    """A connection carries nothing for a while: one way or both."""
    wire = aim.wire()
    if wire is None:
        return False
    stop_ms = aim.length_ms(100, 20_000)
    aim.show(wire.name, length_ms=stop_ms)
    for pipe in aim.chance.choice(((wire.up,), (wire.down,), (wire.up, wire.down))):
        pipe.stopped = True
        aim.later(stop_ms, pipe.resume)
    return True


@strike
def slow_reader(aim: Aim) -> bool:
    wire = aim.wire()
    if wire is None:
        return False
    wire.down.bytes_per_ms = aim.chance.choice((1, 2, 8))
    slow_ms = aim.length_ms(1_000, 30_000)
    aim.show(wire.name, length_ms=slow_ms)
    aim.later(slow_ms, read_fast, wire)
    return True


def read_fast(wire: Wire) -> None:
    wire.down.bytes_per_ms = None
    wire.down.resume()


# ---------------------------------------------------------------------- clients and the balancer


@strike
def balancer_moves(aim: Aim) -> bool:
    """The balancer restarts: everyone is put through anew."""
    moved = [wire for wire in aim.cluster.wires if wire.open and aim.chance.random() < 0.7]
    for wire in moved:
        aim.show_wire(wire)
        wire.reset()
    return bool(moved)


@strike
def balancer_picks_dead(aim: Aim) -> bool:
    """A node dies, and for a while the balancer sends everyone who comes to it."""
    cluster = aim.cluster
    host = aim.node()
    if host is None or cluster.only_node is not None:
        return False
    host.crash()
    blind_ms = aim.length_ms(500, 6_000)
    away_ms = blind_ms + aim.length_ms(0, 3_000)
    aim.show(host.name, length_ms=away_ms)
    cluster.only_node, cluster.blind = host, True
    aim.later(blind_ms, see_again, cluster)
    aim.later(away_ms, _boot, host)
    return True


def see_again(cluster: Cluster) -> None:
    if cluster.blind:
        cluster.only_node, cluster.blind = None, False


@strike
def reconnect_storm(aim: Aim) -> bool:
    here = [device for device in aim.cluster.devices if not device.away]
    for device in here:
        device.switch_off()
        away_ms = aim.chance.randint(0, 300)
        aim.show(device.name, length_ms=away_ms)
        aim.later(away_ms, device.switch_on)
    return bool(here)


MOST_DEVICES = 16
"""So many bring no more, when all speak at once, than small pages carry in time."""


@strike
def many_devices(aim: Aim) -> bool:
    """Somebody logs in with several devices more."""
    device = aim.device()
    room = MOST_DEVICES - len(aim.cluster.devices)
    if device is None or room <= 0:
        return False
    for _ in range(min(room, aim.length_ms(1, 4))):
        aim.show(aim.cluster.add_device(device.user).name)
    return True


@strike
def old_cursors(aim: Aim) -> bool:
    """A device comes back from a backup: it knows nothing of what it has applied since."""
    device = aim.device()
    if device is None:
        return False
    device.switch_off()
    device.set_back(aim.chance)
    away_ms = aim.length_ms(0, 5_000)
    aim.show(device.name, length_ms=away_ms)
    aim.later(away_ms, device.switch_on)
    return True


# ---------------------------------------------------------------------- store and bus


@strike
def store_restart(aim: Aim) -> bool:
    store = aim.cluster.store
    store.up = False
    away_ms = aim.length_ms(200, 6_000)
    aim.show("store", length_ms=away_ms)
    aim.later(away_ms, setattr, store, "up", True)
    return True


@strike
def store_cut(aim: Aim) -> bool:
    """The store is there, and one node does not reach it."""
    host = aim.node()
    if host is None:
        return False
    link = host.store_link
    link.cut = True
    cut_ms = aim.length_ms(200, 6_000)
    aim.show(host.name, "store", length_ms=cut_ms)
    aim.later(cut_ms, setattr, link, "cut", False)
    return True


@strike
def bus_restart(aim: Aim) -> bool:
    """It knows no subscription and no lease any more."""
    bus = aim.cluster.bus
    bus.stop()
    away_ms = aim.length_ms(200, 10_000)
    aim.show("bus", length_ms=away_ms)
    aim.later(away_ms, bus.start)
    return True


@strike
def bus_cut(aim: Aim) -> bool:
    """A node and the bus do not reach each other."""
    return _cut_bus(aim, hears=False, is_heard=False)


@strike
def bus_cut_one_way(aim: Aim) -> bool:
    """A node hears the bus and is not heard, or the other way round."""
    hears = aim.chance.random() < 0.5
    return _cut_bus(aim, hears=hears, is_heard=not hears)


def _cut_bus(aim: Aim, *, hears: bool, is_heard: bool) -> bool:
    host = aim.node()
    if host is None or host.port.cut:
        return False
    host.port.cut_off(hears=hears, is_heard=is_heard)
    cut_ms = aim.length_ms(200, 10_000)
    aim.show(host.name, "bus", length_ms=cut_ms)
    aim.later(cut_ms, host.port.mend)
    return True
