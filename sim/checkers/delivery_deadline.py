"""The delivery deadline: an entry is on every device within 30 s of its path being healthy, also
while faults happen around it.

All devices are checked each second. A device whose connection has been healthy for the last 30 s
must have every entry that was in the store at their beginning.
"""

from collections import deque

from sim.checkers import Violation
from sim.checkers.checks import Checks
from sim.checkers.snapshot import Snapshot, take_snapshot
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.network import SimConnection

EVERY_MS = 1_000
WITHIN_MS = 30_000


def host_of(cluster: Cluster, conn: SimConnection) -> Host | None:
    return next((host for host in cluster.hosts if conn in host.connections.values()), None)


def healthy_connection(cluster: Cluster, device: SimDevice) -> SimConnection | None:
    """The device's connection, if no fault lies between the store and the device."""
    conn = device.connection
    if device.switched_off or conn is None or not conn.open or not device.session.online:
        return None
    if conn.up.stopped or conn.down.stopped or conn.down.bytes_per_ms is not None:
        return None
    host = host_of(cluster, conn)
    if host is None or host.paused or host.draining or not host.store_link.reachable:
        return None
    return conn


class DeliveryDeadline:
    """Looks each second from `start` to `stop`."""

    def __init__(self, checks: Checks) -> None:
        self._cluster = checks.cluster
        self._audit = checks.audit
        self._healthy: dict[SimDevice, tuple[SimConnection, int]] = {}
        self._past: deque[Snapshot] = deque()
        self._stopped = False

    def start(self) -> None:
        self._cluster.world.later(EVERY_MS, self._look)

    def stop(self) -> None:
        self._stopped = True

    def _look(self) -> None:
        if self._stopped:
            return
        cluster = self._cluster
        now_ms = cluster.world.now_ms
        self._audit.check()
        self._past.append(take_snapshot(cluster.store.connection, now_ms))
        while self._past[0].at_ms < now_ms - WITHIN_MS:
            self._past.popleft()
        for device in cluster.devices:
            conn = healthy_connection(cluster, device)
            if conn is None:
                self._healthy.pop(device, None)
            elif device not in self._healthy or self._healthy[device][0] is not conn:
                self._healthy[device] = conn, now_ms
            elif self._healthy[device][1] <= now_ms - WITHIN_MS:
                self._check(device)
        cluster.world.later(EVERY_MS, self._look)

    def _check(self, device: SimDevice) -> None:
        late = entry_missed(device, self._cluster.user_ids[device.user], self._past)
        if late is not None:
            raise Violation("an entry is on every healthy device within 30 s", late)


def entry_missed(device: SimDevice, user: int, past: deque[Snapshot]) -> str | None:
    """A conversation in which the device has not applied the head of the first snapshot, as a
    sentence. Conversations in which the membership began or ended since are left out."""
    first, last = past[0], past[-1]
    cursors = device.session.cursors.all()
    for place, number in first.members.items():
        id, conversation = place
        if id != user or last.members.get(place) != number:
            continue
        if cursors.get(conversation, 0) >= first.heads[conversation]:
            continue
        return (
            f"{device.name} is at {cursors.get(conversation)} of "
            f"{first.heads[conversation]} in conversation {conversation}, "
            f"{(last.at_ms - first.at_ms) / 1_000:g} s later"
        )
    return None
