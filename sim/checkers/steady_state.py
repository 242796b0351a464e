"""The time after the healing: people go on, nothing fails silently, and so nothing takes long.

While all is well, whatever is in the store is within 2 s on every device that was online for as
long: entries, rosters, read marks. Who came, and had not just gone, is known as soon, and who went
within 6 s (an absence of 3 s is no news). Nobody's connection ends but by their own doing, and who
reads is read from. Ways may be slow (some tenths of a second), somebody may not read, and people
come and go, so that everything happens between the halves of everything else.

A bus that is away is no silent failure for a node that knows of it: it looks more often, and at
once when the bus is back. So what was in the store at that moment is on its devices 2 s later.
"""

from collections import deque
from dataclasses import dataclass

from chat.protocol.messages import PresenceState
from sim.checkers import Violation
from sim.checkers.liveness import roster_difference
from sim.checkers.promptness import entry_missed, host_of
from sim.checkers.snapshot import Snapshot, snapshot
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.network import Wire

EVERY_MS = 250
WITHIN_MS = 2_000
PRESENCE_MS = 6_000
COMING_MS = 2_500


@dataclass
class _Online:
    """A device with a connection that has been good since then."""

    wire: Wire
    own_ends: int
    since_ms: int
    host: str
    read_from_ms: int
    """When the node was last seen to read from it."""


@dataclass
class _State:
    """Whether a user is online, since when, and how long it was the other way before."""

    online: bool
    since_ms: int
    before_ms: int


