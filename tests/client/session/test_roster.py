"""The roster by itself: each change is told once, whether by a push or by a complete roster."""

from chat.client.session.ports import notices
from chat.client.session.roster import Roster
from chat.protocol import messages as wire

ONLINE, OFFLINE = wire.PresenceState.ONLINE, wire.PresenceState.OFFLINE
DOT = wire.User(id=4, name="dot")


def a_friend(id: int, state: wire.PresenceState = OFFLINE, seq: int = 0) -> wire.Friend:
    return wire.Friend(
        id=id, name=f"Friend{id}", state=state, conversation=id + 100, seq=seq, read=0
    )


def a_group(id: int, name: str = "gophers") -> wire.Group:
    return wire.Group(
        id=id, name=name, description="", role=wire.Role.MEMBER, seq=1, read=0, since=1
    )


def a_snapshot(
    friends: tuple[wire.Friend, ...] = (),
    groups: tuple[wire.Group, ...] = (),
    requests: tuple[wire.User, ...] = (),
) -> wire.SnapshotReply:
    return wire.SnapshotReply(re=1, friends=friends, groups=groups, requests=requests)


def test_a_change_is_told_once() -> None:
    roster = Roster()
    assert roster.put_friend(a_friend(2)) == [notices.FriendAdded(a_friend(2))]
    assert roster.put_friend(a_friend(2)) == []
    assert roster.put_state(2, ONLINE) == [notices.PresenceChanged(a_friend(2, ONLINE))]
    assert roster.put_state(2, ONLINE) == []
    assert roster.put_group(a_group(9)) == [notices.GroupAdded(a_group(9))]
    assert roster.put_group(a_group(9)) == []
    renamed = a_group(9, "moles")
    assert roster.put_group(renamed) == [notices.GroupChanged(renamed)]
    assert roster.remove_group(9) == [notices.GroupRemoved(renamed)]
    assert roster.remove_group(9) == []


def test_a_complete_roster_tells_the_differences() -> None:
    roster = Roster()
    roster.replace(a_snapshot((a_friend(2), a_friend(3)), (a_group(9),), (DOT,)))
    changes = roster.replace(a_snapshot((a_friend(3, ONLINE), a_friend(4)), (a_group(10),)))
    assert changes == [
        notices.FriendRemoved(a_friend(2)),
        notices.GroupRemoved(a_group(9)),
        notices.PresenceChanged(a_friend(3, ONLINE)),
        notices.FriendAdded(a_friend(4)),
        notices.GroupAdded(a_group(10)),
    ]
    assert list(roster.friends) == [3, 4]
    assert not roster.requests


def test_heads_and_read_marks_never_go_back() -> None:
    roster = Roster()
    roster.put_friend(a_friend(2, seq=5))
    roster.advance_head(102, 7)
    roster.advance_read(102, 6)
    roster.advance_head(102, 4)
    roster.put_friend(a_friend(2, seq=3))
    assert (roster.friends[2].seq, roster.friends[2].read) == (7, 6)


def test_friends_and_groups_are_found_by_number_and_by_name() -> None:
    roster = Roster()
    roster.put_friend(a_friend(2))
    for id, name in ((9, "gophers"), (10, "Gophers"), (11, "moles")):
        roster.put_group(a_group(id, name))
    for user in (2, "Friend2", "FRIEND2"):
        friend = roster.find_friend(user)
        assert friend is not None
        assert friend.id == 2
    assert roster.find_friend("nobody") is None
    assert [group.id for group in roster.find_groups("gophers")] == [9]
    assert [group.id for group in roster.find_groups("GOPHERS")] == [9, 10]
    assert [group.id for group in roster.find_groups(11)] == [11]
    roster.remove_friend(wire.User(id=2, name="Friend2"))
    assert roster.find_friend("friend2") is None
    assert roster.conversations[102] == a_friend(2)
