"""What must come about once everything is healed: within a minute every send is settled, every
device is at the head of all its conversations and knows its friends and groups, what was read is
marked, and presence agrees."""

from collections.abc import Iterator

from chat.protocol.messages import PresenceState
from sim.checkers import Violation
from sim.checkers.snapshot import Snapshot
from sim.cluster.device import SimDevice


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


def behind(
    devices: list[SimDevice], store: Snapshot, user_ids: dict[str, int]
) -> Iterator[Violation]:
    """Devices that are not at the head of a conversation of theirs."""
    for device in devices:
        if device.away:
            continue
        if not device.logged_in:
            yield Violation("every device comes back", f"{device.name} is not logged in")
            continue
        me = user_ids[device.user]
        cursors = device.session.cursors.all()
        for user, conversation in store.members:
            head = store.heads[conversation]
            if user == me and cursors.get(conversation) != head:
                yield Violation(
                    "every device is at the head in the end",
                    f"{device.name} is at {cursors.get(conversation)} of {head} "
                    f"in conversation {conversation}",
                )


def strange_rosters(
    devices: list[SimDevice], store: Snapshot, user_ids: dict[str, int]
) -> Iterator[Violation]:
    """Devices whose friends, groups or requests are not as they are."""
    for device in devices:
        if not device.away and device.logged_in:
            wrong = roster_difference(device, store, user_ids[device.user])
            if wrong is not None:
                yield Violation("every device has its roster in the end", wrong)


def roster_difference(device: SimDevice, store: Snapshot, user: int) -> str | None:
    """What a device has otherwise than the store."""
    roster = device.session.roster
    for what, has, wanted in (
        (
            "friends",
            {friend.id: friend.conversation for friend in roster.friends.values()},
            store.friends.get(user, {}),
        ),
        (
            "groups",
            {group.id: str(group.role.value) for group in roster.groups.values()},
            store.groups.get(user, {}),
        ),
        ("requests", set(roster.requests), store.requests.get(user, set())),
    ):
        if has != wanted:
            return f"{device.name} has {what} {has}, the store {wanted}"
    return None


def unmarked(
    devices: list[SimDevice], store: Snapshot, user_ids: dict[str, int]
) -> Iterator[Violation]:
    """What was shown and is not marked as read."""
    here = {user_ids[device.user] for device in devices if not device.away and device.logged_in}
    for (user, conversation), mark in store.marks.items():
        head = store.heads[conversation]
        if user in here and mark != head:
            yield Violation(
                "what was read is marked in the end",
                f"{mark} of {head} by user {user} in conversation {conversation}",
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
