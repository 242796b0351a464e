"""Scenarios: combinations of actions that the drawn workload seldom brings about by itself.

Each takes a cluster and its random numbers, begins at once, and schedules what comes later. It does
nothing if no device is in the state that it needs.
"""

import random

from chat.client.session.ports.requests import QueuedRequest
from chat.protocol import messages
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice, Target

STALL_MS = 2_000
LONG = " and more" * 40
"""Appended to a text. Texts are part of a seed's history, word by word."""
BEFRIEND_MS = 800
"""Longer than the steady-state checker's interval, so that it sees that they are not friends."""
DISCONNECT_MS = 80
"""About the time that a text takes into the store."""
RECONNECT_MS = 800
ROSTER_CHANGES_MS = 100
BRIEF_CONNECTIONS = 8
MAX_WAIT_MS = 1_000
GROUPS_TOO_MANY = 3


def overfill_slow_reader(cluster: Cluster, rng: random.Random) -> None:
    """A device reads nothing for a while, and the other members of a group send more than its
    outbound buffer holds."""
    online = [device for device in cluster.logged_in() if device.connection is not None]
    slow = rng.choice(online) if online else None
    groups = sorted(slow.session.roster.groups) if slow else []
    if slow is None or slow.connection is None or not groups:
        return
    group = rng.choice(groups)
    slow.connection.down.stopped = True
    cluster.world.later(STALL_MS, slow.connection.down.resume)
    for device in online:
        if device is not slow and group in device.session.roster.groups:
            for number in range(6):
                device.send_text(("group", group), f"crowd {device.name} {number}{LONG}")


def send_and_disconnect(cluster: Cluster, rng: random.Random) -> None:
    """A device sends a text and is switched off before the answer."""
    online = [device for device in cluster.logged_in() if device.session.online]
    if not online:
        return
    device: SimDevice = rng.choice(online)
    friends = sorted(device.session.roster.friends)
    if friends:
        device.send_text(
            ("user", rng.choice(friends)), f"goodbye from {device.name} {device.connection_number}"
        )
        cluster.world.later(rng.randint(1, DISCONNECT_MS), device.switch_off)


