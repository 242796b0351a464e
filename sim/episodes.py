"""What people do to each other while all is well, and what seldom comes about by itself."""

import random

from chat.core._generated import messages as wire
from sim.cluster import Cluster
from sim.device import SimDevice

STALL_MS = 2_000
LONG = " and more" * 40
MAKE_UP_MS = 800
"""Longer than the checkers look away, or they would not see that the two were no friends."""
LEAVE_MS = 80
"""About as long as a text takes into the store."""


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
    for device in list(cluster.logged_in()):
        device.switch_off()
        cluster.world.later(chance.randint(0, 500), device.switch_on)
        friends = sorted(device.session.roster.friends)
        if friends and chance.random() < 0.5:
            friend = chance.choice(friends)
            cluster.world.later(chance.randint(300, 1_500), _greet, device, friend)


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


def _greet(device: SimDevice, friend: int) -> None:
    device.say(("user", friend), f"{device.name} is back, {device.link}")