class Calm:
    """Looks from `start` to `stop`. With `bus_stays_dead` every node knows that it has no bus."""

    def __init__(self, cluster: Cluster, *, bus_stays_dead: bool) -> None:
        self._cluster = cluster
        self._online: dict[SimDevice, _Online] = {}
        self._past: deque[Snapshot] = deque()
        self._states: dict[int, _State] = {}
        self._logins: dict[SimDevice, int] = {}
        self._links: dict[SimDevice, int] = {}
        self._reaching: dict[int, int] = {}
        """When somebody last had a connection, or a node thought so, but was not online as far as
        they had read."""
        self._marked: dict[tuple[int, int], tuple[int, int]] = {}
        """By user and conversation: the read mark, and when it was set; 0 for a member's first."""
        self._bus_was_well = not bus_stays_dead
        self._stopped = False

    def start(self) -> None:
        self._look()

    def stop(self) -> None:
        self._stopped = True

    def bus_will_fail(self) -> None:
        """From here on some of what is published is lost, and not all nodes know it."""
        self._bus_was_well = False

    # ------------------------------------------------------------------ looking

    def _look(self) -> None:
        if self._stopped:
            return
        cluster = self._cluster
        now_ms = cluster.world.now_ms
        cluster.audit.check()
        self._past.append(snapshot(cluster.store.connection, now_ms))
        if self._past[0].at_ms < now_ms - 2 * WITHIN_MS:
            self._past.popleft()
        for device in cluster.devices:
            self._see(device, now_ms)
        self._see_people(now_ms)
        for device, online in self._online.items():
            self._look_at(device, online, now_ms)
        cluster.world.later(EVERY_MS, self._look)

    def _see(self, device: SimDevice, now_ms: int) -> None:
        before = self._online.get(device)
        wire = device.wire
        if wire is not None and wire.down.stopped:
            self._online.pop(device, None)
            return
        if device.away or wire is None or not device.session.online:
            now = None
        else:
            host = host_of(self._cluster, wire)
            now = None if host is None else (wire, host.name)
        if before is not None and (now is None or now[0] is not before.wire):
            if not device.away and device.own_ends == before.own_ends:
                raise Violation(
                    "nobody's connection ends while all is well",
                    f"{device.name} on {before.host} lost one",
                )
            del self._online[device]
            before = None
        if now is not None and before is None:
            self._online[device] = _Online(now[0], device.own_ends, now_ms, now[1], now_ms)

    def _see_people(self, now_ms: int) -> None:
        ids = self._cluster.user_ids
        here = {ids[device.user] for device in self._online}
        for device in self._cluster.devices:
            if self._logins.get(device, device.logins) != device.logins:
                here.add(ids[device.user])  # even if it went again before this look
            self._logins[device] = device.logins
        for device in self._cluster.devices:
            connected = device.wire is not None or self._links.get(device) != device.link
            self._links[device] = device.link
            if connected and ids[device.user] not in here:
                self._reaching[ids[device.user]] = now_ms
        for user in self._ghosts() - here:
            self._reaching[user] = now_ms
        for user in ids.values():
            state = self._states.get(user)
            if state is None:
                self._states[user] = _State(user in here, now_ms - PRESENCE_MS, PRESENCE_MS)
            elif state.online != (user in here):
                self._states[user] = _State(user in here, now_ms, now_ms - state.since_ms)
        marks = self._past[-1].marks
        self._marked = {place: mark for place, mark in self._marked.items() if place in marks}
        for place, mark in marks.items():
            if place not in self._marked:
                self._marked[place] = mark, 0
            elif self._marked[place][0] != mark:
                self._marked[place] = mark, now_ms

    def _ghosts(self) -> set[int]:
        """Whose connections were half-open before the healing, and are to a node as good as any
        until it has heard nothing for long enough."""
        users = {device.name: device.user for device in self._cluster.devices}
        return {
            self._cluster.user_ids[users[wire.name]]
            for host in self._cluster.hosts
            for wire in host.wires.values()
            if wire.up.deaf and wire.name in users
        }

    # ------------------------------------------------------------------ what must be

    def _look_at(self, device: SimDevice, online: _Online, now_ms: int) -> None:
        user = self._cluster.user_ids[device.user]
        if not online.wire.up.stopped:
            online.read_from_ms = now_ms
        elif online.read_from_ms <= now_ms - WITHIN_MS:
            raise Violation(
                "who reads is read from while all is well",
                f"{device.name} on {online.host} is not",
            )
        is_up, heard_ms = self._cluster.streams.bus[online.host]
        if self._bus_was_well or not is_up:
            start_ms = max(online.since_ms, 0 if self._bus_was_well else heard_ms)
            if start_ms <= now_ms - WITHIN_MS:
                self._entries(device, user, now_ms - WITHIN_MS)
        elif now_ms - EVERY_MS < heard_ms + WITHIN_MS <= now_ms and online.since_ms < heard_ms:
            self._entries(device, user, heard_ms)
        if self._bus_was_well and online.since_ms <= now_ms - WITHIN_MS:
            self._marks(device, user, online, now_ms)
            if self._is_settled(user, now_ms):
                wrong = roster_difference(device, self._past[-1], user)
                if wrong is not None:
                    raise Violation("roster news takes no longer than 2 s while all is well", wrong)
                self._presence(device, online, now_ms)

    def _entries(self, device: SimDevice, user: int, until_ms: int) -> None:
        """All that was there at the last look before that time."""
        past = deque(self._past)
        while len(past) > 1 and past[1].at_ms <= until_ms:
            past.popleft()
        if past[0].at_ms <= until_ms:
            late = entry_missed(device, user, past)
            if late is not None:
                raise Violation("an entry takes no longer than 2 s while all is well", late)

    def _is_settled(self, user: int, now_ms: int) -> bool:
        """Whether nothing in the user's roster has changed for as long as news may take; nor has
        it changed and changed back between two looks, which its version tells."""
        recent = [one for one in self._past if one.at_ms >= now_ms - WITHIN_MS]
        last = recent[-1]
        return all(
            one.friends.get(user) == last.friends.get(user)
            and one.groups.get(user) == last.groups.get(user)
            and one.requests.get(user) == last.requests.get(user)
            and one.versions.get(user) == last.versions.get(user)
            for one in recent
        )

    def _marks(self, device: SimDevice, user: int, online: _Online, now_ms: int) -> None:
        """Friends and one's own devices are told how far somebody has read."""
        store = self._past[-1]
        for friend in device.session.roster.friends.values():
            place = friend.id, friend.conversation
            mark, seen_ms = self._marked.get(place, (0, now_ms))
            told = device.read_by.get((friend.conversation, friend.id), 0)
            if place in store.marks and self._is_due(online, seen_ms, now_ms) and told < mark:
                raise Violation(
                    "a read mark takes no longer than 2 s while all is well",
                    f"{device.name} has {told} of {mark} by {friend.name}",
                )
            own, seen_ms = self._marked.get((user, friend.conversation), (0, now_ms))
            if self._is_due(online, seen_ms, now_ms) and friend.read < own:
                raise Violation(
                    "a read mark takes no longer than 2 s while all is well",
                    f"{device.name} has {friend.read} of {own} with {friend.name}",
                )

    def _is_due(self, online: _Online, seen_ms: int, now_ms: int) -> bool:
        """Whether a mark that was first seen then was news to the device, and is old by now."""
        return online.since_ms + 2 * EVERY_MS < seen_ms <= now_ms - WITHIN_MS

    def _presence(self, device: SimDevice, online: _Online, now_ms: int) -> None:
        """Who comes while a device is let in may be told to it in the wrong order; a node may have
        let in somebody who has not read so yet; and how a new friend is has to be asked first."""
        for friend in device.session.roster.friends.values():
            there = friend.state is PresenceState.ONLINE
            state = self._states.get(friend.id)
            if (
                state is not None
                and state.online != there
                and not (there and now_ms < self._reaching.get(friend.id, 0) + PRESENCE_MS)
                and device.befriended_ms.get(friend.id, 0) <= now_ms - WITHIN_MS
                and state.before_ms >= PRESENCE_MS
                and abs(online.since_ms - state.since_ms) > WITHIN_MS
                and state.since_ms <= now_ms - (COMING_MS if state.online else PRESENCE_MS)
            ):
                raise Violation(
                    "presence is told in time while all is well",
                    f"{device.name} has {friend.name} {friend.state}",
                )
