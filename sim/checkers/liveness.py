"""What must come about once everything is healed: within a minute every send is settled, every
device
is at the head of all its conversations, and presence agrees."""

from collections.abc import Iterator

from chat.core._generated.messages import PresenceState
from sim.checkers import Violation
from sim.checkers.log import Log
from sim.device import SimDevice


def unsettled(devices: list[SimDevice]) -> Iterator[Violation]:
    """Sends of devices that are on, of which nothing is known yet."""
    for device in devices:
        if device.away:
            continue
        for said in device.said.values():
            if said.settled is None and said.failed is None:
                yield Violation(
                    "every send is settled in the end", f"{said.text} of {device.name} is not"
                )


def behind(devices: list[SimDevice], log: Log, user_ids: dict[str, int]) -> Iterator[Violation]:
    """Devices that are not at the head of a conversation of theirs."""
    heads, members = log.heads(), log.members()
    for device in devices:
        if device.away:
            continue
        if not device.logged_in:
            yield Violation("every device comes back", f"{device.name} is not logged in")
            continue
        user = user_ids[device.user]
        for conversation, head in heads.items():
            if user not in members.get(conversation, set()):
                continue
            cursor = device.session.cursors.all().get(conversation)
            if cursor != head:
                yield Violation(
                    "every device is at the head in the end",
                    f"{device.name} is at {cursor} of {head} in conversation {conversation}",
                )


def presence(devices: list[SimDevice], user_ids: dict[str, int]) -> Iterator[Violation]:
    """Friends whose state is not as it is."""
    online = {user_ids[device.user] for device in devices if not device.away and device.logged_in}
    for device in devices:
        if device.away or not device.logged_in:
            continue
        for friend in device.session.roster.friends.values():
            there = friend.state is PresenceState.ONLINE
            if there != (friend.id in online):
                yield Violation(
                    "presence agrees in the end",
                    f"{device.name} has {friend.name} {friend.state}",
                )
