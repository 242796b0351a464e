"""The steady state: after the healing the workload goes on, nothing fails silently, and so nothing
takes long.

In steady state everything in the store is within 2 s on every device that was connected all that
time: entries, rosters, read marks. A user who comes online, and had not just gone, is shown online
as soon; one who goes, within 6 s (an absence of 3 s is no news). No connection ends except by its
own client, and a client that reads is read from, unless it is paced. Latencies may be some tenths
of a second, a device may stop reading, and users come and go, so that all of this overlaps.

A node that knows that its bus is down compares with the store more often, and at once when the bus
is back. So what was in the store at that moment is on its devices 2 s later.
"""

from collections import deque
from dataclasses import dataclass

from chat.protocol.messages import PresenceState
from sim.checkers import Violation
from sim.checkers.checks import Checks
from sim.checkers.delivery_deadline import entry_missed, host_of
from sim.checkers.liveness import roster_difference
from sim.checkers.snapshot import Snapshot, take_snapshot
from sim.cluster.device import SimDevice
from sim.cluster.network import SimConnection

EVERY_MS = 250
WITHIN_MS = 2_000
PRESENCE_MS = 6_000
COMING_MS = 2_500


@dataclass
class _Online:
    """A device whose connection has been healthy since `since_ms`."""

    connection: SimConnection
    own_disconnects: int
    since_ms: int
    host: str
    read_from_ms: int
    """When the node last read from it."""


@dataclass
class _Presence:
    """Whether a user is online, since when, and how long the state before had lasted."""

    online: bool
    since_ms: int
    before_ms: int


