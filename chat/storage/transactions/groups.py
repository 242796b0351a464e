"""Groups: creating, joining, leaving, renaming and deleting them, and their members.

A group's membership is recorded twice, by the same transaction under the lock of the group's
conversation: in the table of members, as it is now, and in the log, as it came about. The
`joined` of a member is the first entry that the member may see; so the order of `since_seq` is the
order of joining. When an owner leaves, the member with the lowest becomes the owner.

An open group has exactly one owner. A closed one has no members and its log has ended.
"""

from collections.abc import Sequence
from typing import Final

from chat.core.ports.operations import (
    CreateGroup,
    DeleteGroup,
    GroupChanged,
    JoinGroup,
    LeaveGroup,
    MemberRow,
    MembersRead,
    ReadMembers,
    RenameGroup,
    UserLimit,
)
from chat.core.ports.rosters import RosterChange
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind, Role
from chat.protocol.rules import GroupAction
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.sql import query_in_chunks
from chat.storage.transactions.access import MEMBER, OWNER, Refusal, allow_group
from chat.storage.transactions.limits import check_limit
from chat.storage.transactions.log import append_membership
from chat.storage.transactions.rosters import group_row, lock_users, raise_versions
from chat.storage.transactions.tables import Transactions

_INSERT_MEMBER = (
    "INSERT INTO members (conversation_id, user_id, role, since_seq, read_seq, in_group)"
    " VALUES (?, ?, ?, ?, ?, 1)"
)


def create_group(connection: DatabaseConnection, operation: CreateGroup) -> GroupChanged:
    user = operation.user
    owner = lock_users(connection, (user,))[user]
    check_limit(connection, UserLimit.GROUPS_OWNED, operation.most_owned, user)
    check_limit(connection, UserLimit.GROUPS_JOINED, operation.most_joined, user)
    # No other transaction can hold this row, so that it may be locked after the user's.
    group = connection.insert(
        "INSERT INTO conversations (kind, head, name, description, closed)"
        " VALUES ('group', 0, ?, ?, 0)",
        (operation.name, operation.description),
    )
    connection.execute(_INSERT_MEMBER, (group, user, OWNER, 1, 0))
    entries = append_membership(connection, group, 0, [(EntryKind.JOINED, owner)], operation.at_ms)
    return GroupChanged(group, entries, _changes(connection, group, (user,)))


def join_group(connection: DatabaseConnection, operation: JoinGroup) -> GroupChanged:
    user, group = operation.user, operation.group
    head, role = _find_open_group(connection, user, group, connection.for_update)
    allow_group(role, GroupAction.JOIN_GROUP)
    member = lock_users(connection, (user,))[user]
    check_limit(connection, UserLimit.GROUPS_JOINED, operation.most_joined, user)
    connection.execute(_INSERT_MEMBER, (group, user, MEMBER, head + 1, head))
    entries = append_membership(
        connection, group, head, [(EntryKind.JOINED, member)], operation.at_ms
    )
    return GroupChanged(group, entries, _changes(connection, group, (user,)))


def leave_group(connection: DatabaseConnection, operation: LeaveGroup) -> GroupChanged:
    user, group = operation.user, operation.group
    head, role = _find_open_group(connection, user, group, connection.for_update)
    allow_group(role, GroupAction.LEAVE_GROUP)
    successor = _successor(connection, user, group) if role == OWNER else None
    changed = (user,) if successor is None else (user, successor)
    users = lock_users(connection, changed)
    connection.execute(
        "DELETE FROM members WHERE conversation_id = ? AND user_id = ?", (group, user)
    )
    changes = [(EntryKind.LEFT, users[user])]
    if successor is not None:
        changes.append((EntryKind.PROMOTED, users[successor]))
        connection.execute(
            "UPDATE members SET role = ? WHERE conversation_id = ? AND user_id = ?",
            (OWNER, group, successor),
        )
    elif role == OWNER:
        _close(connection, group)
    entries = append_membership(connection, group, head, changes, operation.at_ms)
    return GroupChanged(group, entries, _changes(connection, group, changed))


