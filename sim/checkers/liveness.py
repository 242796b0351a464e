"""Liveness: what must come about after the healing.

Every send is settled; every device is logged in, at the head of all its conversations, and has its
friends and groups; what was shown is marked as read; presence agrees. Each function yields a
violation for each device or text that is not there yet; the caller decides how long it may take.
"""

from collections.abc import Iterator

from chat.protocol.messages import PresenceState
from sim.checkers import Violation
from sim.checkers.snapshot import Snapshot
from sim.cluster.device import SimDevice


def unsettled(devices: list[SimDevice]) -> Iterator[Violation]:
    """Texts of switched-on devices whose outcome the device does not know yet."""
    for device in devices:
        if device.switched_off:
            continue
        for text in device.sent_texts.values():
            if text.settled is None and text.failed is None:
                yield Violation(
                    "every send is settled in the end", f"{text.text} of {device.name} is not"
                )


def behind(
    devices: list[SimDevice], store: Snapshot, user_ids: dict[str, int]
) -> Iterator[Violation]:
    """Devices that are not logged in, or not at the head of one of their conversations."""
    for device in devices:
        if device.switched_off:
            continue
        if not device.logged_in:
            yield Violation(
                "every device is logged in in the end", f"{device.name} is not logged in"
            )
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


def roster_differences(
    devices: list[SimDevice], store: Snapshot, user_ids: dict[str, int]
) -> Iterator[Violation]:
    """Devices whose friends, groups or requests differ from the store's."""
    for device in devices:
        if not device.switched_off and device.logged_in:
            wrong = roster_difference(device, store, user_ids[device.user])
            if wrong is not None:
                yield Violation("every device has its roster in the end", wrong)


def roster_difference(device: SimDevice, store: Snapshot, user: int) -> str | None:
    """The first difference between the device's roster and the store's, as a sentence."""
    roster = device.session.roster
    for part, has, wanted in (
        (
            "friends",
            {friend.id: friend.conversation for friend in roster.friends.values()},
            store.friends.get(user, {}),
        ),
        (
            "groups",
            {group.id: (str(group.role.value), group.name) for group in roster.groups.values()},
            store.groups.get(user, {}),
        ),
        ("requests", set(roster.requests), store.requests.get(user, set())),
    ):
        if has != wanted:
            return f"{device.name} has {part} {has}, the store {wanted}"
    return None


def unmarked(
    devices: list[SimDevice], store: Snapshot, user_ids: dict[str, int]
) -> Iterator[Violation]:
    """Conversations of connected users whose read mark is not at the head."""
    connected = {
        user_ids[device.user] for device in devices if not device.switched_off and device.logged_in
    }
    for (user, conversation), mark in store.marks.items():
        head = store.heads[conversation]
        if user in connected and mark != head:
            yield Violation(
                "what was shown is marked as read in the end",
                f"{mark} of {head} by user {user} in conversation {conversation}",
            )


def wrong_presence(devices: list[SimDevice], user_ids: dict[str, int]) -> Iterator[Violation]:
    """Devices that have a wrong state of a friend."""
    online = {
        user_ids[device.user] for device in devices if not device.switched_off and device.logged_in
    }
    for device in devices:
        if device.switched_off or not device.logged_in:
            continue
        for friend in device.session.roster.friends.values():
            shown = friend.state is PresenceState.ONLINE
            if shown != (friend.id in online):
                yield Violation(
                    "presence agrees in the end",
                    f"{device.name} has {friend.name} {friend.state}",
                )
