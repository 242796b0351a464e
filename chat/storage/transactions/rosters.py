"""Rosters: a user's friends, groups and open requests, and the version that says whether they
changed.

A roster's version grows by one in the very transaction that changes the user's friends, groups
or open requests, under the lock of the user's row, and at no other time. Heads and read marks
are in the roster for convenience and do not count as changes.

Rows of users are locked in the order of their numbers, and after any conversation's.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from chat.core.ports.operations import (
    HeadsRead,
    ProfileRead,
    ReadHeads,
    ReadProfile,
    ReadRoster,
    Refused,
    RosterRead,
)
from chat.core.ports.rosters import FriendRow, Roster
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import Group, Role, User
from chat.storage.backends.connection import (
    Columns,
    DatabaseConnection,
    Select,
    integer,
    text,
    word,
)
from chat.storage.backends.sql import CHUNK, qmarks, query_in_chunks
from chat.storage.transactions.access import Refusal
from chat.storage.transactions.tables import BatchReads, Transactions

_ACCOUNT: Final = Columns(integer("id"), integer("roster_version"), word("name"))
_FRIEND: Final = Columns(
    integer("f.user_id"),
    integer("u.id"),
    word("u.name"),
    integer("c.id"),
    integer("c.head"),
    integer("m.read_seq"),
)
_GROUP: Final = Columns(
    integer("m.user_id"),
    integer("c.id"),
    text("c.name"),
    text("c.description"),
    word("m.role"),
    integer("c.head"),
    integer("m.read_seq"),
    integer("m.since_seq"),
)
_REQUEST: Final = Columns(integer("f.friend_id"), integer("u.id"), word("u.name"))


def find_user(connection: DatabaseConnection, ref: int | str) -> User:
    """By number or by name, whatever its case. Raises Refusal(no_such_user)."""
    if isinstance(ref, str):
        rows = connection.query("SELECT id, name FROM users WHERE name_key = ?", (ref.lower(),))
    else:
        rows = connection.query("SELECT id, name FROM users WHERE id = ?", (ref,))
    if not rows:
        raise Refusal(ErrorCode.NO_SUCH_USER)
    return User(id=rows[0][0], name=rows[0][1])


def lock_users(connection: DatabaseConnection, users: Iterable[int]) -> dict[int, User]:
    """Locks the rows of users until the commit. Raises Refusal(no_such_user) if one is missing."""
    ids = sorted(set(users))
    rows = query_in_chunks(
        connection,
        "SELECT id, name FROM users WHERE id IN",
        ids,
        f" ORDER BY id{connection.for_update}",
    )
    if len(rows) < len(ids):
        raise Refusal(ErrorCode.NO_SUCH_USER)
    return {id: User(id=id, name=name) for id, name in rows}


def raise_versions(connection: DatabaseConnection, users: Iterable[int]) -> dict[int, int]:
    """The rosters of these users change in this transaction: their versions, in the order of the
    users' numbers. Their rows must be locked."""
    ids = sorted(set(users))
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        connection.execute(
            "UPDATE users SET roster_version = roster_version + 1"
            f" WHERE id IN ({qmarks(len(chunk))})",
            chunk,
        )
    versions: dict[int, int] = dict(
        query_in_chunks(connection, "SELECT id, roster_version FROM users WHERE id IN", ids)
    )
    return {id: versions[id] for id in ids}


def read_rosters(
    connection: DatabaseConnection, operations: Sequence[ReadRoster]
) -> list[RosterRead | Refused]:
    rosters = _load_rosters(connection, sorted({operation.user for operation in operations}))
    return [
        RosterRead(rosters[operation.user])
        if operation.user in rosters
        else Refused(ErrorCode.NO_SUCH_USER)
        for operation in operations
    ]


def _load_rosters(connection: DatabaseConnection, users: Sequence[int]) -> dict[int, Roster]:
    """By user; users that do not exist are left out."""
    ids = qmarks(len(users))
    # The versions come first: if the rest is newer than they are, the rosters are read once more.
    accounts, friends, groups, requests = connection.select(
        Select(_ACCOUNT, f"FROM users WHERE id IN ({ids})", users),
        Select(
            _FRIEND,
            "FROM friendships f"
            " JOIN users u ON u.id = f.friend_id"
            " JOIN conversations c ON c.id = f.conversation_id"
            " JOIN members m ON m.conversation_id = c.id AND m.user_id = f.user_id"
            f" WHERE f.user_id IN ({ids}) ORDER BY u.id",
            users,
        ),
        Select(
            _GROUP,
            "FROM members m JOIN conversations c ON c.id = m.conversation_id"
            f" WHERE m.user_id IN ({ids}) AND c.kind = 'group' ORDER BY c.id",
            users,
        ),
        Select(
            _REQUEST,
            "FROM friendships f JOIN users u ON u.id = f.user_id"
            f" WHERE f.friend_id IN ({ids}) AND f.conversation_id IS NULL"
            " ORDER BY f.asked_ms, u.id",
            users,
        ),
    )
    friends_of: dict[int, list[FriendRow]] = {}
    for user, friend, name, conversation, head, read in friends:
        row = FriendRow(friend, name, conversation, head, read)
        friends_of.setdefault(user, []).append(row)
    groups_of: dict[int, list[Group]] = {}
    for user, id, name, description, role, head, read, since in groups:
        group = group_row(id, name, description, role, head, read, since)
        groups_of.setdefault(user, []).append(group)
    requests_of: dict[int, list[User]] = {}
    for user, asker, name in requests:
        requests_of.setdefault(user, []).append(User(id=asker, name=name))
    return {
        user: Roster(
            user=User(id=user, name=name),
            version=version,
            friends=tuple(friends_of.get(user, ())),
            groups=tuple(groups_of.get(user, ())),
            requests=tuple(requests_of.get(user, ())),
        )
        for user, version, name in accounts
    }


def group_row(
    id: int, name: str, description: str, role: str, head: int, read: int, since: int
) -> Group:
    """A group as its member with these values has it."""
    return Group(
        id=id,
        name=name,
        description=description,
        role=Role(role),
        seq=head,
        read=read,
        since=since,
    )


def read_profile(connection: DatabaseConnection, operation: ReadProfile) -> ProfileRead:
    rows = connection.query(
        "SELECT u.id, u.name, u.registered_ms,"
        " (SELECT COUNT(*) FROM devices d WHERE d.user_id = u.id),"
        " (SELECT COUNT(*) FROM friendships f"
        " WHERE f.user_id = u.id AND f.conversation_id IS NOT NULL),"
        " (SELECT COUNT(*) FROM members m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE m.user_id = u.id AND c.kind = 'group')"
        " FROM users u WHERE u.id = ?",
        (operation.user,),
    )
    if not rows:
        raise Refusal(ErrorCode.NO_SUCH_USER)
    id, name, registered_ms, devices, friends, groups = rows[0]
    return ProfileRead(User(id=id, name=name), registered_ms, devices, friends, groups)


def read_heads(connection: DatabaseConnection, operation: ReadHeads) -> HeadsRead:
    conversations = query_in_chunks(
        connection, "SELECT id, head FROM conversations WHERE id IN", operation.conversations
    )
    users = query_in_chunks(
        connection, "SELECT id, roster_version FROM users WHERE id IN", operation.users
    )
    return HeadsRead(dict(conversations), dict(users))


READS_TOGETHER: Final[BatchReads] = {
    ReadRoster: read_rosters,
}
READS: Final[Transactions] = {
    ReadProfile: read_profile,
    ReadHeads: read_heads,
}
