"""The state of a device when pushes come in another order than their causes."""

from chat.client.session.device import Device
from chat.protocol import messages as wire

BOB = wire.User(id=2, name="bob")


def test_a_friend_push_does_not_lower_the_read_mark() -> None:
    """The receipt of another device may come before the push of a friendship with an earlier
    mark."""
    device = Device(1_000, lambda effect: None)
    device.roster.user = wire.User(id=1, name="ann")
    device.friend_added(_bob(read=1))
    device.handle_push(wire.FriendRemovedPush(user=BOB))
    device.handle_push(wire.ReceiptPush(conversation=7, user=1, seq=3))
    device.friend_added(_bob(read=2))
    assert device.roster.friends[2].read == 3


def test_a_group_push_does_not_lower_the_read_mark() -> None:
    device = Device(1_000, lambda effect: None)
    device.roster.user = wire.User(id=1, name="ann")
    device.handle_push(wire.ReceiptPush(conversation=7, user=1, seq=3))
    device.handle_push(_gophers(read=2))
    assert device.roster.groups[7].read == 3


def _bob(read: int) -> wire.FriendPush:
    friend = wire.Friend(
        id=2,
        name="bob",
        state=wire.PresenceState.ONLINE,
        conversation=7,
        seq=3,
        read=read,
    )
    return wire.FriendPush(friend=friend)


def _gophers(read: int) -> wire.GroupPush:
    group = wire.Group(
        id=7,
        name="gophers",
        description="",
        role=wire.Role.MEMBER,
        since=1,
        seq=3,
        read=read,
    )
    return wire.GroupPush(group=group)
