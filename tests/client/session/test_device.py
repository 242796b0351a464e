"""What a device makes of news that come in another order than things happened."""

from chat.client.session.device import Device
from chat.protocol import messages as wire

BOB = wire.User(id=2, name="bob")


def test_what_was_read_is_not_unread_by_news_of_the_friend() -> None:
    """The mark of a sister device may come before a friendship that was read before it."""
    device = Device(1_000, lambda effect: None)
    device.roster.user = wire.User(id=1, name="ann")
    device.friend_added(_bob(read=1))
    device.friend_removed(wire.FriendRemovedPush(user=BOB))
    device.receipt(wire.ReceiptPush(conversation=7, user=1, seq=3))
    device.friend_added(_bob(read=2))
    assert device.roster.friends[2].read == 3


def test_what_was_read_is_not_unread_by_news_of_the_group() -> None:
    device = Device(1_000, lambda effect: None)
    device.roster.user = wire.User(id=1, name="ann")
    device.receipt(wire.ReceiptPush(conversation=7, user=1, seq=3))
    device.group(_gophers(read=2))
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