def delete_group(connection: DatabaseConnection, operation: DeleteGroup) -> GroupChanged:
    user, group = operation.user, operation.group
    head, role = _find_open_group(connection, user, group, connection.for_update)
    allow_group(role, GroupAction.DELETE_GROUP)
    members = _members(connection, group)
    users = lock_users(connection, members)
    connection.execute("DELETE FROM members WHERE conversation_id = ?", (group,))
    _close(connection, group)
    entries = append_membership(
        connection, group, head, [(EntryKind.DELETED, users[user])], operation.at_ms
    )
    return GroupChanged(group, entries, _changes(connection, group, members))


def rename_group(connection: DatabaseConnection, operation: RenameGroup) -> GroupChanged:
    user, group = operation.user, operation.group
    head, role = _find_open_group(connection, user, group, connection.for_update)
    allow_group(role, GroupAction.RENAME_GROUP)
    ((name, before),) = connection.query(
        "SELECT name, description FROM conversations WHERE id = ?", (group,)
    )
    description = before if operation.description is None else operation.description
    if (name, before) == (operation.name, description):
        return GroupChanged(group, (), ())
    members = _members(connection, group)
    users = lock_users(connection, members)
    connection.execute(
        "UPDATE conversations SET name = ?, description = ? WHERE id = ?",
        (operation.name, description, group),
    )
    renamed = [(EntryKind.RENAMED, users[user])]
    entries = append_membership(
        connection, group, head, renamed, operation.at_ms, text=operation.name
    )
    return GroupChanged(group, entries, _changes(connection, group, members))


def read_members(connection: DatabaseConnection, operation: ReadMembers) -> MembersRead:
    _, role = _find_open_group(connection, operation.user, operation.group, "")
    allow_group(role, GroupAction.MEMBERS)
    rows = connection.query(
        "SELECT u.id, u.name, m.role FROM members m JOIN users u ON u.id = m.user_id"
        " WHERE m.conversation_id = ? ORDER BY m.since_seq",
        (operation.group,),
    )
    return MembersRead(tuple(MemberRow(id, name, Role(role)) for id, name, role in rows))


def _find_open_group(
    connection: DatabaseConnection, user: int, group: int, for_update: str
) -> tuple[int, str | None]:
    """The group's head and the user's role in it. Raises Refusal(no_such_group)."""
    rows = connection.query(
        "SELECT head FROM conversations"
        f" WHERE id = ? AND kind = 'group' AND closed = 0{for_update}",
        (group,),
    )
    if not rows:
        raise Refusal(ErrorCode.NO_SUCH_GROUP)
    roles = connection.query(
        "SELECT role FROM members WHERE conversation_id = ? AND user_id = ?", (group, user)
    )
    return rows[0][0], (roles[0][0] if roles else None)


def _members(connection: DatabaseConnection, group: int) -> list[int]:
    rows = connection.query("SELECT user_id FROM members WHERE conversation_id = ?", (group,))
    return [member for (member,) in rows]


def _successor(connection: DatabaseConnection, owner: int, group: int) -> int | None:
    rows = connection.query(
        "SELECT user_id FROM members WHERE conversation_id = ? AND user_id <> ?"
        " ORDER BY since_seq LIMIT 1",
        (group, owner),
    )
    return rows[0][0] if rows else None


def _changes(
    connection: DatabaseConnection, group: int, users: Sequence[int]
) -> tuple[RosterChange, ...]:
    """What this transaction, which has written all else, changed in the rosters of these users by
    changing the group or their memberships of it. Their rows must be locked."""
    versions = raise_versions(connection, users)
    groups = {
        user: group_row(group, name, description, role, head, read, since)
        for user, role, read, since, name, description, head in query_in_chunks(
            connection,
            "SELECT m.user_id, m.role, m.read_seq, m.since_seq, c.name, c.description, c.head"
            " FROM members m JOIN conversations c ON c.id = m.conversation_id"
            " WHERE m.conversation_id = ? AND m.user_id IN",
            list(versions),
            first=(group,),
        )
    }
    return tuple(
        RosterChange(user, version, group=groups[user])
        if user in groups
        else RosterChange(user, version, group_removed=group)
        for user, version in versions.items()
    )


def _close(connection: DatabaseConnection, group: int) -> None:
    connection.execute("UPDATE conversations SET closed = 1 WHERE id = ?", (group,))


READS: Final[Transactions] = {
    ReadMembers: read_members,
}
WRITES: Final[Transactions] = {
    CreateGroup: create_group,
    JoinGroup: join_group,
    LeaveGroup: leave_group,
    DeleteGroup: delete_group,
    RenameGroup: rename_group,
}
