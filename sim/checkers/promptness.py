"""How long it may take: an entry is on every device within 30 s of the device's path being healthy,
also while everything around it goes wrong.

Every few seconds all devices are looked at. One whose path has been healthy all along must by
then have whatever was in the store when the time began to run.
"""

from collections import deque

from sim.checkers import Violation
from sim.checkers.snapshot import Snapshot, snapshot
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.network import Wire

EVERY_MS = 1_000
WITHIN_MS = 30_000


def host_of(cluster: Cluster, wire: Wire) -> Host | None:
    return next((host for host in cluster.hosts if wire in host.wires.values()), None)


def healthy_path(cluster: Cluster, device: SimDevice) -> Wire | None:
    """The device's connection, if nothing is in the way from the store to the person."""
    wire = device.wire
    if device.away or wire is None or not wire.open or not device.session.online:
        return None
    if wire.up.stopped or wire.down.stopped or wire.down.bytes_per_ms is not None:
        return None
    host = host_of(cluster, wire)
    if host is None or host.paused or host.draining or not host.store_link.reachable:
        return None
    return wire


class Promptness:
    """Looks from `start` to `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._healthy: dict[SimDevice, tuple[Wire, int]] = {}
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
        cluster.audit.check()
        self._past.append(snapshot(cluster.store.connection, now_ms))
        while self._past[0].at_ms < now_ms - WITHIN_MS:
            self._past.popleft()
        for device in cluster.devices:
            wire = healthy_path(cluster, device)
            if wire is None:
                self._healthy.pop(device, None)
            elif device not in self._healthy or self._healthy[device][0] is not wire:
                self._healthy[device] = wire, now_ms
            elif self._healthy[device][1] <= now_ms - WITHIN_MS:
                self._look_at(device)
        cluster.world.later(EVERY_MS, self._look)

    def _look_at(self, device: SimDevice) -> None:
        late = entry_missed(device, self._cluster.user_ids[device.user], self._past)
        if late is not None:
            raise Violation("an entry is on every healthy device within 30 s", late)


def entry_missed(device: SimDevice, user: int, past: deque[Snapshot]) -> str | None:
    """What a device has not applied of what was there at the first of these snapshots. A
    conversation counts if the user was a member all along."""
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