class SteadyState:
    """Looks four times a second from `start` to `stop`. With `bus_stays_dead` every node knows
    that its bus is down."""

    def __init__(self, checks: Checks, *, bus_stays_dead: bool) -> None:
        self._cluster = checks.cluster
        self._checks = checks
        self._online: dict[SimDevice, _Online] = {}
        self._past: deque[Snapshot] = deque()
        self._presence_of: dict[int, _Presence] = {}
        self._logins: dict[SimDevice, int] = {}
        self._connection_numbers: dict[SimDevice, int] = {}
        self._half_connected_ms: dict[int, int] = {}
        """By user: when a device last had a connection, or its node thought so, without being
        logged in as far as it had read."""
        self._marked: dict[tuple[int, int], tuple[int, int]] = {}
        """By user and conversation: the read mark, and when it was first seen; 0 at first."""
        self._bus_is_reliable = not bus_stays_dead
        self._stopped = False

    def start(self) -> None:
        self._look()

    def stop(self) -> None:
        self._stopped = True

    def bus_will_fail(self) -> None:
        """From now on messages may be lost while their nodes do not know that the bus is down."""
        self._bus_is_reliable = False

    # ------------------------------------------------------------------ looking

    def _look(self) -> None:
        if self._stopped:
            return
        cluster = self._cluster
        now_ms = cluster.world.now_ms
        self._checks.audit.check()
        self._past.append(take_snapshot(cluster.store.connection, now_ms))
        if self._past[0].at_ms < now_ms - 2 * WITHIN_MS:
            self._past.popleft()
        for device in cluster.devices:
            self._observe(device, now_ms)
        self._observe_users(now_ms)
        for device, online in self._online.items():
            self._check(device, online, now_ms)
        cluster.world.later(EVERY_MS, self._look)

    def _observe(self, device: SimDevice, now_ms: int) -> None:
        before = self._online.get(device)
        conn = device.connection
        if conn is not None and conn.down.stopped:
            self._online.pop(device, None)
            return
        if device.switched_off or conn is None or not device.session.online:
            now = None
        else:
            host = host_of(self._cluster, conn)
            now = None if host is None else (conn, host.name)
        if before is not None and (now is None or now[0] is not before.connection):
            if not device.switched_off and device.own_disconnects == before.own_disconnects:
                raise Violation(
                    "no connection ends in steady state",
                    f"{device.name} on {before.host} lost one",
                )
            del self._online[device]
            before = None
        if now is not None and before is None:
            self._online[device] = _Online(now[0], device.own_disconnects, now_ms, now[1], now_ms)

    def _observe_users(self, now_ms: int) -> None:
        ids = self._cluster.user_ids
        online = {ids[device.user] for device in self._online}
        for device in self._cluster.devices:
            if self._logins.get(device, device.logins) != device.logins:
                online.add(ids[device.user])  # It may have left again since the last look.
            self._logins[device] = device.logins
        for device in self._cluster.devices:
            number = device.connection_number
            connected = (
                device.connection is not None or self._connection_numbers.get(device) != number
            )
            self._connection_numbers[device] = number
            if connected and ids[device.user] not in online:
                self._half_connected_ms[ids[device.user]] = now_ms
        for user in self.half_open_users() - online:
            self._half_connected_ms[user] = now_ms
        for user in ids.values():
            state = self._presence_of.get(user)
            if state is None:
                self._presence_of[user] = _Presence(
                    user in online, now_ms - PRESENCE_MS, PRESENCE_MS
                )
            elif state.online != (user in online):
                self._presence_of[user] = _Presence(user in online, now_ms, now_ms - state.since_ms)
        marks = self._past[-1].marks
        self._marked = {place: mark for place, mark in self._marked.items() if place in marks}
        for place, mark in marks.items():
            if place not in self._marked:
                self._marked[place] = mark, 0
            elif self._marked[place][0] != mark:
                self._marked[place] = mark, now_ms

    def half_open_users(self) -> set[int]:
        """Users with a connection that was half-open before the healing: their node takes it for a
        live one until the dead-peer timeout."""
        users = {device.name: device.user for device in self._cluster.devices}
        return {
            self._cluster.user_ids[users[conn.name]]
            for host in self._cluster.hosts
            for conn in host.connections.values()
            if conn.up.black_hole and conn.name in users
        }

    # ------------------------------------------------------------------ what must be

    def _is_paced(self, online: _Online) -> bool:
        """Whether the connection sent lines faster than it may; see limits/pacing.py."""
        for host in self._cluster.hosts:
            if host.name == online.host and host.node is not None:
                for number, conn in host.connections.items():
                    if conn is online.connection:
                        session = host.node.session(number)
                        return session is not None and session.paced
        return False

    def _check(self, device: SimDevice, online: _Online, now_ms: int) -> None:
        user = self._cluster.user_ids[device.user]
        if not online.connection.up.stopped or self._is_paced(online):
            online.read_from_ms = now_ms
        elif online.read_from_ms <= now_ms - WITHIN_MS:
            raise Violation(
                "a client that reads is read from in steady state",
                f"{device.name} on {online.host} is not",
            )
        is_up, heard_ms = self._checks.streams.bus[online.host]
        if self._bus_is_reliable or not is_up:
            start_ms = max(online.since_ms, 0 if self._bus_is_reliable else heard_ms)
            if start_ms <= now_ms - WITHIN_MS:
                self._check_entries(device, user, now_ms - WITHIN_MS)
        elif now_ms - EVERY_MS < heard_ms + WITHIN_MS <= now_ms and online.since_ms < heard_ms:
            self._check_entries(device, user, heard_ms)
        if self._bus_is_reliable and online.since_ms <= now_ms - WITHIN_MS:
            self._check_marks(device, user, online, now_ms)
            if self._is_settled(user, now_ms):
                wrong = roster_difference(device, self._past[-1], user)
                if wrong is not None:
                    raise Violation("roster news takes no longer than 2 s in steady state", wrong)
                self._check_presence(device, online, now_ms)

    def _check_entries(self, device: SimDevice, user: int, until_ms: int) -> None:
        """The device has the entries of the last snapshot before that time."""
        past = deque(self._past)
        while len(past) > 1 and past[1].at_ms <= until_ms:
            past.popleft()
        if past[0].at_ms <= until_ms:
            late = entry_missed(device, user, past)
            if late is not None:
                raise Violation("an entry takes no longer than 2 s in steady state", late)

    def _is_settled(self, user: int, now_ms: int) -> bool:
        """Whether the user's roster has not changed for as long as news may take. The version shows
        changes that were undone between two looks."""
        recent = [one for one in self._past if one.at_ms >= now_ms - WITHIN_MS]
        last = recent[-1]
        return all(
            one.friends.get(user) == last.friends.get(user)
            and one.groups.get(user) == last.groups.get(user)
            and one.requests.get(user) == last.requests.get(user)
            and one.versions.get(user) == last.versions.get(user)
            for one in recent
        )

    def _check_marks(self, device: SimDevice, user: int, online: _Online, now_ms: int) -> None:
        """A read mark is on the reader's other devices, and on the friend's."""
        store = self._past[-1]
        for friend in device.session.roster.friends.values():
            place = friend.id, friend.conversation
            mark, seen_ms = self._marked.get(place, (0, now_ms))
            told = device.read_by.get((friend.conversation, friend.id), 0)
            if place in store.marks and self._is_due(online, seen_ms, now_ms) and told < mark:
                raise Violation(
                    "a read mark takes no longer than 2 s in steady state",
                    f"{device.name} has {told} of {mark} by {friend.name}",
                )
            own, seen_ms = self._marked.get((user, friend.conversation), (0, now_ms))
            if self._is_due(online, seen_ms, now_ms) and friend.read < own:
                raise Violation(
                    "a read mark takes no longer than 2 s in steady state",
                    f"{device.name} has {friend.read} of {own} with {friend.name}",
                )

    def _is_due(self, online: _Online, seen_ms: int, now_ms: int) -> bool:
        """Whether a mark first seen at `seen_ms` was news to the device, and 2 s have passed."""
        return online.since_ms + 2 * EVERY_MS < seen_ms <= now_ms - WITHIN_MS

    def _check_presence(self, device: SimDevice, online: _Online, now_ms: int) -> None:
        """The device has the true state of its friends. Left out: friends who came or went while
        the device logged in (the news may overtake), friends whom a node has logged in and who
        have not read so yet, and new friends, whose state has to be asked for first."""
        for friend in device.session.roster.friends.values():
            shown = friend.state is PresenceState.ONLINE
            state = self._presence_of.get(friend.id)
            if (
                state is not None
                and state.online != shown
                and not (shown and now_ms < self._half_connected_ms.get(friend.id, 0) + PRESENCE_MS)
                and device.befriended_ms.get(friend.id, 0) <= now_ms - WITHIN_MS
                and state.before_ms >= PRESENCE_MS
                and abs(online.since_ms - state.since_ms) > WITHIN_MS
                and state.since_ms <= now_ms - (COMING_MS if state.online else PRESENCE_MS)
            ):
                raise Violation(
                    "presence is shown in time in steady state",
                    f"{device.name} has {friend.name} {friend.state}",
                )
