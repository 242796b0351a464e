"""Asking, being friends, ending it, blocking; and the access table between two users."""

import pytest

from chat.core.ports.operations import (
    AddFriend,
    Block,
    FriendshipChanged,
    MarkRead,
    ReadHistory,
    Refused,
    RemoveFriend,
    StoreOperation,
    Unblock,
)
from chat.core.ports.rosters import FriendRow, RosterChange
from chat.protocol.messages import User
from chat.protocol.rules import DIRECT_ACCESS, DirectAction, DirectRole
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.dispatch import execute
from tests.storage.stores import (
    NOW_MS,
    befriend,
    read_all,
    refused,
    register_users,
    roster,
    say,
    sent,
)


def changed(store: DatabaseConnection, operation: StoreOperation) -> FriendshipChanged:
    outcome = execute(store, operation)
    assert isinstance(outcome, FriendshipChanged), outcome
    return outcome


def test_asking_changes_the_roster_of_the_asked_only(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    before = roster(store, ann)
    outcome = changed(store, AddFriend(ann, "BOB", NOW_MS))
    asking = User(id=ann, name="Ann")
    version = roster(store, bob).version
    assert outcome == FriendshipChanged((RosterChange(bob, version, request=asking),))
    assert roster(store, ann) == before
    assert roster(store, bob).requests == (asking,)
    assert roster(store, bob).version == before.version + 1
    again = changed(store, AddFriend(ann, bob, NOW_MS))
    assert again == FriendshipChanged(())
    assert roster(store, ann) == before


def test_the_second_asking_makes_friends(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    execute(store, AddFriend(ann, bob, NOW_MS))
    outcome = changed(store, AddFriend(bob, ann, NOW_MS))
    anns, bobs = roster(store, ann), roster(store, bob)
    (row,) = bobs.friends
    assert row == FriendRow(ann, "Ann", row.conversation, 0, 0)
    assert anns.friends == (FriendRow(bob, "bob", row.conversation, 0, 0),)
    made = {change.user: change for change in outcome.changes}
    assert made == {
        ann: RosterChange(ann, anns.version, friend=anns.friends[0]),
        bob: RosterChange(bob, bobs.version, friend=row),
    }
    assert anns.requests == bobs.requests == ()
    assert changed(store, AddFriend(ann, bob, NOW_MS)) == FriendshipChanged(())
    assert roster(store, ann) == anns


def test_declining_and_taking_back_change_the_roster_of_the_asked(
    store: DatabaseConnection,
) -> None:
    ann, bob = register_users(store, 2)
    for remove in (RemoveFriend(ann, bob), RemoveFriend(bob, ann)):
        execute(store, AddFriend(ann, bob, NOW_MS))
        anns = roster(store, ann)
        changes = changed(store, remove).changes
        assert changes == (RosterChange(bob, roster(store, bob).version, friend_removed=ann),)
        assert roster(store, bob).requests == ()
        assert roster(store, ann) == anns
        assert execute(store, remove) == refused("not_friends")


def test_friends_again_find_their_conversation_read(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    for key in "abc":
        sent(store, say(ann, bob, key=key))
    outcome = changed(store, RemoveFriend(bob, "ann"))
    assert [(one.user, one.friend_removed) for one in outcome.changes] == [(ann, bob), (bob, ann)]
    assert roster(store, ann).friends == roster(store, bob).friends == ()
    assert execute(store, say(ann, bob, key="d")) == refused("not_friends")
    assert befriend(store, bob, ann) == conversation
    assert roster(store, ann).friends == (FriendRow(bob, "bob", conversation, 3, 3),)
    assert roster(store, bob).friends == (FriendRow(ann, "Ann", conversation, 3, 3),)
    assert sent(store, say(bob, ann, key="e")).seq == 4
    assert len(read_all(store, conversation)) == 4


def test_a_block_holds_from_either_side_until_it_is_taken_back(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    befriend(store, ann, bob)
    before = roster(store, ann)
    for _ in range(2):
        assert changed(store, Block(ann, "bob")) == FriendshipChanged(())
    assert execute(store, say(ann, bob)) == refused("blocked")
    assert execute(store, say(bob, ann)) == refused("blocked")
    execute(store, Block(bob, ann))
    execute(store, Unblock(ann, bob))
    assert execute(store, say(ann, bob)) == refused("blocked")
    for _ in range(2):
        assert isinstance(execute(store, Unblock(bob, ann)), FriendshipChanged)
    assert sent(store, say(ann, bob)).seq == 1
    assert roster(store, ann).version == before.version


def act(action: DirectAction, user: int, other: int, conversation: int) -> StoreOperation:
    operations: dict[DirectAction, StoreOperation] = {
        DirectAction.CHAT: say(user, other),
        DirectAction.ADD_FRIEND: AddFriend(user, other, NOW_MS),
        DirectAction.REMOVE_FRIEND: RemoveFriend(user, other),
        DirectAction.BLOCK: Block(user, other),
        DirectAction.UNBLOCK: Unblock(user, other),
        DirectAction.HISTORY: ReadHistory(user, conversation, None, None, 10),
        DirectAction.MARK_READ: MarkRead(user, conversation, 1),
    }
    return operations[action]


def set_role(
    store: DatabaseConnection, role: DirectRole, ann: int, bob: int, ann_acts: bool
) -> int:
    """Gives bob that role to ann. `ann_acts`: ann asks or blocks, not bob. The number of
    their conversation, if they ever had one."""
    one, other = (ann, bob) if ann_acts else (bob, ann)
    conversation = 999
    if role is not DirectRole.SELF:
        conversation = befriend(store, ann, bob)
    if role in (DirectRole.BLOCKED, DirectRole.ASKED, DirectRole.UNRELATED):
        execute(store, RemoveFriend(ann, bob))
    if role is DirectRole.ASKED:
        execute(store, AddFriend(one, other, NOW_MS))
    if role in (DirectRole.BLOCKED, DirectRole.BLOCKED_FRIEND):
        execute(store, Block(one, other))
    return conversation


@pytest.mark.parametrize("ann_acts", [False, True])
@pytest.mark.parametrize("role", DirectRole)
def test_the_access_table_is_what_holds(
    store: DatabaseConnection, role: DirectRole, ann_acts: bool
) -> None:
    ann, bob = register_users(store, 2)
    conversation = set_role(store, role, ann, bob, ann_acts)
    other = ann if role is DirectRole.SELF else bob
    # Those that change the role come last, and each only where it leaves the role to the next.
    harmless = (DirectAction.CHAT, DirectAction.HISTORY, DirectAction.MARK_READ)
    for action in DirectAction:
        code = DIRECT_ACCESS[role][action]
        if code is None and action not in harmless:
            continue
        outcome = execute(store, act(action, ann, other, conversation))
        if code is None:
            assert not isinstance(outcome, Refused)
        else:
            assert outcome == Refused(code)


@pytest.mark.parametrize("action", list(DirectAction)[:5])
@pytest.mark.parametrize("role", DirectRole)
def test_what_the_access_table_allows_is_done(
    store: DatabaseConnection, role: DirectRole, action: DirectAction
) -> None:
    ann, bob = register_users(store, 2)
    conversation = set_role(store, role, ann, bob, True)
    other = ann if role is DirectRole.SELF else bob
    outcome = execute(store, act(action, ann, other, conversation))
    code = DIRECT_ACCESS[role][action]
    assert outcome == Refused(code) if code else not isinstance(outcome, Refused)


@pytest.mark.parametrize("other", [999, "nobody"])
def test_a_user_that_does_not_exist_is_refused(store: DatabaseConnection, other: int | str) -> None:
    (ann,) = register_users(store, 1)
    for operation in (
        say(ann, other),
        AddFriend(ann, other, NOW_MS),
        RemoveFriend(ann, other),
        Block(ann, other),
        Unblock(ann, other),
    ):
        assert execute(store, operation) == refused("no_such_user")


def test_others_cannot_look_into_a_conversation_of_two(store: DatabaseConnection) -> None:
    ann, bob, cyd = register_users(store, 3)
    conversation = befriend(store, ann, bob)
    befriend(store, ann, cyd)
    assert execute(store, ReadHistory(cyd, conversation, None, None, 10)) == refused("not_member")
    assert execute(store, MarkRead(cyd, conversation, 1)) == refused("not_member")


def test_requests_stand_in_the_order_they_came(store: DatabaseConnection) -> None:
    ann, bob, cyd, dan = register_users(store, 4)
    for at_ms, asker in ((3, bob), (1, dan), (2, cyd)):
        execute(store, AddFriend(asker, ann, at_ms))
    assert [user.id for user in roster(store, ann).requests] == [dan, cyd, bob]
