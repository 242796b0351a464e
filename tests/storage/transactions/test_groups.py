"""Groups: membership in the table and in the log, owners and their successors, the access table."""

import pytest

from chat.core.ports.operations import (
    CreateGroup,
    DeleteGroup,
    GroupChanged,
    HeadsRead,
    JoinGroup,
    LeaveGroup,
    LogEntry,
    MarkRead,
    MemberRow,
    MembersRead,
    ReadHeads,
    ReadHistory,
    ReadMembers,
    Refused,
    RenameGroup,
    StoreOperation,
)
from chat.core.ports.rosters import RosterChange
from chat.protocol.messages import EntryKind, Group, Role
from chat.protocol.rules import GROUP_ACCESS, GroupAction, GroupRole
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.dispatch import execute
from tests.storage.stores import (
    NOW_MS,
    befriend,
    make_group,
    read_all,
    refused,
    register_users,
    roster,
    say_group,
    sent,
)


def changed(store: DatabaseConnection, operation: StoreOperation) -> GroupChanged:
    outcome = execute(store, operation)
    assert isinstance(outcome, GroupChanged), outcome
    return outcome


def told(outcome: GroupChanged) -> list[tuple[int, EntryKind, int]]:
    return [(entry.seq, entry.kind, entry.sender) for entry in outcome.entries]


def members(store: DatabaseConnection, user: int, group: int) -> list[tuple[int, Role]]:
    outcome = execute(store, ReadMembers(user, group))
    assert isinstance(outcome, MembersRead)
    return [(member.id, member.role) for member in outcome.members]


def test_a_new_group_has_its_owner_and_one_entry(store: DatabaseConnection) -> None:
    (ann,) = register_users(store, 1)
    outcome = changed(store, CreateGroup(ann, "Gophers ☺", "", 77))
    group = outcome.group
    assert outcome.entries == (LogEntry(group, 1, EntryKind.JOINED, ann, "Ann", "", 77),)
    assert outcome.entries == read_all(store, group)
    after = roster(store, ann)
    assert outcome.changes == (RosterChange(ann, after.version, group=after.groups[0]),)
    assert after.groups == (
        Group(id=group, name="Gophers ☺", description="", role=Role.OWNER, seq=1, read=0, since=1),
    )


