"""What people do to each other while all is well, and what seldom comes about by itself."""

import random

from chat.client.session.interface import Question
from chat.protocol import messages as wire
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice, Target

STALL_MS = 2_000
LONG = " and more" * 40
MAKE_UP_MS = 800
"""Longer than the checkers look away, or they would not see that the two were no friends."""
LEAVE_MS = 80
"""About as long as a text takes into the store."""
STORM_MS = 800
RUSH_MS = 100
LOOKS = 8
MOST_LOOK_MS = 1_000


def crowd(cluster: Cluster, chance: random.Random) -> None:
    """A device reads nothing for a while, and the others of a group say more than its buffer
    holds."""
    here = [device for device in cluster.logged_in() if device.wire is not None]
    slow = chance.choice(here) if here else None
    groups = sorted(slow.session.roster.groups) if slow else []
    if slow is None or slow.wire is None or not groups:
        return
    group = chance.choice(groups)
    slow.wire.down.stopped = True
    cluster.world.later(STALL_MS, slow.wire.down.resume)
    for device in here:
        if device is not slow and group in device.session.roster.groups:
            for number in range(6):
                device.say(("group", group), f"crowd {device.name} {number}{LONG}")


def say_and_go(cluster: Cluster, chance: random.Random) -> None:
    """Somebody says something and is gone before the answer."""
    here = [device for device in cluster.logged_in() if device.session.online]
    if not here:
        return
    device: SimDevice = chance.choice(here)
    friends = sorted(device.session.roster.friends)
    if friends:
        device.say(("user", chance.choice(friends)), f"goodbye from {device.name} {device.link}")
        cluster.world.later(chance.randint(1, LEAVE_MS), device.switch_off)


def storm(cluster: Cluster, chance: random.Random) -> None:
    """Everyone is put through anew, and talks before the last have come in."""
    later = cluster.world.later
    for device in list(cluster.logged_in()):
        device.switch_off()
        later(chance.randint(0, STORM_MS), device.switch_on)
        for _ in range(5):
            later(chance.randint(STORM_MS // 8, 2 * STORM_MS), _greet, cluster, chance, device)


def quarrel(cluster: Cluster, chance: random.Random) -> None:
    """Two who are friends end it and make up at once, so that the news of the one is on its way
    while the other comes to be."""
    here = [device for device in cluster.logged_in() if device.session.online]
    device = chance.choice(here) if here else None
    friends = sorted(device.session.roster.friends) if device else []
    if device is None or not friends:
        return
    friend = chance.choice(friends)
    device.ask(wire.RemoveFriendRequest(id=0, user=friend))
    device.ask(wire.AddFriendRequest(id=0, user=friend))
    others = (one for one in here if cluster.user_ids[one.user] == friend)
    other = next(others, None)
    if other is not None:
        later = cluster.world.later
        later(
            MAKE_UP_MS, other.ask, wire.AddFriendRequest(id=0, user=cluster.user_ids[device.user])
        )


def _greet(cluster: Cluster, chance: random.Random, device: SimDevice) -> None:
    roster = device.session.roster
    places: list[Target] = [("user", friend) for friend in sorted(roster.friends)]
    places += [("group", group) for group in sorted(roster.groups)]
    if places:
        number = len(device.said)
        device.say(chance.choice(places), f"{device.name} is back, {device.link}, {number}")


def leave(cluster: Cluster, chance: random.Random) -> None:
    """Somebody goes with all devices, and stays away."""
    user = chance.choice(list(cluster.user_ids))
    cluster.away_for_long.add(user)
    for device in cluster.devices:
        if device.user == user and not device.away:
            device.switch_off()


def rush(cluster: Cluster, chance: random.Random) -> None:
    """Everyone has to do with one person at once: who is a friend and who is in a group changes
    again while the roster is on its way."""
    here = [device for device in cluster.logged_in() if device.session.online]
    if here:
        user = chance.choice(here).user
        for device in here:
            cluster.world.later(chance.randint(0, RUSH_MS), _meddle, cluster, chance, device, user)


def _meddle(cluster: Cluster, chance: random.Random, device: SimDevice, user: str) -> None:
    roster = device.session.roster
    group, number = chance.choice(cluster.groups), cluster.user_ids[user]
    request: Question
    if device.user != user:
        kind = wire.RemoveFriendRequest if number in roster.friends else wire.AddFriendRequest
        request = kind(id=0, user=number)
    elif chance.random() < 0.5:
        request = wire.SnapshotRequest(id=0)
    elif group in roster.groups:
        request = wire.LeaveGroupRequest(id=0, group=group)
    else:
        request = wire.JoinGroupRequest(id=0, group=group)
    device.ask(request)


def say_and_part(cluster: Cluster, chance: random.Random) -> None:
    """Somebody says something to a friend, or in a group, and is gone before the answer; and by the
    return they are no friends any more, or the group is left."""
    here = [device for device in cluster.logged_in() if device.session.online]
    device = chance.choice(here) if here else None
    friends = sorted(device.session.roster.friends) if device else []
    if device is None or not friends:
        return
    friend = chance.choice(friends)
    device.say(("user", friend), f"parting words of {device.name}, {device.link}")
    later = cluster.world.later
    later(chance.randint(1, LEAVE_MS), device.switch_off)
    for other in here:
        if cluster.user_ids[other.user] == friend:
            number = cluster.user_ids[device.user]
            later(LEAVE_MS, other.ask, wire.RemoveFriendRequest(id=0, user=number))
            break
    later(chance.randint(500, 1_000), device.switch_on)


def look_in(cluster: Cluster, chance: random.Random) -> None:
    """Somebody looks in again and again, each time gone before what was missed has come."""
    asleep = [device for device in cluster.devices if device.away]
    if asleep:
        _look_in(cluster, chance, chance.choice(asleep), LOOKS)


def _look_in(cluster: Cluster, chance: random.Random, device: SimDevice, looks: int) -> None:
    number = cluster.user_ids[device.user]
    for other in cluster.logged_in():
        if number in other.session.roster.friends:
            other.say(("user", number), f"look {looks}, {device.name}, {device.link}")
    if device.away and looks:
        cluster.world.later(LEAVE_MS, device.switch_on)
        cluster.world.later(LEAVE_MS, _look_away, cluster, chance, device, looks, 0)


def _look_away(
    cluster: Cluster, chance: random.Random, device: SimDevice, looks: int, waited_ms: int
) -> None:
    """Waits until the device is let in, and switches it off."""
    if device.session.online or waited_ms > MOST_LOOK_MS:
        device.switch_off()
        _look_in(cluster, chance, device, looks - 1)
    else:
        cluster.world.later(2, _look_away, cluster, chance, device, looks, waited_ms + 2)