def reconnect_all(cluster: Cluster, rng: random.Random) -> None:
    """All devices reconnect, and send texts before the last of them is connected."""
    later = cluster.world.later
    for device in list(cluster.logged_in()):
        device.switch_off()
        later(rng.randint(0, RECONNECT_MS), device.switch_on)
        for _ in range(5):
            later(
                rng.randint(RECONNECT_MS // 8, 2 * RECONNECT_MS),
                _send_somewhere,
                cluster,
                rng,
                device,
            )


def unfriend_and_befriend(cluster: Cluster, rng: random.Random) -> None:
    """A user removes a friend and adds them again at once, so that the second change is made while
    the news of the first is on its way."""
    online = [device for device in cluster.logged_in() if device.session.online]
    device = rng.choice(online) if online else None
    friends = sorted(device.session.roster.friends) if device else []
    if device is None or not friends:
        return
    friend = rng.choice(friends)
    device.ask(messages.RemoveFriendRequest(id=0, user=friend))
    device.ask(messages.AddFriendRequest(id=0, user=friend))
    others = (one for one in online if cluster.user_ids[one.user] == friend)
    other = next(others, None)
    if other is not None:
        later = cluster.world.later
        later(
            BEFRIEND_MS,
            other.ask,
            messages.AddFriendRequest(id=0, user=cluster.user_ids[device.user]),
        )


def _send_somewhere(cluster: Cluster, rng: random.Random, device: SimDevice) -> None:
    roster = device.session.roster
    places: list[Target] = [("user", friend) for friend in sorted(roster.friends)]
    places += [("group", group) for group in sorted(roster.groups)]
    if places:
        number = len(device.sent_texts)
        device.send_text(
            rng.choice(places), f"{device.name} is back, {device.connection_number}, {number}"
        )


def become_absent(cluster: Cluster, rng: random.Random) -> None:
    """All devices of a user are switched off, and stay so."""
    user = rng.choice(list(cluster.user_ids))
    cluster.absent_users.add(user)
    for device in cluster.devices:
        if device.user == user and not device.switched_off:
            device.switch_off()


def change_rosters_at_once(cluster: Cluster, rng: random.Random) -> None:
    """All devices change the roster of one user at once, so that it changes again while it is
    read."""
    online = [device for device in cluster.logged_in() if device.session.online]
    if online:
        user = rng.choice(online).user
        for device in online:
            cluster.world.later(
                rng.randint(0, ROSTER_CHANGES_MS), _change_roster, cluster, rng, device, user
            )


def _change_roster(cluster: Cluster, rng: random.Random, device: SimDevice, user: str) -> None:
    roster = device.session.roster
    group, number = rng.choice(cluster.groups), cluster.user_ids[user]
    request: QueuedRequest
    if device.user != user:
        kind = (
            messages.RemoveFriendRequest if number in roster.friends else messages.AddFriendRequest
        )
        request = kind(id=0, user=number)
    elif rng.random() < 0.5:
        request = messages.SnapshotRequest(id=0)
    elif group in roster.groups:
        request = messages.LeaveGroupRequest(id=0, group=group)
    else:
        request = messages.JoinGroupRequest(id=0, group=group)
    device.ask(request)


def exceed_limits(cluster: Cluster, rng: random.Random) -> None:
    """A user asks all others to be friends, and they another one; and the user creates and joins
    groups: all more than the limits allow."""
    online = [device for device in cluster.logged_in() if device.session.online]
    if not online:
        return
    device: SimDevice = rng.choice(online)
    asked = rng.choice(list(cluster.user_ids.values()))
    for user in cluster.user_ids.values():
        _ask_anew(device, user)
    for other in online:
        _ask_anew(other, asked)
    for _ in range(GROUPS_TOO_MANY):
        device.ask(messages.CreateGroupRequest(id=0, name="one too many"))
    for group in cluster.groups:
        device.ask(messages.JoinGroupRequest(id=0, group=group))


def _ask_anew(device: SimDevice, user: int) -> None:
    device.ask(messages.RemoveFriendRequest(id=0, user=user))
    device.ask(messages.AddFriendRequest(id=0, user=user))


def send_disconnect_and_unfriend(cluster: Cluster, rng: random.Random) -> None:
    """A device sends a text to a friend and is switched off before the answer; when it comes back
    the friendship has ended."""
    online = [device for device in cluster.logged_in() if device.session.online]
    device = rng.choice(online) if online else None
    friends = sorted(device.session.roster.friends) if device else []
    if device is None or not friends:
        return
    friend = rng.choice(friends)
    device.send_text(
        ("user", friend), f"parting words of {device.name}, {device.connection_number}"
    )
    later = cluster.world.later
    later(rng.randint(1, DISCONNECT_MS), device.switch_off)
    for other in online:
        if cluster.user_ids[other.user] == friend:
            number = cluster.user_ids[device.user]
            later(DISCONNECT_MS, other.ask, messages.RemoveFriendRequest(id=0, user=number))
            break
    later(rng.randint(500, 1_000), device.switch_on)


def connect_briefly(cluster: Cluster, rng: random.Random) -> None:
    """A device connects again and again, and each time disconnects before it has caught up."""
    asleep = [device for device in cluster.devices if device.switched_off]
    if asleep:
        _send_and_connect(cluster, rng, rng.choice(asleep), BRIEF_CONNECTIONS)


def _send_and_connect(cluster: Cluster, rng: random.Random, device: SimDevice, left: int) -> None:
    number = cluster.user_ids[device.user]
    for other in cluster.logged_in():
        if number in other.session.roster.friends:
            other.send_text(
                ("user", number), f"look {left}, {device.name}, {device.connection_number}"
            )
    if device.switched_off and left:
        cluster.world.later(DISCONNECT_MS, device.switch_on)
        cluster.world.later(DISCONNECT_MS, _disconnect_when_online, cluster, rng, device, left, 0)


def _disconnect_when_online(
    cluster: Cluster, rng: random.Random, device: SimDevice, left: int, waited_ms: int
) -> None:
    """Waits until the device is logged in, and switches it off."""
    if device.session.online or waited_ms > MAX_WAIT_MS:
        device.switch_off()
        _send_and_connect(cluster, rng, device, left - 1)
    else:
        cluster.world.later(2, _disconnect_when_online, cluster, rng, device, left, waited_ms + 2)