def test_joining_sees_the_log_from_there_on(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    group = make_group(store, ann)
    sent(store, say_group(ann, group))
    outcome = changed(store, JoinGroup(bob, group, NOW_MS))
    assert told(outcome) == [(3, EntryKind.JOINED, bob)]
    after = roster(store, bob)
    (row,) = after.groups
    assert outcome.changes == (RosterChange(bob, after.version, group=row),)
    assert (row.role, row.seq, row.read, row.since) == (Role.MEMBER, 3, 2, 3)
    assert execute(store, ReadMembers(bob, group)) == MembersRead(
        (MemberRow(ann, "Ann", Role.OWNER), MemberRow(bob, "bob", Role.MEMBER))
    )


def test_an_owner_who_leaves_is_followed_by_the_longest_standing(store: DatabaseConnection) -> None:
    ann, bob, cyd, dan = register_users(store, 4)
    group = make_group(store, ann, dan, bob, cyd)
    changed(store, LeaveGroup(dan, group, NOW_MS))
    changed(store, JoinGroup(dan, group, NOW_MS))
    outcome = changed(store, LeaveGroup(ann, group, NOW_MS))
    assert told(outcome) == [(7, EntryKind.LEFT, ann), (8, EntryKind.PROMOTED, bob)]
    after = roster(store, bob)
    assert outcome.changes == (
        RosterChange(ann, roster(store, ann).version, group_removed=group),
        RosterChange(bob, after.version, group=after.groups[0]),
    )
    assert roster(store, ann).groups == ()
    assert members(store, bob, group) == [
        (bob, Role.OWNER),
        (cyd, Role.MEMBER),
        (dan, Role.MEMBER),
    ]


def test_a_member_who_leaves_changes_no_other_roster(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    group = make_group(store, ann, bob)
    before = roster(store, ann)
    outcome = changed(store, LeaveGroup(bob, group, NOW_MS))
    assert told(outcome) == [(3, EntryKind.LEFT, bob)]
    version = roster(store, bob).version
    assert outcome.changes == (RosterChange(bob, version, group_removed=group),)
    assert roster(store, ann).version == before.version
    assert execute(store, ReadHistory(bob, group, None, None, 10)) == refused("not_member")


def test_the_last_to_leave_closes_the_group(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    group = make_group(store, ann)
    assert told(changed(store, LeaveGroup(ann, group, NOW_MS))) == [(2, EntryKind.LEFT, ann)]
    assert_closed(store, group, ann, bob)
    assert len(read_all(store, group)) == 2


def test_a_new_name_is_an_entry_and_in_every_member_s_roster(store: DatabaseConnection) -> None:
    ann, bob, cyd = register_users(store, 3)
    group = make_group(store, ann, bob)
    outcome = changed(store, RenameGroup(ann, group, "moles", None, NOW_MS))
    assert told(outcome) == [(3, EntryKind.RENAMED, ann)]
    assert outcome.entries[0].text == "moles"
    rosters = roster(store, ann), roster(store, bob)
    assert outcome.changes == tuple(
        RosterChange(one.user.id, one.version, group=one.groups[0]) for one in rosters
    )
    (row,) = roster(store, bob).groups
    assert (row.name, row.seq) == ("moles", 3)
    description = row.description
    changed(store, RenameGroup(ann, group, "moles", "all about tunnels", NOW_MS))
    (row,) = roster(store, bob).groups
    assert (row.name, row.description) == ("moles", "all about tunnels") != ("moles", description)
    for user, code in ((bob, "forbidden"), (cyd, "not_member")):
        assert execute(store, RenameGroup(user, group, "x", "", NOW_MS)) == refused(code)


def test_a_name_that_a_group_has_already_changes_nothing(store: DatabaseConnection) -> None:
    (ann,) = register_users(store, 1)
    group = make_group(store, ann)
    changed(store, RenameGroup(ann, group, "moles", "tunnels", NOW_MS))
    before = roster(store, ann)
    for description in (None, "tunnels"):
        outcome = changed(store, RenameGroup(ann, group, "moles", description, NOW_MS))
        assert (outcome.entries, outcome.changes) == ((), ())
        assert roster(store, ann) == before
    assert len(read_all(store, group)) == 2


def test_deleting_ends_the_group_for_all(store: DatabaseConnection) -> None:
    ann, bob, cyd = register_users(store, 3)
    group = make_group(store, ann, bob)
    before = roster(store, bob)
    outcome = changed(store, DeleteGroup(ann, group, NOW_MS))
    assert told(outcome) == [(3, EntryKind.DELETED, ann)]
    assert outcome.changes == tuple(
        RosterChange(one, roster(store, one).version, group_removed=group) for one in (ann, bob)
    )
    after = roster(store, bob)
    assert after.groups == ()
    assert after.version == before.version + 1
    assert_closed(store, group, ann, bob, cyd)
    assert len(read_all(store, group)) == 3


def assert_closed(store: DatabaseConnection, group: int, *users: int) -> None:
    for user in users:
        for operation in (
            JoinGroup(user, group, NOW_MS),
            LeaveGroup(user, group, NOW_MS),
            DeleteGroup(user, group, NOW_MS),
            ReadMembers(user, group),
            say_group(user, group),
        ):
            assert execute(store, operation) == refused("no_such_group")
        assert execute(store, ReadHistory(user, group, None, None, 9)) == refused("not_member")
        assert execute(store, MarkRead(user, group, 1)) == refused("not_member")


def act(action: GroupAction, user: int, group: int) -> StoreOperation:
    operations: dict[GroupAction, StoreOperation] = {
        GroupAction.JOIN_GROUP: JoinGroup(user, group, NOW_MS),
        GroupAction.GROUP_CHAT: say_group(user, group),
        GroupAction.MEMBERS: ReadMembers(user, group),
        GroupAction.HISTORY: ReadHistory(user, group, None, None, 10),
        GroupAction.MARK_READ: MarkRead(user, group, 1),
        GroupAction.LEAVE_GROUP: LeaveGroup(user, group, NOW_MS),
        GroupAction.DELETE_GROUP: DeleteGroup(user, group, NOW_MS),
        GroupAction.RENAME_GROUP: RenameGroup(user, group, "moles", None, NOW_MS),
    }
    return operations[action]


@pytest.mark.parametrize("action", GroupAction)
@pytest.mark.parametrize("role", GroupRole)
def test_the_access_table_is_what_holds(
    store: DatabaseConnection, role: GroupRole, action: GroupAction
) -> None:
    ann, bob, cyd = register_users(store, 3)
    group = make_group(store, ann, bob)
    user = {GroupRole.OWNER: ann, GroupRole.MEMBER: bob, GroupRole.OUTSIDER: cyd}[role]
    outcome = execute(store, act(action, user, group))
    code = GROUP_ACCESS[role][action]
    assert outcome == Refused(code) if code else not isinstance(outcome, Refused)


def test_a_conversation_of_two_is_no_group(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    for group in (conversation, 999):
        for operation in (
            JoinGroup(ann, group, NOW_MS),
            LeaveGroup(ann, group, NOW_MS),
            DeleteGroup(ann, group, NOW_MS),
            ReadMembers(ann, group),
            say_group(ann, group),
        ):
            assert execute(store, operation) == refused("no_such_group")


def test_a_refusal_leaves_no_trace(store: DatabaseConnection) -> None:
    (ann,) = register_users(store, 1)
    group = make_group(store, ann)
    assert execute(store, CreateGroup(999, "ghosts", "", NOW_MS)) == refused("no_such_user")
    assert execute(store, JoinGroup(999, group, NOW_MS)) == refused("no_such_user")
    assert len(read_all(store, group)) == 1
    made = execute(store, ReadHeads(tuple(range(group + 5)), ()))
    assert made == HeadsRead({group: 1}, {})
